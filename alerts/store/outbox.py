"""The two outboxes in the database: notices to people, and events to ``triage.alerts.v1``.

Laws: a notice is written in the transaction that decides it, once per (alert, finding, purpose, round, recipient,
channel); one attempt at a time per recipient and channel, the fresh before the retried, so a dead channel delays only
itself; an attempt is counted before it is made, its success only after it has been.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session, aliased

from alerts.errors import FailureKind
from alerts.life import PUBLISHED_AS, Happening, Topic
from alerts.messages import Message, Purpose
from alerts.recipients import ChannelKind
from alerts.store.record import EntryKind, append
from alerts.store.schema import Alert, Finding, Happened, Lease, Notice
from alerts.store.studies import insert_missing, life_of
from streams.contracts.alerts import AlertChanged, AlertState


class NoticeState(StrEnum):
    PENDING = "pending"
    """To be sent, now or at the next try."""
    FAILED = "failed"
    """Tried so often that people must know; still tried, slowly."""
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    """A newer message says what this one would have said, or takes it back before anybody got it."""


CORRECTIONS = frozenset({Purpose.AMENDED, Purpose.RETRACTED})

CLAIM_LOCK = 0x70C51
"""Any number that nothing else in the database uses as an advisory lock."""

OWED = (NoticeState.PENDING, NoticeState.FAILED)


@dataclass(frozen=True)
class Address:
    """A recipient on a channel."""

    recipient: str
    channel: ChannelKind


@dataclass(frozen=True)
class Attempt:
    """A notice taken for sending."""

    message: Message
    address: Address
    attempts: int
    """Including this one."""


@dataclass(frozen=True)
class FirstDelivery:
    """The clocks of the finding whose alert has just reached its first human."""

    first_slice_at: datetime
    decisive_slice_at: datetime | None
    produced_at: datetime


def notice_id_of(
    alert_id: str, series_key: str | None, revision: int | None, purpose: str, round_number: int, address: Address
) -> str:
    """The same message has the same id, also when the database was lost and the findings are replayed."""
    parts = (alert_id, series_key or "", str(revision), purpose, str(round_number), address.recipient, address.channel)
    return hashlib.sha256("\0".join(("notice", *parts)).encode()).hexdigest()[:32]


def enqueue(session: Session, message: Message, address: Address, now: datetime) -> bool:
    """Put a message in the outbox; False if it is already there."""
    number = session.scalar(select(func.count()).where(Notice.alert_id == message.alert_id)) or 0
    return insert_missing(
        session,
        Notice,
        notice_id=message.notice_id,
        number=number,
        alert_id=message.alert_id,
        study_key=message.study_key,
        series_key=message.series_key,
        finding_revision=message.finding_revision,
        purpose=message.purpose,
        recipient=address.recipient,
        channel=address.channel,
        round=message.round,
        message=message.body().decode(),
        state=NoticeState.PENDING,
        attempts=0,
        due_at=now,
        created_at=now,
    )


def told(session: Session, alert_id: str, *, maybe: bool) -> list[Address]:
    """Who got a message of this alert, or may have got one; with ``maybe`` also those whose message still waits."""
    query = select(Notice.recipient, Notice.channel).where(Notice.alert_id == alert_id).distinct()
    reached = Notice.attempts > 0
    query = query.where(or_(reached, Notice.state.in_(OWED)) if maybe else reached).order_by("recipient", "channel")
    return [Address(recipient, ChannelKind(channel)) for recipient, channel in session.execute(query)]


def overtaken(purpose: Purpose, topic: Topic) -> frozenset[Purpose]:
    """What need not be sent any more once a message of this purpose is to be.

    A correction that is still owed is overtaken only by a later correction or by a new bleed, which it would
    contradict: whoever holds a warning that is no longer true must learn so.
    """
    if purpose in CORRECTIONS or (purpose is Purpose.ALARM and topic is Topic.BLEED):
        return frozenset(Purpose)
    return frozenset(Purpose) - CORRECTIONS


def supersede(session: Session, alert_id: str, purposes: frozenset[Purpose], address: Address | None = None) -> None:
    """Send no more what has been overtaken: of the whole alert, or of one address."""
    owed = update(Notice).where(Notice.alert_id == alert_id, Notice.state.in_(OWED), Notice.purpose.in_(purposes))
    if address:
        owed = owed.where(Notice.recipient == address.recipient, Notice.channel == address.channel)
    session.execute(owed.values(state=NoticeState.SUPERSEDED))


def owed_addresses(session: Session) -> list[Address]:
    """Everyone for whom something waits."""
    rows = session.execute(select(Notice.recipient, Notice.channel).where(Notice.state.in_(OWED)).distinct())
    return [Address(recipient, ChannelKind(channel)) for recipient, channel in rows]


def alerts_owing(session: Session, address: Address) -> list[Alert]:
    """The alerts of which something waits for an address, held until the end of the transaction."""
    owing = select(Notice.alert_id).where(
        Notice.recipient == address.recipient, Notice.channel == address.channel, Notice.state.in_(OWED)
    )
    alerts = select(Alert).where(Alert.alert_id.in_(owing)).order_by(Alert.alert_id).with_for_update()
    return list(session.scalars(alerts))


def ring_failed(session: Session, alert: Alert) -> bool:
    """Whether every message of the alert's present round has failed so often that people must know."""
    states = set(
        session.scalars(
            select(Notice.state).where(
                Notice.alert_id == alert.alert_id,
                Notice.round == alert.round,
                Notice.created_at >= alert.raised_at,
                Notice.state != NoticeState.SUPERSEDED,
            )
        )
    )
    return states == {NoticeState.FAILED}


