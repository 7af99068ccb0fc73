"""The desk: takes what comes in, has it decided, and does what the decision says, each in one transaction.

Laws: locks are taken in the order study, alert, notice; what people must be told is in the outbox when the finding is
in the store, or neither is.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.decision import Audience, Decision, Policy, Step, decide
from alerts.errors import UnknownAlert
from alerts.life import Happening, Life
from alerts.messages import PURPOSES, Purpose, compose
from alerts.ports import Clock, Wake
from alerts.recipients import Recipients
from alerts.store.database import Database
from alerts.store.outbox import Address, enqueue, happen, note, notice_id_of, supersede, told
from alerts.store.schema import Alert, Series, Study
from alerts.store.studies import (
    add_finding,
    alert_of,
    facts_of,
    finding_of,
    insert_missing,
    join_sides,
    life_of,
    lock_study,
)
from streams.contracts.alerts import AlertState
from streams.contracts.findings import FindingProduced


class Via(StrEnum):
    """How somebody acknowledged."""

    PAGE = "page"
    LINK = "link"
    API = "api"


@dataclass(frozen=True)
class Links:
    """Makes the addresses that messages carry."""

    public_url: str
    place: str = ""
    """The site's name for itself, in every message."""
    acknowledge: Callable[[str, str, datetime], str | None] = lambda _alert, _recipient, _now: None

    def study(self, study_key: str) -> str:
        return f"{self.public_url}/studies/{study_key}"


@dataclass(frozen=True)
class Desk:
    """Everything that changes what the service knows goes through here."""

    database: Database
    clock: Clock
    policy: Policy
    recipients: Recipients | None
    links: Links
    wake: Wake = field(default=lambda: None)
    """Called after each commit that may have put something in the outbox."""

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
            lock_study(session, study_key, seen_at).identity = envelope

    def take_series_identity(self, study_key: str, series_key: str, envelope: bytes, seen_at: datetime) -> None:
        with self.database.writing() as session:
            lock_study(session, study_key, seen_at)
            insert_missing(session, Series, series_key=series_key, study_key=study_key)
            session.get_one(Series, series_key).identity = envelope

    def look_again(self) -> int:
        """Decide again about the studies whose time has come; returns how many."""
        now = self.clock.now()
        with self.database.reading() as session:
            due = session.scalars(select(Study.study_key).where(Study.look_again_at <= now)).all()
        for study_key in due:
            with self.database.writing() as session:
                self._settle(session, lock_study(session, study_key, now), now)
        if due:
            self.wake()
        return len(due)

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
            happen(session, alert, Happening.ACKNOWLEDGED, now, by=by, reason=via)
            if answers:
                alert.acknowledged_at, alert.acknowledged_by, alert.acknowledged_via = now, by, via
            alert.rings_at = None
            life = life_of(alert)
        self.wake()
        return life

    def _settle(self, session: Session, study: Study, now: datetime) -> Decision:
        decision = decide(facts_of(session, study), self.policy, now)
        study.verdict, study.reason = decision.standing.verdict, decision.reason
        study.changed_at, study.look_again_at = now, decision.look_again_at
        if decision.step is not Step.NOTHING:
            self._obey(session, study, decision, now)
        return decision

    def _obey(self, session: Session, study: Study, decision: Decision, now: datetime) -> None:
        alert = alert_of(session, study.study_key)
        to = self._audience(session, alert, decision)
        if alert is None:
            alert = _new_alert(study.study_key, decision, now)
            session.add(alert)
            session.flush()
            note(session, alert, AlertState.RAISED, now, reason=decision.reason)
        else:
            _move(session, alert, decision, now)
        if decision.step is not Step.CONFIRM:
            supersede(session, alert.alert_id)
        self._write_notices(session, alert, decision, PURPOSES[decision.step], to, now)

    def _audience(self, session: Session, alert: Alert | None, decision: Decision) -> list[Address]:
        if decision.audience is Audience.NOBODY:
            return []
        maybe = decision.step is not Step.RETRACT
        before = told(session, alert.alert_id, maybe=maybe) if alert else []
        on_call = self._everyone() if decision.audience is Audience.ON_CALL else []
        return list(dict.fromkeys([*on_call, *before]))

    def _everyone(self) -> list[Address]:
        people = self.recipients.recipients if self.recipients else ()
        return [Address(recipient.name, channel) for recipient in people for channel in recipient.channels]

    def _write_notices(
        self, session: Session, alert: Alert, decision: Decision, purpose: Purpose, to: list[Address], now: datetime
    ) -> None:
        source = decision.standing.source
        finding = finding_of(session, source.series_key, source.revision) if source else None
        for address in to:
            notice_id = notice_id_of(
                alert.alert_id,
                source.series_key if source else None,
                source.revision if source else None,
                purpose,
                alert.round,
                address,
            )
            message = compose(
                notice_id=notice_id,
                alert_id=alert.alert_id,
                study_key=alert.study_key,
                purpose=purpose,
                decision=decision,
                finding=finding,
                recipient=address.recipient,
                round_number=alert.round,
                decided_at=now,
                link=self.links.study(alert.study_key),
                acknowledge_link=self.links.acknowledge(alert.alert_id, address.recipient, now),
                place=self.links.place,
            )
            supersede(session, alert.alert_id, address)
            enqueue(session, message, address, now)


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
    )
    _state_claim(alert, decision)
    return alert


def _move(session: Session, alert: Alert, decision: Decision, now: datetime) -> None:
    """Bring a known alert to what the decision says."""
    match decision.step:
        case Step.RAISE:
            _reopen(session, alert, decision, now)
        case Step.CONFIRM:
            happen(session, alert, Happening.CONFIRMED, now, reason=decision.reason)
        case Step.AMEND:
            happen(session, alert, Happening.AMENDED, now, reason=decision.reason)
        case Step.RETRACT:
            happen(session, alert, Happening.RETRACTED, now, reason=decision.reason)
            alert.rings_at = None
    if decision.step is not Step.RETRACT:
        alert.topic = decision.topic
        _state_claim(alert, decision)


def _reopen(session: Session, alert: Alert, decision: Decision, now: datetime) -> None:
    life = life_of(alert).reopened(decision.topic, decision.claim)
    alert.topic, alert.claim, alert.answer = life.topic, life.claim, life.answer
    alert.acknowledged_at = alert.acknowledged_by = alert.acknowledged_via = None
    alert.raised_at = alert.changed_at = now
    alert.round = 0
    note(session, alert, AlertState.RAISED, now, reason=decision.reason)


def _state_claim(alert: Alert, decision: Decision) -> None:
    """Keep what is being said, so that a later change of it can be noticed."""
    source = decision.standing.source
    alert.reason, alert.late = decision.reason, decision.late
    alert.sides, alert.leading = join_sides(decision.standing.sides), decision.standing.leading
    alert.series_key = source.series_key if source else None
    alert.finding_revision = source.revision if source else None
