"""The two outboxes in the database: notices to people, and events to ``triage.alerts.v1``.

Laws: a notice is written in the transaction that decides it, once per (alert, change of what it says, finding, purpose,
round, recipient, channel); one attempt at a time per recipient and channel, the fresh before the retried, so a dead
channel delays only itself; an attempt is counted before it is made, its success only after it has been.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import and_, false, func, or_, select, update
from sqlalchemy.orm import Session

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

WITHHELD = "what it depends on is down"

OWED = (NoticeState.PENDING, NoticeState.FAILED)


@dataclass(frozen=True)
class Address:
    """A recipient on a channel."""

    recipient: str
    channel: ChannelKind


@dataclass(frozen=True)
class FirstDelivery:
    """The clocks of the finding whose alert has just reached its first human."""

    first_slice_at: datetime
    decisive_slice_at: datetime | None
    produced_at: datetime


@dataclass(frozen=True)
class Occasion:
    """When in the life of its alert a message is written."""

    change: int = 0
    round: int = 0


def notice_id_of(
    alert_id: str, series_key: str | None, revision: int | None, purpose: str, occasion: Occasion, address: Address
) -> str:
    """The same message has the same id, also when the database was lost and the findings are replayed; the same words
    on another occasion are another message."""
    when = (str(occasion.round), *((str(occasion.change),) if occasion.change else ()))
    parts = (alert_id, series_key or "", str(revision), purpose, *when, address.recipient, address.channel)
    return hashlib.sha256("\0".join(("notice", *parts)).encode()).hexdigest()[:32]


def enqueue(
    session: Session, message: Message, address: Address, now: datetime, *, change: int = 0, in_turn: bool = False
) -> bool:
    """Put a message in the outbox; False if it is already there. ``in_turn``: another channel may stand in for it."""
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
        change=change,
        message=message.body().decode(),
        state=NoticeState.PENDING,
        in_turn=in_turn,
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


def handed_over_now(session: Session, alert: Alert) -> bool:
    """Is the alert's present round of the bell a hand-over?"""
    present = (Notice.alert_id == alert.alert_id, Notice.round == alert.round, Notice.created_at >= alert.raised_at)
    mine = select(Notice.notice_id).where(*present, Notice.purpose == Purpose.HANDED_OVER).limit(1)
    return session.scalar(mine) is not None


def record_delivered(session: Session, notice_id: str, now: datetime) -> FirstDelivery | None:
    """The channel accepted the message. Returns the finding's clocks when it is the alert's first to arrive."""
    alert, notice = _held(session, notice_id)
    notice.state, notice.delivered_at = NoticeState.DELIVERED, now
    notice.leased_until = notice.leased_by = notice.failure = notice.failure_detail = None
    is_first = _is_first_delivery(session, notice)
    happen(session, alert, Happening.DELIVERED, now, Circumstances(address_of(notice), notice))
    if notice.in_turn:
        _one_channel_is_enough(session, notice)
    return _clocks(session, notice) if is_first else None


def _one_channel_is_enough(session: Session, delivered: Notice) -> None:
    """Somebody whose channels are used in turn has got it: the ones before need try no more."""
    others = update(Notice).where(
        Notice.alert_id == delivered.alert_id,
        Notice.recipient == delivered.recipient,
        Notice.purpose == delivered.purpose,
        Notice.round == delivered.round,
        Notice.change == delivered.change,
        Notice.finding_revision.is_not_distinct_from(delivered.finding_revision),
        Notice.series_key.is_not_distinct_from(delivered.series_key),
        Notice.notice_id != delivered.notice_id,
        Notice.in_turn,
        Notice.state.in_(OWED),
    )
    session.execute(others.values(state=NoticeState.SUPERSEDED))


def turn_to(session: Session, notice: Notice, channel: ChannelKind, now: datetime) -> bool:
    """The same message to the same person on another channel; False if it is there already."""
    address, occasion = Address(notice.recipient, channel), Occasion(notice.change, notice.round)
    notice_id = notice_id_of(
        notice.alert_id, notice.series_key, notice.finding_revision, notice.purpose, occasion, address
    )
    message = Message.model_validate_json(notice.message).model_copy(update={"notice_id": notice_id})
    return enqueue(session, message, address, now, change=notice.change, in_turn=notice.in_turn)


