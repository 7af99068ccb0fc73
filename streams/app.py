"""The Faust application: messages in, the processor in the middle, messages out.

Laws: no module-level app; agents run one message at a time (``concurrency=1``: Faust commits past unfinished messages
otherwise); a message is acknowledged when what came of it is durable, in order; one that cannot be processed goes to
the dead letter and the partition goes on; when Kafka does not confirm a write the process ends without committing, and
the message is processed again.
"""

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import faust
from faust.types import TP, EventT

from monitoring.health import Health
from monitoring.tracing import NO_TRACES, TRACEPARENT, Kind, Span, Traces, carried, finding_step, messaging, within
from streams.broker_view import BrokerView, Place
from streams.contracts import topics
from streams.contracts.deadletters import DEADLETTER_HEADER, DeadLetterReason, MessageSetAside
from streams.contracts.errors import MalformedEvent
from streams.contracts.findings import FindingProduced
from streams.contracts.pictures import HEAT_MAP_HEADER, PICTURE_HEADER, SlicePictured
from streams.contracts.series import SeriesClockTicked, SeriesPictured, decode_series_event
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.durably import durably
from streams.errors import StateNotDurable
from streams.metrics import StreamsMetrics
from streams.processor import SeriesProcessor
from streams.progress import Delivered, Progress
from streams.read_ahead import ReadAhead, WaitingSlice
from streams.scheduling import OldestFirst
from streams.settings import StreamsSettings
from streams.standstill import Standstill
from streams.state_tables import SeriesTables

logger = logging.getLogger(__name__)

RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
Message = Any
"""Of Faust or of kafka-python: both have topic, partition, offset, key, value and headers."""

Work = Callable[[Message], Awaitable[None]]

LOOK_SECONDS = 1.0
"""Between two questions to the broker how far the partitions reach."""

FETCH_AGAIN_SECONDS = 0.5
"""Between two attempts to read a message directly that the broker does not give."""

MOST_FETCHED = 100
"""Messages of one partition that are read directly at one look: the others have their turn in between."""

SWEEP_SECONDS = 300.0
"""Between two looks for series whose state is not needed any more."""


MODEL_LOOK_SECONDS = 1.0
"""Between two looks whether another model is in use."""


def create_app(settings: StreamsSettings) -> faust.App:
    """A configured application without agents."""
    return faust.App(
        settings.app_id,
        version=1,
        autodiscover=False,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka_bootstrap_servers.split(",")],
        store="memory://",
        datadir=Path(tempfile.gettempdir()) / "tocsin-streams",  # Faust makes it; nothing is ever kept in it
        processing_guarantee="at_least_once",
        web_enabled=False,
        topic_allow_declare=True,
        topic_replication_factor=settings.topic_replication_factor,
        table_standby_replicas=settings.table_standby_replicas,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.heartbeat_seconds,
        broker_rebalance_timeout=settings.rebalance_timeout_seconds,
        broker_request_timeout=settings.request_timeout_seconds,
        broker_commit_interval=settings.commit_interval_seconds,
        broker_max_poll_records=settings.buffer_messages,
        producer_request_timeout=settings.request_timeout_seconds,
        producer_max_request_size=topics.MAX_MESSAGE_BYTES,
        producer_acks=-1,
        consumer_max_fetch_size=topics.MAX_MESSAGE_BYTES,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.instance,
        stream_buffer_maxsize=settings.buffer_messages,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        ConsumerScheduler=OldestFirst,
    )


