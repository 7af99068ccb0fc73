"""The Faust application: messages in, the processor in the middle, messages out.

Laws: no module-level app; agents run one message at a time (``concurrency=1``: Faust commits past unfinished messages
otherwise); a message that cannot be processed goes to the dead letter and the partition goes on; when Kafka does not
confirm a write the process ends without committing, and the message is processed again.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import faust
from faust.types import TP

from monitoring.health import Health
from streams.contracts import topics
from streams.contracts.deadletters import DEADLETTER_HEADER, DeadLetterReason, MessageSetAside
from streams.contracts.errors import MalformedEvent
from streams.contracts.findings import FindingProduced
from streams.contracts.series import SeriesClockTicked, decode_series_event
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.durably import durably
from streams.errors import StateNotDurable
from streams.metrics import StreamsMetrics
from streams.processor import SeriesProcessor
from streams.settings import StreamsSettings
from streams.state_tables import SeriesTables

logger = logging.getLogger(__name__)

RAW = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}

SWEEP_SECONDS = 300.0
"""Between two looks for series whose state is not needed any more."""


def create_app(settings: StreamsSettings) -> faust.App:
    """A configured application without agents."""
    return faust.App(
        settings.app_id,
        version=1,
        autodiscover=False,
        broker=[f"kafka://{server.strip()}" for server in settings.kafka_bootstrap_servers.split(",")],
        store="memory://",
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
        stream_buffer_maxsize=settings.buffer_messages,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
    )


@dataclass
class Progress:
    """What this worker has processed of the slice partitions."""

    done: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    """End of each partition, by the broker's account."""
    last_progress: datetime = field(default_factory=lambda: datetime.now(UTC))
    ready: bool = False

    def processed(self, partition: int, offset: int) -> None:
        self.done[partition] = offset
        self.last_progress = datetime.now(UTC)


class Wiring:
    """Topics, tables and sinks of one application."""

    def __init__(self, app: faust.App, settings: StreamsSettings, metrics: StreamsMetrics, partitions: int) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.progress = Progress()
        self.slices = app.topic(topics.SLICES.name, **RAW)
        self.series = app.topic(topics.SERIES.name, **RAW)
        self._findings = app.topic(topics.FINDINGS.name, **RAW)
        self._deadletters = app.topic(topics.DEADLETTERS.name, **RAW)
        self.tables = SeriesTables(app, partitions, *settings.durability)

    # Sinks

    async def publish(self, finding: FindingProduced) -> None:
        await self._send(self._findings, finding.study_key.encode(), finding.encode())

    async def set_aside(self, message: faust.types.Message, reason: DeadLetterReason, detail: str) -> None:
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

    # Position

    def caught_up(self, partition: int) -> bool:
        """Has every slice that is in the partition been processed?"""
        place = TP(topics.SLICES.name, partition)
        highwater = self.app.consumer.highwater(place)
        if not self.progress.ready or highwater is None:
            return False
        done = self.progress.done.get(partition)
        return (self._start(place) if done is None else done + 1) >= int(highwater)

    def partitions(self) -> set[int]:
        """Of the slices, those that this worker processes."""
        return {place.partition for place in self.app.consumer.assignment() if place.topic == topics.SLICES.name}

    def behind(self) -> int:
        """Slices that wait on the partitions of this worker, by what the broker says of their ends."""
        waiting = 0
        for partition in self.partitions():
            end = self.progress.ends.get(partition)
            if end is not None:
                done = self.progress.done.get(partition)
                start = self._start(TP(topics.SLICES.name, partition)) if done is None else done + 1
                waiting += max(0, end - start)
        return waiting

    def _start(self, place: TP) -> int:
        return int(self.app.consumer._committed_offset.get(place) or 0)  # Faust has no public name for it


@dataclass(frozen=True)
class SetAside:
    """The :class:`streams.ports.DeadLetterSink` of one message."""

    wiring: Wiring
    message: faust.types.Message

    async def set_aside(self, reason: DeadLetterReason, detail: str) -> None:
        await self.wiring.set_aside(self.message, reason, detail)


def attach(wiring: Wiring, processor: SeriesProcessor) -> None:
    """Register agents, the ticker and the rebalance hook."""
    app, turn = wiring.app, asyncio.Lock()

    async def in_turn(message: faust.types.Message, work: Callable[[], Awaitable[None]]) -> None:
        async with turn:
            await _guarded(wiring, processor, message, work)

    async def slices(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            await in_turn(message, partial(_slice, wiring, processor, message))
            wiring.progress.processed(message.partition, message.offset)

    async def series(stream: faust.StreamT[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            await in_turn(message, partial(_series, processor, message))

    async def ticker() -> None:
        for event in processor.due():
            await wiring.tick(processor.partition_of(event.series_key), event)
        wiring.metrics.open_series.set(processor.open_series)
        wiring.metrics.slices_behind.set(wiring.behind())

    async def sweeper() -> None:
        async with turn:
            if wiring.progress.ready:
                before = datetime.now(UTC) - timedelta(hours=wiring.settings.keep_hours)
                await wiring.tables.forget_closed(before, wiring.partitions())

    async def resumed(*_: object, **__: object) -> None:
        async with turn:
            wiring.progress.done.clear()
            processor.resume(list(wiring.tables.open_series()))
            wiring.progress.ready = True

    app.agent(wiring.slices, name="slices", concurrency=1)(slices)
    app.agent(wiring.series, name="series", concurrency=1)(series)
    app.timer(wiring.settings.tick_seconds, name="ticker")(ticker)
    app.timer(SWEEP_SECONDS, name="sweeper")(sweeper)
    app.on_rebalance_complete.connect(resumed, weak=False)


async def _slice(wiring: Wiring, processor: SeriesProcessor, message: faust.types.Message) -> None:
    headers = dict(_pairs(message.headers))
    header = SliceAccepted.decode(headers.get(SLICE_HEADER, b""))
    await processor.slice_arrived(
        header, message.value or b"", message.partition, message.offset, SetAside(wiring, message)
    )


async def _series(processor: SeriesProcessor, message: faust.types.Message) -> None:
    event = decode_series_event(message.value or b"")
    if isinstance(event, SeriesClockTicked):
        await processor.ticked(event, message.partition)
    else:
        await processor.ledger_entry(event, message.partition)


async def _guarded(
    wiring: Wiring,
    processor: SeriesProcessor,
    message: faust.types.Message,
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
        logger.critical("Kafka did not confirm a write; ending, to process the message again: %s", error)
        end_process()


def end_process() -> None:
    """End at once, committing nothing: the supervisor starts a fresh worker from the last committed message."""
    os._exit(70)  # EX_SOFTWARE of sysexits.h


def health_of(wiring: Wiring, processor: SeriesProcessor) -> Health:
    """Ready when partitions are assigned, state is recovered and a model is open."""
    return Health(
        readiness={
            "state": lambda: None if wiring.progress.ready else "the series state is not recovered yet",
            "model": lambda: None if processor.pixels.reader else "no model is open; every series will end as failed",
        }
    )


def _pairs(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> list[tuple[str, bytes]]:
    """Faust hands over headers as a mapping or as pairs."""
    items = headers.items() if isinstance(headers, Mapping) else (headers or ())
    return [(str(key), bytes(value)) for key, value in items]
