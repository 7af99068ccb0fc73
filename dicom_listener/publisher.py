"""From the spool to Kafka: in order per key, at least once, never blocked by one bad message.

Messages are sent in lanes, one per topic and key. A lane that meets a failure goes on alone, one message at a time,
until Kafka takes them again; the others are not held up, and of those the oldest message goes first. Laws: a message is
acknowledged to the spool only after the broker acknowledged it, or after it was set aside whole; what the broker will
never take is set aside, not retried.
"""

import heapq
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from dicom_listener.errors import SpoolDamaged, SpoolError
from dicom_listener.messages import OutgoingMessage
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.rejected import RejectedFolder
from dicom_listener.spool.journal import Spool
from dicom_listener.spool.segment import Entry
from monitoring.tracing import NO_TRACES, TRACEPARENT, Kind, Span, Traces, messaging
from streams.contracts.deadletters import DEADLETTER_HEADER, DeadLetterReason, MessageSetAside
from streams.contracts.topics import DEADLETTERS, SLICES

journal = logging.getLogger(__name__)

MAX_IN_FLIGHT_BYTES = 32 * 1024 * 1024
"""Handed to the client and not yet acknowledged: its own buffer has no bound."""
MAX_IN_FLIGHT_PER_LANE = 16
BACKOFF_SECONDS = 0.5
"""Between attempts of one lane, and between attempts to connect; the promise allows at most 1 s."""
TICK_SECONDS = 0.2
PATIENCE_SECONDS = 11.0
"""With messages in flight and no word about any of them for so long, the client is replaced: its own limit is 10 s, but
after the broker's return it may say nothing for ever. The next one is given twice the time, until one delivers."""

MOST_PATIENCE_SECONDS = 60.0
"""A broker that is only slow must not be asked by ever new clients."""

IDLE_SECONDS_BEFORE_TIDY = 5.0
LAST_STEP_SECONDS = 1.0
"""A step that is under way when the time is over is waited for so long, and then left behind."""

Done = Callable[[BaseException | None], None]


class Broker(Protocol):
    """A connected producer."""

    def send(self, message: OutgoingMessage, done: Done) -> None:
        """Queue a message. ``done`` is called once, from any thread. May raise what ``done`` would be given."""

    def will_never_take(self, error: BaseException) -> bool:
        """Is this the fault of the message, so that no repetition can help?"""

    def close(self, seconds: float) -> None:
        """Give what is in flight so long, then let go."""


@dataclass(slots=True)
class _Lane:
    waiting: deque[Entry] = field(default_factory=deque)
    failed: list[Entry] = field(default_factory=list)
    in_flight: int = 0
    not_before: float = 0.0
    alone: bool = False
    """After a failure: one message at a time."""

    def may_send(self, now: float) -> bool:
        limit = 1 if self.alone else MAX_IN_FLIGHT_PER_LANE
        return bool(self.waiting) and not self.failed and self.in_flight < limit and now >= self.not_before


@dataclass(frozen=True, slots=True)
class _Outcome:
    entry: Entry
    error: BaseException | None
    client: int
    """Which client was used; words from a replaced one are ignored."""


