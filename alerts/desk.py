"""The desk: takes what comes in, has it decided, and does what the decision says, each in one transaction.

Laws: locks are taken in the order study, alert, notice; what people must be told is in the outbox when the finding is
in the store, or neither is.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from alerts.decision import Audience, Decision, Policy, Reason, Step, Verdict, decide, standing, study_standing
from alerts.errors import HandOverRefused, UnknownAlert
from alerts.escalation import Escalation
from alerts.joining import Candidate, case_for
from alerts.life import Answer, Claim, Happening, Life, Topic, Via
from alerts.links import Links
from alerts.messages import PURPOSES, WITHOUT_PATIENT, MessagePart, Purpose, compose
from alerts.oncall import Matter
from alerts.ports import Clock, Wake
from alerts.recipients import ChannelKind, Recipients
from alerts.store.database import Database
from alerts.store.outbox import (
    Address,
    Circumstances,
    NoticeState,
    Occasion,
    alerts_owing,
    enqueue,
    handed_over_now,
    happen,
    note,
    notice_id_of,
    overtaken,
    owed_addresses,
    owed_notice,
    record_seen,
    record_withheld,
    ring_failed,
    supersede,
    told,
    turn_to,
    waiting_at,
)
from alerts.store.record import EntryKind, append
from alerts.store.schema import Alert, Notice, Series, Study
from alerts.store.studies import (
    add_finding,
    alert_of,
    facts_of,
    finding_of,
    insert_missing,
    join_sides,
    life_of,
    lock_study,
    studies_of_patient,
)
from streams.contracts.alerts import AlertState
from streams.contracts.errors import ContractError
from streams.contracts.findings import FindingProduced
from streams.contracts.identities import IdentityCipher, StudyIdentity

NOBODY_TO_TELL = "nobody_to_tell"
NAMES_CHARACTERS = 120
RINGS = frozenset({Purpose.ALARM, Purpose.REMINDER, Purpose.HANDED_OVER})
"""One of a person's channels in turn is enough for these; a correction goes wherever the warning went."""

CLOSES_AFTER = timedelta(hours=24)
NOT_ON_RECORD = {"key_slices": {"__all__": {"image_png", "heat_map_png", "probabilities"}}}


