"""Delivery: takes notices from the outbox, hands them to their channels, records what came of it.

Laws: at least once, never zero times; whatever a channel does, the worker goes on; between "accepted" and "recorded"
a crash causes one more attempt with the same id, so that the far side can tell.
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from alerts.backoff import people_must_know, retry_after
from alerts.circuits import Circuits
from alerts.errors import ChannelBroken, ChannelError, StoreUnavailable
from alerts.messages import Message, bundle
from alerts.metrics import DELIVERED, AlertMetrics
from alerts.ports import Channel, Clock, Stop, Wake
from alerts.store.claims import Attempt, Claim, Flood
from alerts.store.database import Database
from alerts.store.outbox import Address, record_delivered, record_failure
from alerts.timing import Bell
from monitoring.tracing import NO_TRACES, Kind, Span, Traces, finding_step

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=15)
"""Longer than any channel's whole deadline, shorter than the promise of 30 s."""

LOOK_SECONDS = 0.5
"""How often one worker looks without being woken: for retries that fall due, and for what another instance wrote."""

DOZE_SECONDS = 10.0
"""How often the others do; whoever finds work wakes them."""

STORE_RETRY_SECONDS = 0.5

Channels = Callable[[Address], Channel]
Reveal = Callable[[Message], Message]
"""Puts into a message what it may say of the patient."""


class Delivery:
    """One attempt at a time per call; many threads may call."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        channels: Channels,
        metrics: AlertMetrics,
        holder: str,
        *,
        circuits: Circuits | None = None,
        flood: Flood | None = None,
        reveal: Reveal = lambda message: message,
        recorded: Wake = lambda: None,
        failed: Callable[[str], None] = lambda _notice_id: None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._traces = traces
        self._database = database
        self._clock = clock
        self._channels = channels
        self._metrics = metrics
        self._claim = Claim(holder, LEASE, flood or Flood())
        self._circuits = circuits or Circuits()
        self._reveal = reveal
        self._recorded = recorded
        self._failed = failed

    def deliver_one(self) -> bool:
        """Attempt the most urgent notice, and in a flood those that wait with it; False when none is due.

        Raises:
            StoreUnavailable: nothing was attempted, or its outcome was not recorded (the lease will end by itself).
        """
        now = self._clock.now()
        shut = self._circuits.shut(now)
        with self._database.writing() as session:
            attempt = self._claim.next(session, now, shut)
        if attempt is None:
            return False
        self._circuits.begin(attempt.address, now)
        failure = self._send(attempt)
        self._circuits.ended(attempt.address, failure.kind if failure else None, self._clock.now())
        if self._traces.on:
            self._trace(attempt, failure, now)
        if failure is None:
            self._record_delivered(attempt)
        else:
            self._record_failure(attempt, failure)
        self._recorded()
        return True

    def _send(self, attempt: Attempt) -> ChannelError | None:
        try:
            self._channels(attempt.address).send(self._written(attempt))
        except ChannelError as error:
            return error
        except Exception as error:
            log.exception("a channel broke", extra={"channel": attempt.address.channel})
            return ChannelBroken(type(error).__name__)
        return None

    def _written(self, attempt: Attempt) -> Message:
        messages = [self._reveal(message) for message in attempt.messages]
        return messages[0] if len(messages) == 1 else bundle(messages)

    def _record_delivered(self, attempt: Attempt) -> None:
        now = self._clock.now()
        with self._database.writing() as session:
            first = [record_delivered(session, notice_id, now) for notice_id in _in_order(attempt)]
        for clocks in first:
            if clocks:
                self._metrics.first_delivery(clocks, now)
        self._count(attempt, DELIVERED)
        log.info("notice delivered", extra=_fields(attempt))

    def _record_failure(self, attempt: Attempt, failure: ChannelError) -> None:
        now = self._clock.now()
        retry_at = now + retry_after(failure.kind, attempt.attempts, failure.retry_after_seconds)
        must_know = people_must_know(failure.kind, attempt.attempts)
        with self._database.writing() as session:
            for notice_id in _in_order(attempt):
                detail = str(failure)
                record_failure(session, notice_id, failure.kind, detail, now, retry_at, people_must_know=must_know)
        for notice_id in _in_order(attempt):
            self._failed(notice_id)
        self._count(attempt, failure.kind)
        log.warning("notice not delivered", extra=_fields(attempt) | {"failure": failure.kind, "detail": str(failure)})

    def _trace(self, attempt: Attempt, failure: ChannelError | None, started: datetime) -> None:
        ended = self._clock.now()
        for message in attempt.messages:
            if message.series_key is None or message.finding_revision is None:
                continue  # of a study of which nothing came: no series, no trace
            self._traces.record(
                Span(
                    f"notify {attempt.address.channel}",
                    message.series_key,
                    started,
                    ended,
                    Kind.CLIENT,
                    parent=self._traces.context(message.series_key, *finding_step(message.finding_revision)),
                    attributes={
                        "tocsin.purpose": message.purpose,
                        "tocsin.topic": message.topic,
                        "tocsin.attempt": attempt.attempts,
                        "tocsin.outcome": failure.kind if failure else DELIVERED,
                    },
                    failed=failure is not None,
                )
            )

    def _count(self, attempt: Attempt, outcome: str) -> None:
        self._metrics.notifications.labels(attempt.address.channel, outcome).inc()
        if len(attempt.messages) > 1 and outcome == DELIVERED:
            self._metrics.bundled.inc(len(attempt.messages))


def _in_order(attempt: Attempt) -> list[str]:
    """The notices in the order of their alerts: two workers that record several must not wait for each other."""
    return [message.notice_id for message in sorted(attempt.messages, key=lambda m: (m.alert_id, m.notice_id))]


def _fields(attempt: Attempt) -> dict[str, object]:
    first = attempt.messages[0]
    return {
        "alert": first.alert_id,
        "notice": first.notice_id,
        "purpose": first.purpose,
        "bundled": len(attempt.messages),
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