def claim(session: Session, holder: str, now: datetime, lease: timedelta) -> Attempt | None:
    """Take the most urgent notice that is due, for as long as the lease; None when there is nothing to do."""
    _one_claim_at_a_time(session)
    other = aliased(Notice)
    lane_busy = select(other.notice_id).where(
        other.recipient == Notice.recipient, other.channel == Notice.channel, other.leased_until > now
    )
    due = (
        select(Notice, Alert)
        .join(Alert, Alert.alert_id == Notice.alert_id)
        .where(Notice.state.in_(OWED), Notice.due_at <= now, ~lane_busy.exists())
        .order_by(Notice.attempts, Notice.due_at, Notice.number)
        .limit(1)
        .with_for_update(skip_locked=True, of=Alert)  # a row lock on the notice would outlive its being skipped
    )
    found = session.execute(due).one_or_none()
    if found is None:
        return None
    notice, alert = found
    session.refresh(notice)  # as it is under the alert's lock: it may have been superseded while the lock was won
    if notice.state not in OWED or notice.due_at > now:
        return claim(session, holder, now, lease)
    notice.attempts += 1
    notice.leased_until, notice.leased_by = now + lease, holder
    address = Address(notice.recipient, ChannelKind(notice.channel))
    if notice.sent_at is None:
        notice.sent_at = now
        happen(session, alert, Happening.SENT, now, address=address, notice=notice)
    return Attempt(Message.model_validate_json(notice.message), address, notice.attempts)


