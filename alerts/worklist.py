"""What doctors see: the list of studies by urgency, and one study with all that is known about it.

Laws: the most urgent first, and no study with an unanswered alert ever falls off the list; identities are opened for
the view alone and kept nowhere.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from alerts import wording
from alerts.decision import Reason, Verdict
from alerts.desk import NOBODY_TO_TELL
from alerts.errors import FailureKind, UnknownAlert, UnknownStudy
from alerts.escalation import RingReason
from alerts.life import WAITING_FOR_A_HUMAN, Answer, Claim, Topic, Via
from alerts.recipients import ChannelKind
from alerts.store.outbox import OWED, NoticeState
from alerts.store.schema import Alert, Finding, Happened, Notice, Series, Study
from alerts.store.studies import life_of
from streams.contracts.alerts import AlertChanged, AlertState
from streams.contracts.errors import ContractError
from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.identities import IdentityCipher, SeriesIdentity, StudyIdentity

LISTED = 200
"""Studies on the list, besides those that wait for an answer."""

LISTED_FOR = timedelta(days=2)


class Urgency(StrEnum):
    """Groups of the list, most urgent first; the order of the members is the order on the page."""

    BLEED_WAITING = "bleed_waiting"
    NOT_ANALYSED_WAITING = "not_analysed_waiting"
    NOT_ANALYSED = "not_analysed"
    BLEED_ANSWERED = "bleed_answered"
    NOT_ANALYSED_ANSWERED = "not_analysed_answered"
    ARRIVING = "arriving"
    CLEAR = "clear"


ORDER = {urgency: place for place, urgency in enumerate(Urgency)}


class View(BaseModel):
    model_config = ConfigDict(frozen=True)


class NoticeView(View):
    """One message to one recipient on one channel."""

    recipient: str
    channel: ChannelKind
    purpose: str
    state: NoticeState
    round: int
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    seen_at: datetime | None
    failure: FailureKind | None

    @property
    def words(self) -> str:
        match self.state:
            case _ if self.seen_at:
                return "seen"
            case NoticeState.DELIVERED:
                return "delivered"
            case NoticeState.SUPERSEDED:
                return "replaced by a newer message"
            case _ if self.failure:
                tries = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
                return f"{wording.FAILURES[self.failure]} ({tries}), being retried"
            case _:
                return "being sent"


class AlertView(View):
    alert_id: str
    study_key: str
    topic: Topic
    claim: Claim
    answer: Answer
    reason: Reason
    late: bool
    waits_for_a_human: bool
    raised_at: datetime
    changed_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    acknowledged_via: str | None
    handed_to: str | None
    round: int
    series_key: str | None
    finding_revision: int | None
    notices: tuple[NoticeView, ...] = ()

    @property
    def delivered(self) -> tuple[NoticeView, ...]:
        return tuple(n for n in self.notices if n.delivered_at)

    @property
    def failing(self) -> tuple[NoticeView, ...]:
        return tuple(n for n in self.notices if n.state is NoticeState.FAILED)


class SeriesView(View):
    """A series and its newest finding."""

    series_key: str
    findings: tuple[FindingProduced, ...]
    """All revisions, oldest first; never empty."""

    @property
    def latest(self) -> FindingProduced:
        return self.findings[-1]

    @property
    def words(self) -> str:
        return wording.verdict_words(self.latest)


class StudyView(View):
    study_key: str
    study: str
    """The short hash."""
    verdict: Verdict
    reason: Reason
    urgency: Urgency
    headline: str
    first_seen_at: datetime
    changed_at: datetime
    result_unreadable: bool
    alert: AlertView | None
    series: tuple[SeriesView, ...]


class EventView(View):
    event: AlertChanged

    @property
    def words(self) -> str:
        parts = [wording.STATES[self.event.state]]
        if self.event.recipient and self.event.channel:
            parts.append(f"{self.event.recipient} by {wording.CHANNELS[ChannelKind(self.event.channel)]}")
        if self.event.recipient and not self.event.channel:
            parts.append(f"to {self.event.recipient}")
        if self.event.by:
            parts.append(f"{'to' if self.event.state is AlertState.ESCALATED else 'by'} {self.event.by}")
        if self.event.reason:
            parts.append(reason_in_words(self.event.reason))
        return ", ".join(parts)


def reason_in_words(reason: str) -> str:
    """Words for any reason that an event may carry."""
    if reason in set(Reason):
        return wording.REASONS[Reason(reason)]
    if reason in set(FailureKind):
        return wording.FAILURES[FailureKind(reason)]
    if reason in set(RingReason):
        return wording.RING_REASONS[RingReason(reason)]
    if reason in set(Via):
        return wording.VIAS[Via(reason)]
    if reason == NOBODY_TO_TELL:
        return "nobody is configured to be told"
    return reason


def worklist(session: Session, now: datetime) -> list[StudyView]:
    """All studies to be shown, most urgent first, the longest wait first among equals."""
    waiting = (
        select(Study.study_key)
        .join(Alert, Alert.study_key == Study.case_key)
        .where(Alert.answer.in_(WAITING_FOR_A_HUMAN), Alert.claim != Claim.RETRACTED)
    )
    recent = select(Study.study_key).where(Study.changed_at > now - LISTED_FOR)
    recent = recent.order_by(Study.changed_at.desc()).limit(LISTED)
    keys = set(session.scalars(waiting)) | set(session.scalars(recent))
    return sorted(_views(session, keys), key=_place)


def _place(view: StudyView) -> tuple[int, float]:
    since = view.alert.raised_at if view.alert else view.changed_at
    oldest_first = view.urgency in (Urgency.BLEED_WAITING, Urgency.NOT_ANALYSED_WAITING, Urgency.ARRIVING)
    return ORDER[view.urgency], since.timestamp() if oldest_first else -since.timestamp()


def one_study(session: Session, study_key: str) -> StudyView:
    """One study.

    Raises:
        UnknownStudy: there is none of this key.
    """
    views = _views(session, {study_key})
    if not views:
        raise UnknownStudy(study_key)
    return views[0]


def source_of(view: StudyView) -> FindingProduced | None:
    """The finding that stands for a study: the one its alert rests on, else the newest of its most telling series."""
    for finding in (finding for one in view.series for finding in one.findings):
        if view.alert and (finding.series_key, finding.revision) == (
            view.alert.series_key,
            view.alert.finding_revision,
        ):
            return finding
    return view.series[0].latest if view.series else None


def study_of_alert(session: Session, alert_id: str) -> StudyView:
    """The study that an alert is about.

    Raises:
        UnknownAlert: there is none of this id.
    """
    alert = session.get(Alert, alert_id)
    if alert is None:
        raise UnknownAlert(alert_id)
    speaking = select(Finding.study_key).where(
        Finding.series_key == alert.series_key, Finding.revision == alert.finding_revision
    )
    return one_study(session, session.scalar(speaking) or alert.study_key)


def alerts_of(session: Session, *, waiting_only: bool) -> list[AlertView]:
    """The alerts, newest first."""
    query = select(Alert).order_by(Alert.raised_at.desc()).limit(LISTED)
    if waiting_only:
        query = query.where(Alert.answer.in_(WAITING_FOR_A_HUMAN), Alert.claim != Claim.RETRACTED)
    alerts = session.scalars(query).all()
    notices = _notices(session, [alert.alert_id for alert in alerts])
    return [_alert_view(alert, notices.get(alert.alert_id, [])) for alert in alerts]


def history_of(session: Session, alert_id: str) -> list[EventView]:
    """The life of one alert, oldest first."""
    bodies = session.scalars(select(Happened.body).where(Happened.alert_id == alert_id).order_by(Happened.number))
    return [EventView(event=AlertChanged.decode(body.encode())) for body in bodies]


def _views(session: Session, keys: set[str]) -> list[StudyView]:
    studies = session.scalars(select(Study).where(Study.study_key.in_(keys))).all()
    alerts = session.scalars(select(Alert).where(Alert.study_key.in_({study.case_key for study in studies}))).all()
    notices = _notices(session, [alert.alert_id for alert in alerts])
    by_case = {a.study_key: (a, _alert_view(a, notices.get(a.alert_id, []))) for a in alerts}
    alert_views = {
        study.study_key: by_case[study.case_key][1]
        for study in studies
        if study.case_key in by_case and _is_about(by_case[study.case_key][0], study)
    }
    series = _series(session, keys)
    return [_study_view(s, alert_views.get(s.study_key), series.get(s.study_key, [])) for s in studies]


def _is_about(alert: Alert, study: Study) -> bool:
    """Whether a case's alert speaks of this study of it."""
    return study.study_key in (alert.studies or alert.study_key).split(",")