@dataclass(frozen=True)
class Desk:
    """Everything that changes what the service knows goes through here."""

    database: Database
    clock: Clock
    policy: Policy
    recipients: Recipients | None
    escalation: Escalation
    links: Links
    wake: Wake = field(default=lambda: None)
    """Called after each commit that may have put something in the outbox."""
    parts: frozenset[MessagePart] = WITHOUT_PATIENT
    """What messages may say; what identifies a patient is put in when they are sent."""
    answered: Callable[[timedelta], None] = field(default=lambda _took: None)
    """Called once per alert, with the time from its being raised to the first human answer."""
    cipher: IdentityCipher | None = None
    """Without it no two studies are known to be of one patient."""

    def take_finding(self, finding: FindingProduced) -> Decision | None:
        """Keep a finding and act on it; None if it was known already.

        Raises:
            StoreUnavailable, StoreRefused: nothing was kept.
        """
        now = self.clock.now()
        with self.database.writing() as session:
            study = lock_study(session, finding.study_key, now)
            if not add_finding(session, finding, now):
                return None
            decision = self._settle(session, study, now)
        self.wake()
        return decision

    def take_unreadable_result(self, study_key: str) -> Decision:
        """A finding of this study came that cannot be read: it may have been a bleed."""
        now = self.clock.now()
        with self.database.writing() as session:
            study = lock_study(session, study_key, now)
            study.result_unreadable = True
            decision = self._settle(session, study, now)
        self.wake()
        return decision

    def take_study_identity(self, study_key: str, envelope: bytes, seen_at: datetime) -> None:
        with self.database.writing() as session:
            study = lock_study(session, study_key, seen_at)
            study.identity = envelope
            if study.verdict == Verdict.ARRIVING:
                study.look_again_at = study.first_seen_at + self.policy.result_within
            if self._join(session, study) and study.verdict != Verdict.ARRIVING:
                self._settle(session, study, self.clock.now())
        self.wake()

    def take_series_identity(self, study_key: str, series_key: str, envelope: bytes, seen_at: datetime) -> None:
        with self.database.writing() as session:
            lock_study(session, study_key, seen_at)
            insert_missing(session, Series, series_key=series_key, study_key=study_key)
            session.get_one(Series, series_key).identity = envelope

    def look_again(self, *, caught_up: bool = True) -> int:
        """Do what the clock alone makes due: studies to decide again, alerts to ring again; returns how many.

        Args:
            caught_up: False while results may be waiting unread in Kafka: no study is then missed for its silence.
        """
        now = self.clock.now()
        due = select(Study.study_key).where(Study.look_again_at <= now)
        if not caught_up:
            due = due.where(Study.verdict != Verdict.ARRIVING)
        with self.database.reading() as session:
            studies = session.scalars(due).all()
            unanswered = session.scalars(select(Alert.study_key).where(Alert.rings_at <= now)).all()
        for study_key in studies:
            with self.database.writing() as session:
                self._settle(session, lock_study(session, study_key, now), now)
        for study_key in unanswered:
            with self.database.writing() as session:
                self._ring_again(session, lock_study(session, study_key, now), now)
        if studies or unanswered:
            self.wake()
        return len(studies) + len(unanswered)

    def close_old(self) -> int:
        """Close what needs no answer any more and has been quiet for a while; returns how many."""
        now = self.clock.now()
        done = or_(Alert.answer == Answer.ACKNOWLEDGED, Alert.claim == Claim.RETRACTED)
        quiet = select(Alert).where(done, Alert.answer != Answer.CLOSED, Alert.changed_at < now - CLOSES_AFTER)
        with self.database.writing() as session:
            alerts = session.scalars(quiet.with_for_update(skip_locked=True)).all()
            for alert in alerts:
                happen(session, alert, Happening.CLOSED, now)
                alert.rings_at = None
        return len(alerts)

    def drop_gone(self) -> int:
        """After a change of the recipients: what waits for an address that is no more is dropped, and its alert rings
        anew for who is there now; returns how many times."""
        now = self.clock.now()
        people = self.recipients.recipients if self.recipients else ()
        here = {Address(person.name, channel) for person in people for channel in person.channels}
        with self.database.reading() as session:
            gone = [address for address in owed_addresses(session) if address not in here]
        return sum(self._drop(address, now) for address in gone)

    def _drop(self, address: Address, now: datetime) -> int:
        with self.database.writing() as session:
            alerts = alerts_owing(session, address)
            for alert in alerts:
                supersede(session, alert.alert_id, frozenset(Purpose), address)
                if alert.rings_at is not None:
                    alert.rings_at = now
        return len(alerts)

    def not_delivered(self, notice_id: str) -> None:
        """A message has failed: turn to the person's next channel; and if the whole ring has failed for good, and
        others can be rung, do not wait for an answer."""
        now = self.clock.now()
        with self.database.writing() as session:
            owed = owed_notice(session, notice_id)
            if owed is None:
                return
            alert, notice = owed
            turned = self._turn_to_next(session, notice, now)
            if notice.state == NoticeState.FAILED and not turned:
                self._do_not_wait_for(session, alert, now)
        if turned:
            self.wake()

    def _turn_to_next(self, session: Session, notice: Notice, now: datetime) -> bool:
        person = self.recipients.named(notice.recipient) if self.recipients else None
        channel = person.after(ChannelKind(notice.channel)) if person else None
        return channel is not None and turn_to(session, notice, channel, now)

    def _do_not_wait_for(self, session: Session, alert: Alert, now: datetime) -> None:
        if alert.rings_at is None or not ring_failed(session, alert):
            return
        matter = _matter(alert, _finding_of_alert(session, alert))
        others = self.escalation.has_other_people(matter, _step_of(alert))
        if others or handed_over_now(session, alert):
            alert.rings_at = min(alert.rings_at, now)

    def withhold(self, down: Iterable[Address]) -> int:
        """What waits for addresses whose provider is down counts as failed, though nobody tries it now; returns how
        many times."""
        addresses, now = frozenset(down), self.clock.now()
        if not addresses:
            return 0
        with self.database.reading() as session:
            waiting = waiting_at(session, addresses, now)
        for notice_id in waiting:
            with self.database.writing() as session:
                withheld = record_withheld(session, notice_id, now)
            if withheld:
                self.not_delivered(notice_id)
        return len(waiting)

    def seen(self, alert_id: str, recipient: str) -> int:
        """A recipient has opened what the messages link to; returns how many messages that were not yet seen."""
        with self.database.writing() as session:
            return record_seen(session, alert_id, recipient, self.clock.now())

    def decide_again(self, study_key: str) -> Decision:
        """Put right what the auditor has found."""
        now = self.clock.now()
        with self.database.writing() as session:
            decision = self._settle(session, lock_study(session, study_key, now), now)
        self.wake()
        return decision

    def acknowledge(self, alert_id: str, by: str, via: Via) -> Life:
        """Somebody answered: who, when and how is kept; the first answer stays the answer.

        Raises:
            UnknownAlert: no alert of this id.
        """
        now = self.clock.now()
        with self.database.writing() as session:
            alert = session.scalars(select(Alert).where(Alert.alert_id == alert_id).with_for_update()).one_or_none()
            if alert is None:
                raise UnknownAlert(alert_id)
            answers = life_of(alert).waits_for_a_human or alert.acknowledged_at is None
            happen(session, alert, Happening.ACKNOWLEDGED, now, Circumstances(by=by, reason=via))
            if answers:
                alert.acknowledged_at, alert.acknowledged_by, alert.acknowledged_via = now, by, via
            alert.rings_at = None
            supersede(session, alert.alert_id, frozenset({Purpose.REMINDER}))
            life, took = life_of(alert), now - alert.raised_at
        if answers:
            self.answered(took)
        self.wake()
        return life

    def hand_over(self, alert_id: str, by: str, to: str) -> Life:
        """Give the alert to somebody: it rings there at once, and on from there, until somebody answers.

        Raises:
            UnknownAlert: no alert of this id.
            HandOverRefused: to nobody who can be told, or nobody needs to answer any more.
        """
        now = self.clock.now()
        with self.database.writing() as session:
            alert = session.scalars(select(Alert).where(Alert.alert_id == alert_id).with_for_update()).one_or_none()
            if alert is None:
                raise UnknownAlert(alert_id)
            addresses = self._addresses([to])
            if not addresses:
                raise HandOverRefused(f"{to} cannot be told: choose one of the recipients.")
            if alert.claim == Claim.RETRACTED or alert.answer == Answer.CLOSED:
                raise HandOverRefused("This alert needs no answer any more.")
            happen(session, alert, Happening.HANDED_OVER, now, Circumstances(by=by, to=to))
            alert.acknowledged_at = alert.acknowledged_by = alert.acknowledged_via = None
            alert.handed_to, alert.handed_by, alert.raised_at = to, by, now
            alert.round, alert.handovers = alert.round + 1, alert.handovers + 1
            finding = _finding_of_alert(session, alert)
            alert.rings_at = self.escalation.ring(_matter(alert, finding), _step_of(alert), now).rings_again_at
            supersede(session, alert.alert_id, frozenset({Purpose.REMINDER, Purpose.HANDED_OVER}))
            said = self._said(session, alert)
            self._write_notices(session, alert, said, Purpose.HANDED_OVER, finding, addresses, now, by=by)
            life = life_of(alert)
        self.wake()
        return life

    @staticmethod
    def _said(session: Session, alert: Alert) -> Decision:
        """What the alert says now, for a message that says it again."""
        at = standing(facts_of(session, session.get_one(Study, alert.study_key), lock=False))
        return Decision(Step.RAISE, Reason(alert.reason), at, Topic(alert.topic), Audience.ON_CALL, alert.late)

    def _join(self, session: Session, study: Study) -> bool:
        """Make the study part of the case of an earlier study of the same patient, if there is one."""
        identity = self._opened(study)
        if identity is None or study.case_key != study.study_key or alert_of(session, study.study_key) is not None:
            return False
        study.patient_key = identity.patient_key
        others = list(studies_of_patient(session, study))
        if any(other.case_key == study.study_key for other in others):
            return False
        firsts = (other for other in others if other.case_key == other.study_key)
        known = ((other, self._opened(other)) for other in firsts)
        candidates = [Candidate(other.study_key, other.first_seen_at, it) for other, it in known if it]
        case_key = case_for(identity, study.first_seen_at, candidates, self.policy.join_within)
        if case_key is None or lock_study(session, case_key, study.first_seen_at).case_key != case_key:
            return False
        study.case_key = case_key
        return True

    def _opened(self, study: Study) -> StudyIdentity | None:
        if self.cipher is None or study.identity is None:
            return None
        try:
            identity = self.cipher.open(study.identity, study.study_key)
        except ContractError:
            return None
        return identity if isinstance(identity, StudyIdentity) else None

    def _settle(self, session: Session, study: Study, now: datetime) -> Decision:
        if study.case_key != study.study_key:
            lock_study(session, study.case_key, now)
        facts = facts_of(session, study)
        decision = decide(facts, self.policy, now)
        study.verdict, study.reason = study_standing(facts).verdict, decision.reason
        study.changed_at, study.look_again_at = now, decision.look_again_at
        append(session, EntryKind.DECISION, now, study.study_key, _on_record(decision, _source(session, decision)))
        if decision.step is not Step.NOTHING:
            self._obey(session, study, decision, now)
        return decision

    def _obey(self, session: Session, study: Study, decision: Decision, now: datetime) -> None:
        alert = alert_of(session, study.case_key)
        before = _told_before(session, alert, decision)
        if alert is None:
            alert = _new_alert(study.case_key, decision, now)
            session.add(alert)
            session.flush()
            note(session, alert, AlertState.RAISED, now, Circumstances(reason=decision.reason))
        else:
            _move(session, alert, decision, now)
        if decision.step is not Step.CONFIRM:
            supersede(session, alert.alert_id, overtaken(PURPOSES[decision.step], decision.topic))
        retracts = decision.step is Step.RETRACT
        finding = _source(session, decision) if retracts else _finding_of_alert(session, alert)
        rung = self._ring(session, alert, finding, now) if decision.audience is Audience.ON_CALL else []
        to = list(dict.fromkeys([*rung, *before]))
        unheard = self._unheard(session, alert, decision, to)
        self._write_notices(session, alert, decision, Purpose.ALARM, finding, unheard, now)
        others = [address for address in to if address not in unheard]
        self._write_notices(session, alert, decision, PURPOSES[decision.step], finding, others, now)
        if decision.audience is not Audience.NOBODY and decision.step is Step.RAISE and not to:
            note(session, alert, AlertState.DELIVERY_FAILED, now, Circumstances(reason=NOBODY_TO_TELL))

    @staticmethod
    def _unheard(session: Session, alert: Alert, decision: Decision, to: list[Address]) -> list[Address]:
        """Who has certainly got nothing yet: to them a correction or a confirmation is the alarm itself."""
        if decision.step not in (Step.AMEND, Step.CONFIRM):
            return []
        heard = told(session, alert.alert_id, maybe=False)
        return [address for address in to if address not in heard]

    def _ring(self, session: Session, alert: Alert, finding: FindingProduced | None, now: datetime) -> list[Address]:
        """One round of the bell: who is to be told, and when it rings again."""
        ring = self.escalation.ring(_matter(alert, finding), _step_of(alert), now)
        if life_of(alert).waits_for_a_human:
            alert.rings_at = ring.rings_again_at
        return self._addresses(ring.names)

    def _ring_again(self, session: Session, study: Study, now: datetime) -> None:
        """Nobody has answered: the next round, to the next people."""
        alert = alert_of(session, study.study_key)
        if alert is None or alert.rings_at is None or alert.rings_at > now:
            return  # answered in the meantime
        finding = _finding_of_alert(session, alert)
        decision = self._said(session, alert)
        alert.round += 1
        ring = self.escalation.ring(_matter(alert, finding), _step_of(alert), now)
        alert.rings_at = ring.rings_again_at
        rung = tuple(dict.fromkeys([*((alert.handed_to,) if alert.handed_to else ()), *ring.names]))
        to = self._addresses(rung)
        if not to:
            return  # there is nobody at all; the page says so
        names = ", ".join(rung)[:NAMES_CHARACTERS]
        happen(session, alert, Happening.ESCALATED, now, Circumstances(by=names, reason=ring.reason))
        self._write_notices(session, alert, decision, Purpose.REMINDER, finding, to, now)

    def _addresses(self, names: Iterable[str]) -> list[Address]:
        people = [self.recipients.named(name) for name in names] if self.recipients else []
        return [Address(person.name, channel) for person in people if person for channel in person.first_channels]

    def _write_notices(
        self,
        session: Session,
        alert: Alert,
        decision: Decision,
        purpose: Purpose,
        finding: FindingProduced | None,
        to: list[Address],
        now: datetime,
        by: str = "",
    ) -> None:
        series_key, revision = (finding.series_key, finding.revision) if finding else (None, None)
        occasion = Occasion(alert.changes, alert.round)
        about = finding.study_key if finding else min(decision.standing.studies, default=alert.study_key)
        for address in to:
            message = compose(
                notice_id=notice_id_of(alert.alert_id, series_key, revision, purpose, occasion, address),
                alert_id=alert.alert_id,
                study_key=about,
                purpose=purpose,
                decision=decision,
                finding=finding,
                recipient=address.recipient,
                round_number=alert.round,
                decided_at=now,
                link=self.links.study(about),
                acknowledge_link=self.links.acknowledge(alert.alert_id, address.recipient, now),
                place=self.links.place,
                parts=self.parts,
                by=by,
            )
            supersede(session, alert.alert_id, overtaken(purpose, decision.topic), address)
            person = self.recipients.named(address.recipient) if self.recipients else None
            in_turn = bool(person and address.channel in person.in_turn) and purpose in RINGS
            enqueue(session, message, address, now, change=alert.changes, in_turn=in_turn)