class Wiring:
    """Topics, tables and sinks of one application."""

    def __init__(
        self,
        app: faust.App,
        settings: StreamsSettings,
        metrics: StreamsMetrics,
        partitions: int,
        traces: Traces = NO_TRACES,
    ) -> None:
        self.app = app
        self.traces = traces
        self.settings = settings
        self.metrics = metrics
        self.progress = Progress()
        self.view = BrokerView(settings.kafka_bootstrap_servers)
        self.slices = app.topic(topics.SLICES.name, **RAW)
        self.series = app.topic(topics.SERIES.name, **RAW)
        self._findings = app.topic(topics.FINDINGS.name, **RAW)
        self._pictures = app.topic(topics.PICTURES.name, **RAW)
        self._deadletters = app.topic(topics.DEADLETTERS.name, **RAW)
        self.standstill = Standstill(settings.session_timeout_seconds, end_process)
        self.tables = SeriesTables(app, partitions, *settings.durability, end_unconfirmed, self.standstill.look)
        self.turn = asyncio.Lock()
        """Held while a message is processed."""

    # Sinks

    async def publish(self, finding: FindingProduced) -> None:
        context = self.traces.context(finding.series_key, *finding_step(finding.revision))
        headers = [(TRACEPARENT, context.encode())] if context else None
        await self._send(self._findings, finding.study_key.encode(), finding.encode(), headers)
        if self.traces.on:
            self.traces.record(
                Span(
                    f"send {topics.FINDINGS.name}",
                    finding.series_key,
                    finding.clocks.produced,
                    datetime.now(UTC),
                    Kind.PRODUCER,
                    step=finding_step(finding.revision),
                    attributes=messaging(topics.FINDINGS.name)
                    | {
                        "tocsin.revision": finding.revision,
                        "tocsin.status": finding.status,
                        "tocsin.outcome": finding.outcome,
                        "tocsin.slices_read": finding.coverage.slices_read,
                    },
                )
            )

    async def set_aside(self, message: Message, reason: DeadLetterReason, detail: str) -> None:
        """Keep a message whole, with the reason."""
        note = MessageSetAside(
            service="streams",
            source_topic=message.topic,
            source_partition=message.partition,
            source_offset=message.offset,
            reason=reason,
            detail=detail,
            at=datetime.now(UTC),
        )
        headers = [*_pairs(message.headers), (DEADLETTER_HEADER, note.encode())]
        await self._send(self._deadletters, message.key or b"", message.value or b"", headers)
        self.metrics.deadletters.labels(reason).inc()
        logger.warning(
            "message set aside",
            extra={"topic": message.topic, "partition": message.partition, "offset": message.offset, "reason": reason},
        )

    async def publish_picture(self, event: SlicePictured, packed: bytes, heat_map_png: bytes | None) -> None:
        headers = [(PICTURE_HEADER, event.encode())]
        if heat_map_png is not None:
            headers.append((HEAT_MAP_HEADER, heat_map_png))
        await self._send(self._pictures, event.series_key.encode(), packed, headers)

    async def pictured(self, event: SeriesPictured, partition: int) -> None:
        await self._send(self.series, event.series_key.encode(), event.encode(), partition=partition)

    async def tick(self, partition: int, event: SeriesClockTicked) -> None:
        await self._send(self.series, event.series_key.encode(), event.encode(), partition=partition)

    async def _send(
        self,
        topic: faust.types.TopicT[bytes],
        key: bytes,
        value: bytes,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int | None = None,
    ) -> None:
        async def write() -> None:
            await (await topic.send(key=key, value=value, headers=headers, partition=partition))

        await durably(write, topic.get_topic_name(), *self.settings.durability)

    async def hold(self) -> None:
        """Process nothing more until the partitions are sought again; what was processed is durable on return.

        Raises:
            StateNotDurable: it is not.
        """
        self.progress.suspend()
        async with self.turn:
            await self.tables.settled()

    # Position

    def heard_until(self, partition: int) -> datetime | None:
        """What was accepted before this instant and is in the partition has been processed; None: not known."""
        place, progress = (topics.SLICES.name, partition), self.progress
        known = progress.ranges.get(place)
        if not progress.ready or known is None:
            return None
        heard = progress.heard.get(partition)
        if self.next_offset(place) < known[1]:
            return heard
        return max(heard, progress.asked_at) if heard else progress.asked_at

    def next_offset(self, place: Place) -> int:
        """The offset that has to be processed next."""
        done = self.progress.done.get(place)
        if done is not None:
            return done + 1
        committed = self.app.consumer._committed_offset.get(TP(*place))  # Faust has no public name for it
        return max(int(committed or 0), self.first_offset(place))

    def first_offset(self, place: Place) -> int:
        """The first that the broker still keeps; 0 where it did not say."""
        return self.progress.ranges.get(place, (0, 0))[0]

    def confirm(self, place: Place, offset: int) -> None:
        """What came of a message is durable: it may be committed."""
        self.progress.confirmed(place, offset)
        self.app.consumer._acked.setdefault(TP(*place), [])  # Faust asks for the partitions that it finds there

    def places(self) -> list[Place]:
        """The partitions of slices and ledger that this worker processes."""
        ours = (topics.SLICES.name, topics.SERIES.name)
        return [(p.topic, p.partition) for p in self.app.consumer.assignment() if p.topic in ours]

    def partitions(self) -> set[int]:
        return {partition for topic, partition in self.places() if topic == topics.SLICES.name}

    def waiting(self, place: Place) -> int:
        """Messages of a partition that wait, by what the broker says of its end."""
        known = self.progress.ranges.get(place)
        return max(0, known[1] - self.next_offset(place)) if known else 0

    def behind(self) -> int:
        """Messages that wait on the partitions of this worker."""
        return sum(self.waiting(place) for place in self.places())

    def oldest_waiting_seconds(self) -> float:
        """At most so long has the oldest slice waited: so long ago the slice before it was accepted, or none waited."""
        now, progress = datetime.now(UTC), self.progress
        oldest = 0.0
        for partition in self.partitions():
            if not self.waiting((topics.SLICES.name, partition)):
                progress.caught_up[partition] = now
                continue
            since = progress.heard.get(partition, progress.since)
            oldest = max(oldest, (now - max(since, progress.caught_up.get(partition, since))).total_seconds())
        return oldest