def _notices(session: Session, alert_ids: Sequence[str]) -> dict[str, list[NoticeView]]:
    rows = session.scalars(
        select(Notice).where(Notice.alert_id.in_(alert_ids)).order_by(Notice.created_at, Notice.number)
    )
    found: dict[str, list[NoticeView]] = {}
    for row in rows:
        found.setdefault(row.alert_id, []).append(NoticeView.model_validate(row, from_attributes=True))
    return found


def _series(session: Session, keys: set[str]) -> dict[str, list[SeriesView]]:
    rows = session.execute(
        select(Finding.study_key, Finding.series_key, Finding.body)
        .where(Finding.study_key.in_(keys))
        .order_by(Finding.study_key, Finding.series_key, Finding.revision)
    )
    revisions: dict[tuple[str, str], list[FindingProduced]] = {}
    for study_key, series_key, body in rows:
        revisions.setdefault((study_key, series_key), []).append(FindingProduced.decode(body.encode()))
    found: dict[str, list[SeriesView]] = {}
    for (study_key, series_key), findings in revisions.items():
        found.setdefault(study_key, []).append(SeriesView(series_key=series_key, findings=tuple(findings)))
    return {key: sorted(series, key=_most_telling) for key, series in found.items()}


OUTCOMES = (Outcome.POSITIVE, Outcome.FAILED, Outcome.NEGATIVE, Outcome.NOT_ASSESSABLE)