def owed_notice(session: Session, notice_id: str) -> tuple[Alert, Notice] | None:
    """A notice that is still to be delivered, and its alert, held until the end of the transaction."""
    alert, notice = _held(session, notice_id)
    return (alert, notice) if notice.state in OWED else None


def waiting_at(session: Session, addresses: Iterable[Address], now: datetime) -> list[str]:
    """The notices that wait for these addresses and of which nobody has said yet that they fail."""
    asked = [and_(Notice.recipient == to.recipient, Notice.channel == to.channel) for to in addresses]
    free = or_(Notice.leased_until.is_(None), Notice.leased_until <= now)
    waiting = select(Notice.notice_id).where(Notice.state == NoticeState.PENDING, free, or_(false(), *asked))
    return list(session.scalars(waiting))


def record_withheld(session: Session, notice_id: str, now: datetime) -> bool:
    """Nothing can be tried, for what the address depends on is down: people must know, and others be rung."""
    alert, notice = _held(session, notice_id)
    if notice.state != NoticeState.PENDING or (notice.leased_until is not None and notice.leased_until > now):
        return False
    notice.state, notice.failure, notice.failure_detail = NoticeState.FAILED, FailureKind.UNREACHABLE, WITHHELD
    circumstances = Circumstances(address_of(notice), notice, reason=FailureKind.UNREACHABLE)
    happen(session, alert, Happening.DELIVERY_FAILED, now, circumstances)
    return True


def record_seen(session: Session, alert_id: str, recipient: str, now: datetime) -> int:
    """A recipient has opened what the messages link to; returns how many were not known to be seen."""
    unseen = select(Notice).where(
        Notice.alert_id == alert_id,
        Notice.recipient == recipient,
        Notice.sent_at.is_not(None),
        Notice.seen_at.is_(None),
    )
    notices = session.scalars(unseen).all()
    for notice in notices:
        notice.seen_at = now
    return len(notices)


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
    happen(session, alert, Happening.DELIVERY_FAILED, now, Circumstances(address_of(notice), notice, reason=kind))
    return True


@dataclass(frozen=True)
class Circumstances:
    """What is known besides that something happened."""

    address: Address | None = None
    notice: Notice | None = None
    by: str | None = None
    to: str | None = None
    """To whom an alert was handed over."""
    reason: str | None = None


NONE_KNOWN = Circumstances()


def happen(
    session: Session, alert: Alert, happening: Happening, now: datetime, known: Circumstances = NONE_KNOWN
) -> None:
    """Move the alert on, as its life allows, and tell the world by the same commit."""
    life = life_of(alert).after(happening)
    alert.claim, alert.answer, alert.changed_at = life.claim, life.answer, now
    note(session, alert, PUBLISHED_AS[happening], now, known)


def note(session: Session, alert: Alert, state: AlertState, now: datetime, known: Circumstances = NONE_KNOWN) -> None:
    """Write an event of the alert's life, to be shown, published and kept on record."""
    address, notice = known.address, known.notice
    changed = AlertChanged(
        alert_id=alert.alert_id,
        study_key=alert.study_key,
        state=state,
        at=now,
        finding_revision=notice.finding_revision if notice else alert.finding_revision,
        series_key=notice.series_key if notice else alert.series_key,
        recipient=address.recipient if address else known.to,
        channel=address.channel if address else None,
        by=known.by,
        reason=known.reason,
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


def address_of(notice: Notice) -> Address:
    return Address(notice.recipient, ChannelKind(notice.channel))


def hold_lease(session: Session, name: str, holder: str, now: datetime, span: timedelta) -> bool:
    """Take or renew the right to do work that only one instance should do; False while another has it."""
    insert_missing(session, Lease, name=name, holder=holder, until=now)
    lease = session.scalars(select(Lease).where(Lease.name == name).with_for_update()).one()
    if lease.holder != holder and lease.until > now:
        return False
    lease.holder, lease.until = holder, now + span
    return True