@dataclass(frozen=True)
class SetAside:
    """The :class:`streams.ports.DeadLetterSink` of one message."""

    wiring: Wiring
    message: Message

    async def set_aside(self, reason: DeadLetterReason, detail: str) -> None:
        await self.wiring.set_aside(self.message, reason, detail)


def attach(
    wiring: Wiring, processor: SeriesProcessor, read_ahead: ReadAhead, look_for_model: Callable[[], None]
) -> None:
    """Register agents, the timers and the rebalance hook.

    Args:
        look_for_model: opens the model in use if it has changed; blocks while it does.
    """
    app, turn, tables = wiring.app, wiring.turn, wiring.tables
    work_on: dict[str, Work] = {
        topics.SLICES.name: partial(_slice, wiring, processor, read_ahead),
        topics.SERIES.name: partial(_series, processor),
    }

    def holds(place: Place, since: datetime) -> bool:
        """Are the partition and the state of its series still those of then?"""
        return wiring.progress.ready and wiring.progress.since == since and place in wiring.places()

    async def process(message: Message, since: datetime) -> bool:
        """False: not done, because state is recovered meanwhile, and what is written now would be overwritten."""
        place = (message.topic, message.partition)
        async with turn:
            if not holds(place, since):
                return False
            await _guarded(wiring, processor, message, partial(work_on[message.topic], message))
            wiring.progress.processed(place, message.offset)
            tables.then(partial(wiring.confirm, place, message.offset))
        return True

    async def fill_up(place: Place, end: int, since: datetime) -> None:
        """Process what Faust has passed over, read from the broker directly: offsets have no holes on these topics.

        None of them is given up while the broker keeps it: those behind it wait.
        """
        for offset in range(wiring.next_offset(place), end):
            message = await fetched(place, offset, since)
            if message is None and holds(place, since):
                logger.error("a message that was passed over has expired", extra={"place": place, "offset": offset})
            elif message is None or not await process(message, since):
                return
            else:
                logger.warning("a message was passed over and was read again", extra={"place": place, "offset": offset})

    async def fetched(place: Place, offset: int, since: datetime) -> Message:
        """The message, whenever the broker gives it; None where it is no longer kept, or not for this worker."""
        while holds(place, since) and offset >= wiring.first_offset(place):
            message = await asyncio.to_thread(wiring.view.message, *place, offset)
            if message is not None:
                return message
            await asyncio.sleep(FETCH_AGAIN_SECONDS)
        return None

    def begin_ahead(stream: faust.StreamT[bytes], message: Message) -> None:
        if message.topic == topics.SLICES.name and read_ahead.is_free:
            read_ahead.begin(_waiting(message), [_waiting(event.message) for event in buffered(stream)])

    async def consume(topic: str, stream: faust.StreamT[bytes]) -> None:
        delivered = wiring.progress.delivered[topic] = Delivered(partial(buffered, stream))
        stream.enable_acks = False  # not when the next is asked for, but when what came of it is durable
        async for event in stream.events():
            with delivered.in_hand():
                while not await due(stream, event.message):
                    pass
                tables.then(event.ack)

    async def due(stream: faust.StreamT[bytes], message: Message) -> bool:
        """Process a message and those before it that were passed over; False: again, after a recovery."""
        await wiring.progress.resumed.wait()
        place, since = (message.topic, message.partition), wiring.progress.since
        if place not in wiring.places():
            return True  # it is another worker's now, and so is the state of its series
        if message.offset <= wiring.progress.done.get(place, -1):
            return True  # it was fetched before it was delivered
        if message.offset > wiring.next_offset(place):
            await fill_up(place, message.offset, since)
        if holds(place, since):
            begin_ahead(stream, message)
        return await process(message, since)

    async def slices(stream: faust.StreamT[bytes]) -> None:
        await consume(topics.SLICES.name, stream)

    async def series(stream: faust.StreamT[bytes]) -> None:
        await consume(topics.SERIES.name, stream)

    async def looker() -> None:
        """How far the partitions reach. Its own timer: whoever fetches messages may take long."""
        asked_at = datetime.now(UTC)
        wiring.progress.told(await asyncio.to_thread(wiring.view.ranges), asked_at)

    async def filler() -> None:
        """What waits and is not delivered for a while is fetched."""
        progress = wiring.progress
        for place in wiring.places() if progress.ready else ():
            offset = wiring.next_offset(place)
            if wiring.waiting(place) and progress.passed_over(place, offset, time.monotonic()):
                await fill_up(place, min(progress.ranges[place][1], offset + MOST_FETCHED), progress.since)

    async def ticker() -> None:
        for partition, event in processor.due():
            await wiring.tick(partition, event)
        wiring.metrics.open_series.set(processor.open_series)
        wiring.metrics.slices_behind.set(wiring.behind())
        wiring.metrics.oldest_waiting_seconds.set(wiring.oldest_waiting_seconds())

    async def sweeper() -> None:
        async with turn:
            if wiring.progress.ready:
                before = datetime.now(UTC) - timedelta(hours=wiring.settings.keep_hours)
                await tables.forget_closed(before, wiring.partitions())
                await picture_the_rest()

    async def picture_the_rest() -> None:
        """What a worker before this one, or this one in a rush, has left without pictures."""
        if processor.gallery is not None and processor.gallery.is_idle:
            for state in tables.such(wiring.partitions(), processor.gallery.wants):
                await processor.picture(state)

    async def model_watch() -> None:
        await asyncio.to_thread(look_for_model)

    async def suspended(*_: object, **__: object) -> None:
        await wiring.hold()  # what is under way is saved before the state is recovered

    async def resumed(*_: object, **__: object) -> None:
        async with turn:
            wiring.progress.suspend()
            processor.resume(list(tables.open_series(wiring.partitions())))
            await picture_the_rest()

    app.agent(wiring.slices, name="slices", concurrency=1)(slices)
    app.agent(wiring.series, name="series", concurrency=1)(series)
    app.timer(wiring.settings.tick_seconds, name="ticker")(ticker)
    app.timer(LOOK_SECONDS, name="looker")(looker)
    app.timer(LOOK_SECONDS, name="filler")(filler)
    app.timer(SWEEP_SECONDS, name="sweeper")(sweeper)
    app.timer(MODEL_LOOK_SECONDS, name="model_watch")(model_watch)
    app.on_partitions_revoked.connect(suspended, weak=False)
    app.on_rebalance_complete.connect(resumed, weak=False)