def _most_telling(series: SeriesView) -> tuple[int, float]:
    return OUTCOMES.index(series.latest.outcome), -(series.latest.score or 0.0)


def _alert_view(alert: Alert, notices: list[NoticeView]) -> AlertView:
    names = set(AlertView.model_fields) - {"waits_for_a_human", "notices"}
    return AlertView.model_validate(
        {name: getattr(alert, name) for name in names}
        | {"waits_for_a_human": life_of(alert).waits_for_a_human, "notices": tuple(notices)}
    )


def _study_view(study: Study, alert: AlertView | None, series: list[SeriesView]) -> StudyView:
    verdict = Verdict(study.verdict)
    return StudyView(
        study_key=study.study_key,
        study=wording.short_hash(study.study_key),
        verdict=verdict,
        reason=Reason(study.reason),
        urgency=urgency_of(verdict, alert),
        headline=_headline(verdict, alert, series),
        first_seen_at=study.first_seen_at,
        changed_at=study.changed_at,
        result_unreadable=study.result_unreadable,
        alert=alert,
        series=tuple(series),
    )


def urgency_of(verdict: Verdict, alert: AlertView | None) -> Urgency:
    """Where on the list a study stands."""
    waits = alert is not None and alert.waits_for_a_human
    match verdict:
        case Verdict.BLEED:
            return Urgency.BLEED_WAITING if waits else Urgency.BLEED_ANSWERED
        case Verdict.FAILED | Verdict.NOT_ASSESSABLE:
            if waits:
                return Urgency.NOT_ANALYSED_WAITING
            return Urgency.NOT_ANALYSED_ANSWERED if alert else Urgency.NOT_ANALYSED
        case Verdict.ARRIVING:
            if alert is None:
                return Urgency.ARRIVING
            return Urgency.NOT_ANALYSED_WAITING if waits else Urgency.NOT_ANALYSED_ANSWERED
        case Verdict.CLEAR:
            return Urgency.CLEAR


def _headline(verdict: Verdict, alert: AlertView | None, series: Iterable[SeriesView]) -> str:
    """What the study's standing rests on, in words."""
    findings = [finding for one in series for finding in one.findings]
    if verdict is Verdict.ARRIVING and alert:
        return "Not analysed: no result came in time, read it yourself"
    if verdict is Verdict.BLEED and alert:
        for finding in findings:
            if (finding.series_key, finding.revision) == (alert.series_key, alert.finding_revision):
                return wording.bleed_words(finding)
    outcomes = {Verdict.FAILED: Outcome.FAILED, Verdict.NOT_ASSESSABLE: Outcome.NOT_ASSESSABLE}
    latest = [one.latest for one in series]
    for finding in latest:
        if finding.outcome is outcomes.get(verdict):
            return f"{wording.VERDICTS[verdict]} ({wording.reason_words(finding.reasons)})"
    return wording.VERDICTS[verdict]