def _one_claim_at_a_time(session: Session) -> None:
    """PostgreSQL looks again at a row that it had to wait for, but not at the rows that a subquery had asked: without
    this, two workers could take one lane, or one notice. SQLite's write lock does the same by itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK)))


def release(session: Session, holder: str) -> None:
    """Give back what this holder had taken when it was killed."""
    mine = update(Notice).where(Notice.leased_by == holder)
    session.execute(mine.values(leased_until=None, leased_by=None))


def record_delivered(session: Session, notice_id: str, now: datetime) -> FirstDelivery | None:
    """The channel accepted the message. Returns the finding's clocks when it is the alert's first to arrive."""
    alert, notice = _held(session, notice_id)
    notice.state, notice.delivered_at = NoticeState.DELIVERED, now
    notice.leased_until = notice.leased_by = notice.failure = notice.failure_detail = None
    is_first = _is_first_delivery(session, notice)
    happen(session, alert, Happening.DELIVERED, now, address=_address(notice), notice=notice)
    return _clocks(session, notice) if is_first else None


def _is_first_delivery(session: Session, notice: Notice) -> bool:
    others = select(func.count()).where(
        Notice.alert_id == notice.alert_id,
        Notice.state == NoticeState.DELIVERED,
        Notice.notice_id != notice.notice_id,
    )
    return session.scalar(others) == 0


def _clocks(session: Session, notice: Notice) -> FirstDelivery | None:
    if notice.series_key is None or notice.finding_revision is None:
        return None
    finding = session.get(Finding, (notice.series_key, notice.finding_revision))
    if finding is None:
        return None
    return FirstDelivery(finding.first_slice_at, finding.decisive_slice_at, finding.produced_at)


def record_failure(
    session: Session,
    notice_id: str,
    kind: FailureKind,
    detail: str,
    now: datetime,
    retry_at: datetime,
    *,
    people_must_know: bool,
) -> bool:
    """The attempt failed; it is due again at ``retry_at``. Says whether people must know from now on.

    A superseded notice stays so.
    """
    alert, notice = _held(session, notice_id)
    notice.leased_until = notice.leased_by = None
    notice.failure, notice.failure_detail = kind, detail
    notice.due_at = retry_at
    if not people_must_know or notice.state != NoticeState.PENDING:
        return False
    notice.state = NoticeState.FAILED
    happen(session, alert, Happening.DELIVERY_FAILED, now, address=_address(notice), notice=notice, reason=kind)
    return True


def happen(
    session: Session,
    alert: Alert,
    happening: Happening,
    now: datetime,
    *,
    address: Address | None = None,
    notice: Notice | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> None:
    """Move the alert on, as its life allows, and tell the world by the same commit."""
    life = life_of(alert).after(happening)
    alert.claim, alert.answer, alert.changed_at = life.claim, life.answer, now
    note(session, alert, PUBLISHED_AS[happening], now, address=address, notice=notice, by=by, reason=reason)


def note(
    session: Session,
    alert: Alert,
    state: AlertState,
    now: datetime,
    *,
    address: Address | None = None,
    notice: Notice | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> None:
    """Write an event of the alert's life, to be shown, published and kept on record."""
    changed = AlertChanged(
        alert_id=alert.alert_id,
        study_key=alert.study_key,
        state=state,
        at=now,
        finding_revision=notice.finding_revision if notice else alert.finding_revision,
        series_key=notice.series_key if notice else alert.series_key,
        recipient=address.recipient if address else None,
        channel=address.channel if address else None,
        by=by,
        reason=reason,
    )
    append(session, EntryKind.ALERT, now, alert.study_key, changed.model_dump(mode="json", exclude_none=True))
    session.add(
        Happened(
            alert_id=alert.alert_id, study_key=alert.study_key, state=state, at=now, body=changed.encode().decode()
        )
    )


def unpublished(session: Session, limit: int) -> list[tuple[int, AlertChanged]]:
    """Events that Kafka has not confirmed, in order."""
    rows = session.execute(
        select(Happened.number, Happened.body)
        .where(Happened.published_at.is_(None))
        .order_by(Happened.number)
        .limit(limit)
    )
    return [(number, AlertChanged.decode(body.encode())) for number, body in rows]


def record_published(session: Session, numbers: list[int], now: datetime) -> None:
    session.execute(update(Happened).where(Happened.number.in_(numbers)).values(published_at=now))


def _held(session: Session, notice_id: str) -> tuple[Alert, Notice]:
    """A notice and its alert, held until the end of the transaction; the alert first, as everywhere."""
    of_notice = select(Alert).join(Notice, Notice.alert_id == Alert.alert_id).where(Notice.notice_id == notice_id)
    alert = session.scalars(of_notice.with_for_update(of=Alert)).one()
    return alert, session.get_one(Notice, notice_id, with_for_update=True)


def _address(notice: Notice) -> Address:
    return Address(notice.recipient, ChannelKind(notice.channel))


def hold_lease(session: Session, name: str, holder: str, now: datetime, span: timedelta) -> bool:
    """Take or renew the right to do work that only one instance should do; False while another has it."""
    insert_missing(session, Lease, name=name, holder=holder, until=now)
    lease = session.scalars(select(Lease).where(Lease.name == name).with_for_update()).one()
    if lease.holder != holder and lease.until > now:
        return False
    lease.holder, lease.until = holder, now + span
    return True