def _told_before(session: Session, alert: Alert | None, decision: Decision) -> list[Address]:
    """Who must hear of a change: what is taken back goes to those who may have got it, and to nobody else."""
    if alert is None or decision.audience is Audience.NOBODY:
        return []
    return told(session, alert.alert_id, maybe=decision.step is not Step.RETRACT)


def _source(session: Session, decision: Decision) -> FindingProduced | None:
    source = decision.standing.source
    return finding_of(session, source.series_key, source.revision) if source else None


def _on_record(decision: Decision, finding: FindingProduced | None) -> dict[str, object]:
    """What the record keeps of a decision: what it rests on, and what follows."""
    evidence = finding.model_dump(mode="json", exclude_none=True, exclude=NOT_ON_RECORD) if finding else {}
    return {
        "step": decision.step,
        "reason": decision.reason,
        "verdict": decision.standing.verdict,
        "topic": decision.topic,
        "audience": decision.audience,
        "late": decision.late,
        "finding": evidence,
    }


def _step_of(alert: Alert) -> int:
    """How far the escalation has come: a hand-over rings, but is no step of it."""
    return alert.round - alert.handovers


def _finding_of_alert(session: Session, alert: Alert) -> FindingProduced | None:
    if alert.series_key is None or alert.finding_revision is None:
        return None
    return finding_of(session, alert.series_key, alert.finding_revision)