def study_identities(session: Session, cipher: IdentityCipher | None, keys: Iterable[str]) -> dict[str, StudyIdentity]:
    """Who the patients are, by study key, as far as it can be said."""
    rows = session.execute(select(Study.study_key, Study.identity).where(Study.study_key.in_(list(keys))))
    opened = {key: _opened(cipher, envelope, key) for key, envelope in rows}
    return {key: identity for key, identity in opened.items() if isinstance(identity, StudyIdentity)}


def series_identities(session: Session, cipher: IdentityCipher | None, study_key: str) -> dict[str, SeriesIdentity]:
    """The identities of a study's series that can be opened, by series key."""
    rows = session.execute(select(Series.series_key, Series.identity).where(Series.study_key == study_key))
    opened = {key: _opened(cipher, envelope, f"{study_key}:{key}") for key, envelope in rows}
    return {key: identity for key, identity in opened.items() if isinstance(identity, SeriesIdentity)}


def _opened(
    cipher: IdentityCipher | None, envelope: bytes | None, message_key: str
) -> StudyIdentity | SeriesIdentity | None:
    if cipher is None or envelope is None:
        return None
    try:
        return cipher.open(envelope, message_key)
    except ContractError:
        return None


class ChannelHealth(View):
    """How one recipient's channel has been doing lately."""

    recipient: str
    channel: ChannelKind
    accepted_at: datetime | None
    """The last time that it accepted a message."""
    waiting: int
    failing: int
    failure: FailureKind | None
    """Of what waits."""


def channel_health(session: Session, since: datetime) -> list[ChannelHealth]:
    """Every channel to which something was written lately, or waits."""
    owed = Notice.state.in_(OWED)
    rows = session.execute(
        select(
            Notice.recipient,
            Notice.channel,
            func.max(Notice.delivered_at),
            func.sum(case((owed, 1), else_=0)),
            func.sum(case((Notice.state == NoticeState.FAILED, 1), else_=0)),
            func.max(case((owed, Notice.failure), else_=None)),
        )
        .where(or_(Notice.created_at > since, owed))
        .group_by(Notice.recipient, Notice.channel)
        .order_by(Notice.recipient, Notice.channel)
    )
    names = tuple(ChannelHealth.model_fields)
    return [ChannelHealth(**dict(zip(names, row, strict=True))) for row in rows]


class Counts(View):
    """For the metrics and the page's banner."""

    answers: dict[Answer, int]
    waiting: int
    waiting_since: datetime | None
    owed: int
    owed_since: datetime | None
    failed: int
    unpublished: int
    arriving: int
    arriving_since: datetime | None


def counts(session: Session) -> Counts:
    waiting = select(func.count(), func.min(Alert.raised_at)).where(
        Alert.answer.in_(WAITING_FOR_A_HUMAN), Alert.claim != Claim.RETRACTED
    )
    owed = select(func.count(), func.min(Notice.created_at)).where(Notice.state.in_(OWED))
    failed = select(func.count()).where(Notice.state == NoticeState.FAILED)
    unpublished = select(func.count()).where(Happened.published_at.is_(None))
    arriving = select(func.count(), func.min(Study.first_seen_at)).where(Study.verdict == Verdict.ARRIVING)
    alerts, since = session.execute(waiting).one()
    studies, studies_since = session.execute(arriving).one()
    notices, oldest = session.execute(owed).one()
    answers = select(Alert.answer, func.count()).group_by(Alert.answer)
    return Counts(
        answers={Answer(answer): count for answer, count in session.execute(answers)},
        waiting=alerts,
        waiting_since=since,
        owed=notices,
        owed_since=oldest,
        failed=session.scalar(failed) or 0,
        unpublished=session.scalar(unpublished) or 0,
        arriving=studies,
        arriving_since=studies_since,
    )


def version(session: Session) -> str:
    """Changes whenever the list may have changed."""
    studies = session.scalar(select(func.max(Study.changed_at)))
    events = session.scalar(select(func.max(Happened.number)))
    notices = session.scalar(select(func.sum(Notice.attempts)).where(or_(Notice.state.in_(OWED))))
    return f"{studies.timestamp() if studies else 0}-{events or 0}-{notices or 0}"