def buffered(stream: faust.StreamT[bytes]) -> list[Any]:
    """The events that a stream holds ready behind the present one, oldest first; none are taken out.

    Faust has no public name for them.
    """
    queue = getattr(getattr(stream, "channel", None), "queue", None)
    return [event for event in getattr(queue, "_queue", ()) if isinstance(event, EventT)]


def _waiting(message: Message) -> WaitingSlice:
    header = dict(_pairs(message.headers)).get(SLICE_HEADER, b"")
    return WaitingSlice((message.partition, message.offset), header, message.value or b"")


async def _slice(wiring: Wiring, processor: SeriesProcessor, read_ahead: ReadAhead, message: Message) -> None:
    waiting = _waiting(message)
    header = SliceAccepted.decode(waiting.header)
    started, step = datetime.now(UTC), ("process", header.identity)
    with within(wiring.traces.context(header.series_key, *step)):
        await processor.slice_arrived(
            header,
            waiting.pixels,
            message.partition,
            message.offset,
            SetAside(wiring, message),
            await read_ahead.taken(waiting.place),
        )
    if wiring.traces.on:
        wiring.traces.record(
            Span(
                f"process {topics.SLICES.name}",
                header.series_key,
                started,
                datetime.now(UTC),
                Kind.CONSUMER,
                step=step,
                parent=carried(_pairs(message.headers)),
                attributes=messaging(topics.SLICES.name, message.partition, message.offset),
            )
        )
    wiring.progress.heard[message.partition] = header.accepted_at


