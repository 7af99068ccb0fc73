"""Delivery: takes notices from the outbox, hands them to their channels, records what came of it.

Laws: at least once, never zero times; whatever a channel does, the worker goes on; between "accepted" and "recorded"
a crash causes one more attempt with the same id, so that the far side can tell.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from alerts.backoff import people_must_know, retry_after
from alerts.errors import ChannelBroken, ChannelError, StoreUnavailable
from alerts.metrics import DELIVERED, AlertMetrics
from alerts.ports import Channel, Clock, Stop, Wake
from alerts.store.database import Database
from alerts.store.outbox import Address, Attempt, claim, record_delivered, record_failure
from alerts.timing import Bell

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
"""Longer than any channel's whole deadline, shorter than the promise of 30 s."""

LOOK_SECONDS = 0.5
"""How often one worker looks without being woken: for retries that fall due, and for what another instance wrote."""

DOZE_SECONDS = 10.0
"""How often the others do; whoever finds work wakes them."""

STORE_RETRY_SECONDS = 0.5

Channels = Callable[[Address], Channel]


class Delivery:
    """One attempt at a time per call; many threads may call."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        channels: Channels,
        metrics: AlertMetrics,
        holder: str,
        recorded: Wake = lambda: None,
        gave_up: Callable[[str], None] = lambda _alert_id: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._channels = channels
        self._metrics = metrics
        self._holder = holder
        self._recorded = recorded
        self._gave_up = gave_up

    def deliver_one(self) -> bool:
        """Attempt the most urgent notice; False when none is due.

        Raises:
            StoreUnavailable: nothing was attempted, or its outcome was not recorded (the lease will end by itself).
        """
        with self._database.writing() as session:
            attempt = claim(session, self._holder, self._clock.now(), LEASE)
        if attempt is None:
            return False
        failure = self._send(attempt)
        if failure is None:
            self._record_delivered(attempt)
        else:
            self._record_failure(attempt, failure)
        self._recorded()
        return True

    def _send(self, attempt: Attempt) -> ChannelError | None:
        try:
            self._channels(attempt.address).send(attempt.message)
        except ChannelError as error:
            return error
        except Exception as error:
            log.exception("a channel broke", extra={"channel": attempt.address.channel})
            return ChannelBroken(type(error).__name__)
        return None

    def _record_delivered(self, attempt: Attempt) -> None:
        now = self._clock.now()
        with self._database.writing() as session:
            clocks = record_delivered(session, attempt.message.notice_id, now)
        if clocks:
            self._metrics.first_delivery(clocks, now)
        self._count(attempt, DELIVERED)
        log.info("notice delivered", extra=_fields(attempt))

    def _record_failure(self, attempt: Attempt, failure: ChannelError) -> None:
        now = self._clock.now()
        retry_at = now + retry_after(failure.kind, attempt.attempts, failure.retry_after_seconds)
        with self._database.writing() as session:
            people_now_know = record_failure(
                session,
                attempt.message.notice_id,
                failure.kind,
                str(failure),
                now,
                retry_at,
                people_must_know=people_must_know(failure.kind, attempt.attempts),
            )
        if people_now_know:
            self._gave_up(attempt.message.alert_id)
        self._count(attempt, failure.kind)
        log.warning("notice not delivered", extra=_fields(attempt) | {"failure": failure.kind, "detail": str(failure)})

    def _count(self, attempt: Attempt, outcome: str) -> None:
        self._metrics.notifications.labels(attempt.address.channel, outcome).inc()


def _fields(attempt: Attempt) -> dict[str, object]:
    return {
        "alert": attempt.message.alert_id,
        "notice": attempt.message.notice_id,
        "purpose": attempt.message.purpose,
        "recipient": attempt.address.recipient,
        "channel": attempt.address.channel,
        "attempt": attempt.attempts,
    }


def deliver_until(stop: Stop, delivery: Delivery, bell: Bell, idle_seconds: float = LOOK_SECONDS) -> None:
    """The life of a delivery worker."""
    heard, was_idle = 0, True
    while not stop.is_set():
        try:
            busy = delivery.deliver_one()
        except StoreUnavailable:
            log.warning("the store is not available")
            stop.wait(STORE_RETRY_SECONDS)
            continue
        if busy and was_idle:
            bell.ring()  # there may be more than one can do
        was_idle = not busy
        if not busy:
            heard = bell.wait(heard, idle_seconds)