def _matter(alert: Alert, finding: FindingProduced | None) -> Matter:
    return Matter(Topic(alert.topic), finding.calling_ae if finding else None, alert.leading, alert.late)


def alert_id_of(study_key: str) -> str:
    """One alert per study, with the same id for ever, also after a lost database."""
    return hashlib.sha256(f"alert\0{study_key}".encode()).hexdigest()[:32]


def _new_alert(study_key: str, decision: Decision, now: datetime) -> Alert:
    alert = Alert(
        alert_id=alert_id_of(study_key),
        study_key=study_key,
        topic=decision.topic,
        claim=decision.claim,
        answer=Life(decision.topic, decision.claim).answer,
        raised_at=now,
        changed_at=now,
        round=0,
        changes=0,
        handovers=0,
    )
    _state_claim(alert, decision)
    return alert


def _move(session: Session, alert: Alert, decision: Decision, now: datetime) -> None:
    """Bring a known alert to what the decision says."""
    alert.changes += 1
    match decision.step:
        case Step.RAISE:
            _reopen(session, alert, decision, now)
        case Step.CONFIRM:
            happen(session, alert, Happening.CONFIRMED, now, Circumstances(reason=decision.reason))
        case Step.AMEND:
            happen(session, alert, Happening.AMENDED, now, Circumstances(reason=decision.reason))
        case Step.RETRACT:
            happen(session, alert, Happening.RETRACTED, now, Circumstances(reason=decision.reason))
            alert.rings_at = None
    if decision.step is not Step.RETRACT:
        alert.topic = decision.topic
        _state_claim(alert, decision)


def _reopen(session: Session, alert: Alert, decision: Decision, now: datetime) -> None:
    life = life_of(alert).reopened(decision.topic, decision.claim)
    alert.topic, alert.claim, alert.answer = life.topic, life.claim, life.answer
    alert.acknowledged_at = alert.acknowledged_by = alert.acknowledged_via = None
    alert.handed_to = alert.handed_by = None
    alert.handovers = 0
    alert.raised_at = alert.changed_at = now
    alert.round = 0
    note(session, alert, AlertState.RAISED, now, Circumstances(reason=decision.reason))


def _state_claim(alert: Alert, decision: Decision) -> None:
    """Keep what is being said, so that a later change of it can be noticed."""
    source = decision.standing.source
    alert.reason, alert.late = decision.reason, decision.late
    alert.sides, alert.leading = join_sides(decision.standing.sides), decision.standing.leading
    alert.studies = ",".join(sorted(decision.standing.studies))
    alert.series_key = source.series_key if source else None
    alert.finding_revision = source.revision if source else None