async def _series(processor: SeriesProcessor, message: Message) -> None:
    event = decode_series_event(message.value or b"")
    if isinstance(event, SeriesClockTicked):
        await processor.ticked(event, message.partition)
    elif isinstance(event, SeriesPictured):
        await processor.pictured(event)
    else:
        await processor.ledger_entry(event, message.partition)


async def _guarded(
    wiring: Wiring,
    processor: SeriesProcessor,
    message: Message,
    work: Callable[[], Awaitable[None]],
) -> None:
    """The boundary of one message: bad data is set aside, a failing Kafka ends the process."""
    try:
        try:
            await work()
        except MalformedEvent as error:
            await wiring.set_aside(message, DeadLetterReason.MALFORMED_MESSAGE, str(error))
        except StateNotDurable:
            raise
        except Exception as error:
            logger.exception("a message could not be processed")
            processor.forget((message.key or b"").decode(errors="replace"))
            await wiring.set_aside(message, DeadLetterReason.INTERNAL_ERROR, type(error).__name__)
    except StateNotDurable as error:
        end_unconfirmed(error)


def end_unconfirmed(error: StateNotDurable) -> None:
    """What was not confirmed was not acknowledged either, and is processed again."""
    logger.critical("Kafka did not confirm a write; ending, to process its message again: %s", error)
    end_process()


def end_process() -> None:
    """End at once, committing nothing: the supervisor starts a fresh worker from the last committed message."""
    os._exit(70)  # EX_SOFTWARE of sysexits.h


def health_of(wiring: Wiring, processor: SeriesProcessor) -> Health:
    """Ready when partitions are assigned, state is recovered and a model is open."""
    return Health(
        readiness={
            "state": lambda: None if wiring.progress.ready else "the series state is not recovered yet",
            "model": lambda: None if processor.models.in_use() else "no model is open; every series will end as failed",
        }
    )


def _pairs(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> list[tuple[str, bytes]]:
    """Faust hands over headers as a mapping or as pairs."""
    items = headers.items() if isinstance(headers, Mapping) else (headers or ())
    return [(str(key), bytes(value)) for key, value in items]
