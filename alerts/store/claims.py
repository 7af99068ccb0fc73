"""Takes notices out of the outbox for sending, one lane (recipient and channel) at a time.

Laws: the first message is never delayed; in a flood several go out as one, and each stays a notice of its own, to be
recorded and followed by itself; an attempt is counted before it is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, false, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from alerts.life import Happening
from alerts.messages import Message
from alerts.recipients import ChannelKind
from alerts.store.outbox import OWED, Address, Circumstances, address_of, happen
from alerts.store.schema import Alert, Notice

CLAIM_LOCK = 0x70C51
"""Any number that nothing else in the database uses as an advisory lock."""


@dataclass(frozen=True)
class Attempt:
    """Notices taken for sending as one message: one, or in a flood several."""

    messages: tuple[Message, ...]
    address: Address
    attempts: int
    """Including this one; of the first."""


@dataclass(frozen=True)
class Flood:
    """When messages to one person on one channel are bundled.

    The first ones go at once. Once ``after`` messages have gone out ``within`` a time, the next ones wait up to
    ``hold`` for each other and go out as one.
    """

    after: int = 3
    within: timedelta = timedelta(seconds=60)
    hold: timedelta = timedelta(seconds=10)
    """Much shorter than the promise of 30 s."""


LARGEST_BUNDLE = 20
BUNDLED = tuple(kind for kind in ChannelKind if kind.speaks_to_people)


@dataclass(frozen=True)
class Claim:
    """Who takes notices, and how."""

    holder: str
    lease: timedelta
    flood: Flood = Flood()

    def next(self, session: Session, now: datetime, shut: Iterable[Address] = ()) -> Attempt | None:
        """Take the most urgent notice that is due, and in a flood those that wait with it; None when nothing is due.

        Args:
            shut: addresses that are not to be tried now.
        """
        taken = _most_urgent(session, now, self.flood, shut)
        if taken is None:
            return None
        first, _ = taken
        with_it = _waiting_with(session, first, now, self.flood)
        messages = [self._take(session, notice, alert, now) for notice, alert in (taken, *with_it)]
        return Attempt(tuple(messages), address_of(first), first.attempts)

    def _take(self, session: Session, notice: Notice, alert: Alert, now: datetime) -> Message:
        notice.attempts += 1
        notice.leased_until, notice.leased_by = now + self.lease, self.holder
        if notice.sent_at is None:
            notice.sent_at = now
            happen(session, alert, Happening.SENT, now, Circumstances(address_of(notice), notice))
        return Message.model_validate_json(notice.message)


def _most_urgent(session: Session, now: datetime, flood: Flood, shut: Iterable[Address]) -> tuple[Notice, Alert] | None:
    _one_claim_at_a_time(session)
    other = aliased(Notice)
    lane_busy = select(other.notice_id).where(
        other.recipient == Notice.recipient, other.channel == Notice.channel, other.leased_until > now
    )
    sent_lately = select(func.count()).where(
        other.recipient == Notice.recipient, other.channel == Notice.channel, other.sent_at > now - flood.within
    )
    held = and_(
        Notice.channel.in_(BUNDLED),
        Notice.attempts == 0,
        Notice.created_at > now - flood.hold,
        sent_lately.scalar_subquery() >= flood.after,
    )
    not_now = [and_(Notice.recipient == to.recipient, Notice.channel == to.channel) for to in shut]
    due = (
        select(Notice, Alert)
        .join(Alert, Alert.alert_id == Notice.alert_id)
        .where(Notice.state.in_(OWED), Notice.due_at <= now, ~lane_busy.exists(), ~held, ~or_(false(), *not_now))
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
        return _most_urgent(session, now, flood, shut)
    return notice, alert


def _waiting_with(session: Session, first: Notice, now: datetime, flood: Flood) -> list[tuple[Notice, Alert]]:
    """In a flood: what else is due for the same person on the same channel."""
    lane = and_(Notice.recipient == first.recipient, Notice.channel == first.channel)
    lately = select(func.count()).where(lane, Notice.sent_at > now - flood.within)
    if first.channel not in BUNDLED or (session.scalar(lately) or 0) < flood.after:
        return []
    others = (
        select(Notice, Alert)
        .join(Alert, Alert.alert_id == Notice.alert_id)
        .where(lane, Notice.notice_id != first.notice_id, Notice.state.in_(OWED), Notice.due_at <= now)
        .order_by(Notice.created_at, Notice.number)
        .limit(LARGEST_BUNDLE - 1)
        .with_for_update(skip_locked=True, of=Alert)
    )
    found = [(notice, alert) for notice, alert in session.execute(others)]
    for notice, _ in found:
        session.refresh(notice)
    return [(notice, alert) for notice, alert in found if notice.state in OWED and notice.due_at <= now]


def _one_claim_at_a_time(session: Session) -> None:
    """PostgreSQL looks again at a row that it had to wait for, but not at the rows that a subquery had asked: without
    this, two workers could take one lane, or one notice. SQLite's write lock does the same by itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(CLAIM_LOCK)))


def release(session: Session, holder: str) -> None:
    """Give back what this holder had taken when it was killed."""
    mine = update(Notice).where(Notice.leased_by == holder)
    session.execute(mine.values(leased_until=None, leased_by=None))
