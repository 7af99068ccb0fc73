"""``python -m streams``: one stream worker."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from kafka import KafkaConsumer
from kafka.errors import KafkaError
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from monitoring.exposition import Exposition
from monitoring.gpu import watch_gpus
from monitoring.host import HostMetrics
from monitoring.journal import open_journal
from monitoring.tracing import open_traces
from streams.app import Wiring, attach, create_app, end_process, health_of
from streams.committing import commit_in_order
from streams.contracts.topics import SERIES, SLICES
from streams.errors import PartitionLayoutUnknown, StateNotDurable, StreamsError
from streams.frame_source import KafkaFrameSource
from streams.gallery import Gallery, give_way
from streams.isolated_decoder import IsolatedDecoder
from streams.metrics import StreamsMetrics
from streams.models import ModelChange, OneFolder, OpenModels, Source
from streams.processor import SeriesProcessor
from streams.read_ahead import ReadAhead
from streams.reading import PixelWork
from streams.score_reference import ScoreReference
from streams.seeking import seek_every_partition
from streams.settings import StreamsSettings
from triage_models.opening import open_reader
from triage_models.reader import SHIPPED, Reader
from triage_models.runtimes.recovery import RuntimeRecovery
from triage_models.store import ModelStore

logger = logging.getLogger("streams")

RETRY_SECONDS = 0.5

SAVE_SECONDS = 5.0
"""Kafka has so long, at the end, to confirm what was processed."""

PICTURES_GIVE_WAY_SECONDS = 2.0
"""Where a slice waits longer to be read, pictures that are not urgent wait too."""


def main() -> int:
    """Run until SIGTERM or SIGINT; exit status 0, or 1 with a sentence on standard error."""
    try:
        settings = StreamsSettings()
    except ValidationError as error:
        print(f"streams: bad settings: {_fields(error)}", file=sys.stderr)  # noqa: T201 - no journal yet
        return 1
    open_journal("streams", settings.log_level)
    try:
        asyncio.run(run(settings))
    except (StreamsError, OSError) as error:
        print(f"streams: {error}", file=sys.stderr)  # noqa: T201 - the sentence for the person who started it
        return 1
    return 0


async def run(settings: StreamsSettings) -> None:
    """Build, wire and run one worker."""
    registry = CollectorRegistry()
    metrics = StreamsMetrics(registry)
    HostMetrics(registry)
    watch_gpus(registry)

    recovery = RuntimeRecovery()
    recovery.start()

    def told(change: ModelChange) -> None:
        metrics.model_changed(change)
        model = models.in_use()
        if change is ModelChange.TAKEN and model is not None:
            metrics.model_opened(model.described, ScoreReference.of(model.reader.manifest))

    models = OpenModels(source_of(settings), partial(open_model, settings, metrics, recovery), told)
    models.look()
    partitions = await asyncio.to_thread(wait_for_topics, settings)
    decoder, gallery_decoder = IsolatedDecoder(), IsolatedDecoder()
    decoder.start()
    traces = open_traces("streams", os.environ)
    wiring = Wiring(create_app(settings), settings, metrics, partitions, traces)
    gallery = Gallery(
        which=settings.pictures,
        side=settings.picture_side,
        source=KafkaFrameSource(settings.kafka_bootstrap_servers),
        sink=wiring,
        metrics=metrics,
        executor=ThreadPoolExecutor(1, "gallery", initializer=give_way),
        clock=lambda: datetime.now(UTC),
        decoder=gallery_decoder,
        busy=lambda: wiring.oldest_waiting_seconds() > PICTURES_GIVE_WAY_SECONDS,
    )
    source = KafkaFrameSource(settings.kafka_bootstrap_servers)
    pixels = PixelWork(source, decoder, metrics.slices_read, wiring.progress.moved)
    executor = ThreadPoolExecutor(1, "pixels")
    processor = SeriesProcessor(
        store=wiring.tables,
        findings=wiring,
        pixels=pixels,
        models=models,
        rules=settings.closing_rules,
        metrics=metrics,
        clock=lambda: datetime.now(UTC),
        executor=executor,
        heard_until=wiring.heard_until,
        gallery=gallery,
        traces=traces,
    )
    attach(wiring, processor, ReadAhead(pixels, models, executor, settings.read_ahead), models.look)
    exposition = Exposition(registry, health_of(wiring, processor), (settings.metrics_host, settings.metrics_port))
    exposition.start()
    hanging = asyncio.create_task(gallery.work())
    await serve(wiring, lambda: recovery.wants_fresh_process and processor.open_series == 0)
    recovery.stop()
    hanging.cancel()
    exposition.close()
    traces.close()
    decoder.close()
    gallery_decoder.close()


def source_of(settings: StreamsSettings) -> Source:
    """Where the model in use is found.

    Without a model that opens the worker runs all the same: a series that nobody can read must end as *failed*, in
    front of people, and not stay in Kafka unseen.
    """
    if settings.model_dir is not None:
        return OneFolder(settings.model_dir)
    return OneFolder(SHIPPED) if settings.model_store is None else ModelStore(settings.model_store)


def open_model(settings: StreamsSettings, metrics: StreamsMetrics, recovery: RuntimeRecovery, folder: Path) -> Reader:
    """A model on the runtimes asked for, warmed up."""
    reader, chain = open_reader(
        folder,
        runtimes=settings.runtimes,
        threads=settings.inference_threads,
        engines=settings.engines_dir,
        watch=metrics,
    )
    reader.warm_up()
    recovery.watch(chain)
    return reader


def wait_for_topics(settings: StreamsSettings) -> int:
    """Partitions of the slice topic, once the cluster answers.

    Raises:
        PartitionLayoutUnknown: no answer in time, a topic is missing, or the two topics differ.
    """
    deadline = time.monotonic() + settings.kafka_wait_seconds
    while True:
        try:
            slices, series = _partitions(settings.kafka_bootstrap_servers)
        except (KafkaError, OSError, ValueError) as error:
            problem = f"no Kafka answers at {settings.kafka_bootstrap_servers} ({type(error).__name__})"
        else:
            if slices and slices == series:
                return slices
            problem = f"{SLICES.name} has {slices} partitions, {SERIES.name} has {series}; both need the same, above 0"
        if time.monotonic() > deadline:
            raise PartitionLayoutUnknown(problem)
        time.sleep(RETRY_SECONDS)


def _partitions(bootstrap_servers: str) -> tuple[int, int]:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers.split(","),
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=2000,
    )
    try:
        slices, series = (len(consumer.partitions_for_topic(topic.name) or ()) for topic in (SLICES, SERIES))
    finally:
        consumer.close()
    return slices, series


async def serve(wiring: Wiring, wants_fresh_start: Callable[[], bool]) -> None:
    """Run the application until a signal; end the process when it crashes or stalls."""
    app, loop, stop = wiring.app, asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app.finalize()
    seek_every_partition(app, (SLICES.name, SERIES.name), wiring.progress.begin)
    commit_in_order(app.consumer, (SLICES.name, SERIES.name), wiring.progress, wiring.first_offset)
    wiring.standstill.start()
    await app.start()
    watch = asyncio.create_task(watch_over(wiring, wants_fresh_start))
    ended = asyncio.create_task(app.wait_until_stopped())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({watch, ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not stop.is_set():
        logger.critical("the stream application ended by itself: %r", app.crash_reason)
        end_process()
    watch.cancel()
    with suppress(TimeoutError, StateNotDurable):  # what is not saved now is processed again after the next start
        await asyncio.wait_for(wiring.hold(), SAVE_SECONDS)
    await app.stop()


async def watch_over(wiring: Wiring, wants_fresh_start: Callable[[], bool]) -> None:
    """Returns when messages wait and nothing moves, not even what is read from the broker directly; and at a quiet
    moment when the device is back but not for this process."""
    progress = wiring.progress
    while True:
        await asyncio.sleep(1)
        if wants_fresh_start():
            logger.critical("a better runtime is to be had in a fresh process")
            return
        idle = (datetime.now(UTC) - progress.last_progress).total_seconds()
        if not progress.ranges or not progress.ready or wiring.behind() == 0:
            progress.last_progress = datetime.now(UTC)
        elif idle > wiring.settings.stall_seconds:
            logger.critical("messages wait and none is processed for %.0f s", idle)
            return


def _fields(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))


if __name__ == "__main__":
    sys.exit(main())