class Publisher:
    """Drains a spool in a thread of its own.

    Args:
        connect: gives a connected broker, or raises; called again after failures.
        monotonic: for waiting; ``now``: seconds since the epoch, for ages.
    """

    def __init__(
        self,
        spool: Spool,
        connect: Callable[[], Broker],
        metrics: ListenerMetrics,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._traces = traces
        self._spool, self._connect, self._metrics = spool, connect, metrics
        self._monotonic, self._now = monotonic, now
        self._rejected = RejectedFolder(spool.folder)
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._in_flight: dict[int, Entry] = {}
        self._in_flight_bytes = 0
        self._outcomes: queue.SimpleQueue[_Outcome | None] = queue.SimpleQueue()
        self._broker: Broker | None = None
        self._client = 0
        self._last_word = self._idle_since = monotonic()
        self._failing_since: float | None = None
        self._patience_seconds = PATIENCE_SECONDS
        self._next_connect = 0.0
        self._stopping = threading.Event()
        self._drain_until = 0.0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        spool.on_durable = self.wake

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._outcomes.put(None)

    def stop(self, seconds: float) -> None:
        """Publish what can be published within so long; the spool keeps the rest."""
        self._drain_until = self._monotonic() + seconds
        self._stopping.set()
        self.wake()
        self._thread.join(seconds + LAST_STEP_SECONDS)

    def trouble(self) -> str | None:
        return None if self._thread.is_alive() else "the publisher's thread has ended"

    # -- the loop ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._finished():
            try:
                self.step()
            except Exception:  # noqa: BLE001 - a boundary: the thread must outlive every fault
                journal.exception("the publisher stumbled and goes on")
                time.sleep(BACKOFF_SECONDS)
        if self._broker is not None:
            self._broker.close(max(0.0, self._drain_until - self._monotonic()))

    def _finished(self) -> bool:
        if not self._stopping.is_set():
            return False
        drained = not self._spool.depth().messages
        return drained or self._monotonic() >= self._drain_until

    def step(self) -> None:
        """One round: hear outcomes, collect what is new, keep the client well, send what may be sent."""
        self._hear(TICK_SECONDS)
        for entry in self._spool.take():
            self._lanes.setdefault((entry.place.topic, entry.place.key), _Lane()).waiting.append(entry)
        self._mind_client()
        self._send()
        self._tidy()

    # -- outcomes ----------------------------------------------------------------------------------------------

    def _hear(self, seconds: float) -> None:
        try:
            outcome = self._outcomes.get(timeout=seconds)
            while True:
                if outcome is not None:
                    self._settle(outcome)
                outcome = self._outcomes.get_nowait()
        except queue.Empty:
            return

    def _settle(self, outcome: _Outcome) -> None:
        if outcome.client != self._client or self._in_flight.pop(outcome.entry.sequence, None) is None:
            return
        self._last_word = self._monotonic()
        self._land(outcome.entry, outcome.error)

    def _land(self, entry: Entry, error: BaseException | None) -> None:
        self._in_flight_bytes -= entry.place.size
        lane = self._lanes[entry.place.topic, entry.place.key]
        lane.in_flight -= 1
        if error is None:
            self._delivered(entry, lane)
        elif isinstance(error, SpoolDamaged):
            self._give_up(entry)
        elif not (self._is_hopeless(error) and self._set_aside(entry, error)):
            self._try_again(entry, lane, error)
        if not lane.in_flight and lane.failed:
            lane.waiting.extendleft(sorted(lane.failed, key=lambda e: e.sequence, reverse=True))
            lane.failed = []
        if not lane.in_flight and not lane.waiting:
            del self._lanes[entry.place.topic, entry.place.key]

    def _is_hopeless(self, error: BaseException) -> bool:
        return self._broker is not None and self._broker.will_never_take(error)

    def _delivered(self, entry: Entry, lane: _Lane) -> None:
        if self._traces.on and entry.place.topic == SLICES.name:
            self._trace(entry)
        self._spool.acknowledge(entry)
        lane.alone = False
        self._failing_since = None
        self._patience_seconds = PATIENCE_SECONDS
        self._metrics.kafka_connected.set(1)
        self._metrics.published.labels(entry.place.topic).inc()
        self._metrics.publish_seconds.observe(max(0.0, self._now() - entry.at))

    def _trace(self, entry: Entry) -> None:
        try:
            headers = dict(entry.read().headers)
        except (OSError, SpoolError):
            return  # it is on Kafka; that it could not be read again is no matter
        self._traces.record(
            Span(
                f"send {SLICES.name}",
                entry.place.key,
                datetime.fromtimestamp(entry.at, UTC),
                datetime.fromtimestamp(self._now(), UTC),
                Kind.PRODUCER,
                parent=headers.get(TRACEPARENT),
                attributes=messaging(SLICES.name),
            )
        )

    def _try_again(self, entry: Entry, lane: _Lane, error: BaseException) -> None:
        journal.warning("not published, will be tried again", extra={"error": type(error).__name__})
        self._metrics.publish_failures.inc()
        self._metrics.kafka_connected.set(0)
        if self._failing_since is None:
            self._failing_since = self._monotonic()
        lane.failed.append(entry)
        lane.alone = True
        lane.not_before = self._monotonic() + BACKOFF_SECONDS

    # -- what Kafka will never take ------------------------------------------------------------------------------

    def _set_aside(self, entry: Entry, error: BaseException) -> bool:
        """To the dead letters where they take it, otherwise into a folder; whole. False where neither worked."""
        try:
            message = entry.read()
            letter = _dead_letter(message, error, datetime.fromtimestamp(self._now(), UTC))
            refused_as_letter = message.topic == DEADLETTERS.name or _too_large(error)
            if refused_as_letter:
                self._rejected.keep(letter)
            else:
                self._spool.append([letter], reserved=True)
        except (OSError, SpoolError):
            journal.exception("a message that Kafka will never take could not be set aside")
            return False
        journal.error("set aside, Kafka will never take it", extra={"error": type(error).__name__})
        self._metrics.set_aside.labels("rejected_folder" if refused_as_letter else "deadletter").inc()
        self._spool.acknowledge(entry)
        return True

    # -- the client ----------------------------------------------------------------------------------------------

    def _mind_client(self) -> None:
        now, limit = self._monotonic(), self._patience_seconds
        silent = bool(self._in_flight) and now - self._last_word > limit
        failing = self._failing_since is not None and now - self._failing_since > limit
        if self._broker is not None and (silent or failing):
            self._replace_client()
        if self._broker is None and self._monotonic() >= self._next_connect:
            self._open_client()

    def _open_client(self) -> None:
        self._next_connect = self._monotonic() + BACKOFF_SECONDS
        try:
            self._broker = self._connect()
        except Exception as error:  # noqa: BLE001 - whatever a client raises while it connects, the answer is to try again
            journal.warning("Kafka cannot be reached, slices wait in the spool", extra={"error": type(error).__name__})
            self._metrics.kafka_connected.set(0)
            return
        self._last_word = self._monotonic()
        self._metrics.kafka_connected.set(1)
        journal.info("connected to Kafka")

    def _replace_client(self) -> None:
        journal.error("Kafka's client has no success and will be replaced", extra={"in_flight": len(self._in_flight)})
        broker, self._broker = self._broker, None
        self._client += 1
        self._failing_since = None
        self._patience_seconds = min(2 * self._patience_seconds, MOST_PATIENCE_SECONDS)
        if broker is not None:
            threading.Thread(target=broker.close, args=(0.0,), name="broker-close", daemon=True).start()
        for entry in list(self._in_flight.values()):
            self._land(entry, TimeoutError())
        self._in_flight.clear()

    # -- sending -------------------------------------------------------------------------------------------------

    def _send(self) -> None:
        """What was spooled first goes first, of the lanes that may send, while there is room in flight.

        After an outage a series that was complete before another began is complete in Kafka before it, too, and its
        account does not overtake its slices.
        """
        now = self._monotonic()
        ready = [(lane.waiting[0].sequence, key) for key, lane in self._lanes.items() if lane.may_send(now)]
        heapq.heapify(ready)
        while ready and self._broker is not None and self._in_flight_bytes < MAX_IN_FLIGHT_BYTES:
            _, key = heapq.heappop(ready)
            lane = self._lanes[key]
            self._send_next(lane)
            if key in self._lanes and lane.may_send(now):
                heapq.heappush(ready, (lane.waiting[0].sequence, key))

    def _send_next(self, lane: _Lane) -> None:
        entry = lane.waiting.popleft()
        lane.in_flight += 1
        self._in_flight_bytes += entry.place.size
        if not self._in_flight:
            self._last_word = self._monotonic()
        self._in_flight[entry.sequence] = entry
        client = self._client
        assert self._broker is not None
        try:
            self._broker.send(entry.read(), lambda error: self._outcomes.put(_Outcome(entry, error, client)))
        except Exception as error:  # noqa: BLE001 - a boundary: what the client raises is the message's outcome
            self._settle(_Outcome(entry, error, client))

    def _give_up(self, entry: Entry) -> None:
        """The disk no longer gives back what was written: its segment is kept for an operator, the others go on."""
        journal.error("a spooled message cannot be read back", extra={"bytes": entry.place.size})
        self._metrics.spool_damaged_bytes.inc(entry.place.size)
        entry.segment.damaged = True
        self._spool.acknowledge(entry)

    def _tidy(self) -> None:
        now = self._monotonic()
        if self._lanes:
            self._idle_since = now
        elif now - self._idle_since > IDLE_SECONDS_BEFORE_TIDY:
            self._spool.tidy()
            self._idle_since = now


def _dead_letter(message: OutgoingMessage, error: BaseException, at: datetime) -> OutgoingMessage:
    note = MessageSetAside(
        service="dicom_listener",
        source_topic=message.topic,
        reason=DeadLetterReason.REJECTED_BY_BROKER,
        detail=type(error).__name__,
        at=at,
    )
    headers = (*message.headers, (DEADLETTER_HEADER, note.encode().decode()))
    return OutgoingMessage(DEADLETTERS.name, message.key, message.value, headers)


def _too_large(error: BaseException) -> bool:
    """The dead letters have the same limit: no use to try them."""
    return "TooLarge" in type(error).__name__
