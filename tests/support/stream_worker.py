"""A stream worker without Kafka: real processor, fake reader, store in memory, a clock that is moved by hand."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import numpy as np
from prometheus_client import CollectorRegistry

from streams.closing import ClosingRules
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import FindingProduced, Model
from streams.contracts.pictures import SlicePictured
from streams.contracts.series import LedgerKind, SeriesClockTicked, SeriesPictured
from streams.contracts.slices import SliceAccepted
from streams.errors import StateNotDurable
from streams.gallery import Gallery, Pictured
from streams.metrics import StreamsMetrics
from streams.models import OpenModel
from streams.processor import SeriesProcessor
from streams.read_ahead import ReadAhead, WaitingSlice
from streams.reading import PixelWork
from streams.series_state import Entry, SeriesState, SeriesSummary
from tests.support.slices import START, STUDY, key, ledger, soft_tissue, stored
from triage_models.bleeds import BleedMeasurement
from triage_models.errors import InferenceFailed
from triage_models.manifest import Threshold, Thresholds
from triage_models.midline_shift import MidlineMeasurement
from triage_models.reader import HeadSlice, SeriesScore, SliceReading

PROVISIONAL, FINAL = 0.9, 0.6
CLEAN, DOUBTFUL, BLEED = 30, 55, 65
"""HU of the disc in a slice; the fake reader sees 0.1, 0.7 and 0.95 in them."""

_SCORES = {CLEAN: 0.1, DOUBTFUL: 0.7, BLEED: 0.95}


def _threshold(value: float) -> Threshold:
    return Threshold(value=value, alpha=0.05, n_negative=1, n_positive=1, chosen_on=date(2026, 1, 1), method="test")


class FakeReader:
    """Reads the brightest tissue of a slice; the series score is its strongest slice."""

    manifest = SimpleNamespace(
        thresholds=Thresholds(provisional=_threshold(PROVISIONAL), final=_threshold(FINAL), slice=_threshold(FINAL))
    )

    def __init__(self) -> None:
        self.reads = 0
        self.fails = False
        self.brain_share = 0.5
        self.midline: MidlineMeasurement | None = None

    def read(self, slices: Sequence[HeadSlice]) -> list[tuple[SliceReading, np.ndarray]]:
        self.reads += 1
        if self.fails:
            raise InferenceFailed("planned")
        return [(self._reading(s), np.zeros((16, 16), np.uint8)) for s in slices]

    def score(self, readings: Sequence[tuple[float, SliceReading]]) -> SeriesScore:
        best = max(reading.probabilities[0] for _, reading in readings)
        return SeriesScore(probabilities=(best,) * 6, strongest=(0,) * 6, slices=len(readings))

    def measure(self, readings: Sequence[tuple[float, SliceReading]]) -> list[BleedMeasurement]:
        return []

    def measure_midline(self, readings: Sequence[tuple[float, SliceReading]]) -> MidlineMeasurement | None:
        return self.midline

    def _reading(self, s: HeadSlice) -> SliceReading:
        seen = float(s.voxels_hu.max())
        p = float(np.interp(seen, list(_SCORES), list(_SCORES.values())))
        return SliceReading(
            probabilities=(p,) * 6,
            logits=(0.0,) * 6,
            embedding=(),
            heat_map_peak=(0.5, 0.8),
            heat_map_peak_value=p,
            peak_across=0.3,
            findings={},
            brain_share=self.brain_share,
        )


def a_model(reader: FakeReader, identity: str = "model 1") -> OpenModel:
    """A fake reader as a model of its own."""
    described = Model(name="fake", version=identity, sha256="0" * 64, runtime="fake")
    return OpenModel(identity, reader, described)  # type: ignore[arg-type]  # the fake is a reader to the processor


class FakeModels:
    """What the worker can open; the one in use may be changed, and others lost."""

    def __init__(self, reader: FakeReader) -> None:
        self.chosen: OpenModel | None = a_model(reader)
        self.at_hand = {self.chosen.identity: self.chosen}

    def in_use(self) -> OpenModel | None:
        return self.chosen

    def of(self, identity: str) -> OpenModel | None:
        return self.at_hand.get(identity)

    def use(self, model: OpenModel) -> None:
        self.chosen = self.at_hand[model.identity] = model


class MemoryStore:
    """Keeps what was saved as the tables do: encoded, so that nothing unsaved survives a restart."""

    def __init__(self) -> None:
        self.summaries: dict[str, bytes] = {}
        self.entries: dict[tuple[str, int], bytes] = {}

    def load(self, series_key: str) -> SeriesState | None:
        encoded = self.summaries.get(series_key)
        if encoded is None:
            return None
        summary = SeriesSummary.model_validate_json(encoded)
        journal = (
            Entry.model_validate_json(self.entries[series_key, n])
            for n in range(summary.entries)
            if (series_key, n) in self.entries
        )
        return SeriesState.rebuilt(summary, journal)

    async def save(self, state: SeriesState, entries: Sequence[tuple[int, Entry]]) -> None:
        for ordinal, entry in entries:
            self.entries[state.summary.series_key, ordinal] = entry.encode()
        self.summaries[state.summary.series_key] = state.summary.encode()

    def then(self, do: Callable[[], object]) -> None:
        do()


class Worker:
    """Speaks the language of the scenarios: ``send``, ``release``, ``wait``, ``findings``."""

    def __init__(self) -> None:
        self.now = START
        self.reader = FakeReader()
        self.models = FakeModels(self.reader)
        self.store = MemoryStore()
        self.findings: list[FindingProduced] = []
        self.aside: list[DeadLetterReason] = []
        self.log: list[tuple[SliceAccepted, bytes]] = []
        self.heard_until: Callable[[], datetime | None] = lambda: self.now
        self.which = Pictured.READABLE
        self.pictures: list[tuple[SlicePictured, bytes, bytes | None]] = []
        self.kafka_is_away = False
        self.batches: list[int] = []
        self.restart()

    def restart(self) -> None:
        """A fresh process: only what was saved is left."""
        metrics = StreamsMetrics(CollectorRegistry())
        self.gallery = Gallery(
            which=self.which,
            side=512,
            source=self,
            sink=self,
            metrics=metrics,
            executor=ThreadPoolExecutor(1),
            clock=lambda: self.now,
        )
        pixels, executor = PixelWork(self, watch=lambda _, slices: self.batches.append(slices)), ThreadPoolExecutor(1)
        self.ahead = ReadAhead(pixels, self.models, executor, most=4)
        self.processor = SeriesProcessor(
            store=self.store,
            findings=self,
            pixels=pixels,
            models=self.models,
            rules=ClosingRules(),
            metrics=metrics,
            clock=lambda: self.now,
            executor=executor,
            heard_until=lambda partition: self.heard_until(),
            gallery=self.gallery,
        )
        states = [state for series in self.store.summaries if (state := self.store.load(series))]
        self.processor.resume(states)
        for state in states:
            asyncio.run(self.processor.picture(state))

    # Ports

    async def publish(self, finding: FindingProduced) -> None:
        self.findings.append(finding)

    async def set_aside(self, reason: DeadLetterReason, detail: str) -> None:
        self.aside.append(reason)

    async def publish_picture(self, event: SlicePictured, packed: bytes, heat_map_png: bytes | None) -> None:
        if self.kafka_is_away:
            raise StateNotDurable("planned")
        self.pictures.append((event, packed, heat_map_png))

    async def pictured(self, event: SeriesPictured, partition: int) -> None:
        await self.processor.pictured(event)

    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        try:
            return self.log[offset]
        except IndexError:
            raise LookupError("retention has removed it") from None

    # Scenario

    def send(self, header: SliceAccepted, tissue_hu: int = CLEAN, data: bytes | None = None) -> None:
        payload = stored(soft_tissue(tissue_hu)) if data is None else data
        self.log.append((header, payload))
        self.deliver(len(self.log) - 1)

    def deliver(self, offset: int) -> None:
        header, payload = self.log[offset]
        asyncio.run(self.processor.slice_arrived(header, payload, 0, offset, self))

    def send_together(self, slices: Sequence[tuple[SliceAccepted, int]]) -> None:
        """Slices that lie in the buffer when the first one's turn comes; each with the HU of its tissue."""
        first = len(self.log)
        self.log += [(header, stored(soft_tissue(tissue_hu))) for header, tissue_hu in slices]
        asyncio.run(self._deliver_together(range(first, len(self.log))))

    async def _deliver_together(self, offsets: Sequence[int]) -> None:
        for k, offset in enumerate(offsets):
            self.ahead.begin(self._waiting(offset), [self._waiting(behind) for behind in offsets[k + 1 :]])
            header, payload = self.log[offset]
            ahead = await self.ahead.taken((0, offset))
            await self.processor.slice_arrived(header, payload, 0, offset, self, ahead)

    def _waiting(self, offset: int) -> WaitingSlice:
        header, payload = self.log[offset]
        return WaitingSlice((0, offset), header.encode(), payload)

    def account(self, kind: LedgerKind, frames: int = 0, **changes: object) -> None:
        asyncio.run(self.processor.ledger_entry(ledger(kind, frames, **({"at": self.now} | changes)), 0))

    def wait(self, seconds: float) -> None:
        """Let time pass, with the ticker running."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now = min(end, self.now + timedelta(seconds=0.25))
            for _, tick in self.processor.due():
                asyncio.run(self.processor.ticked(tick, 0))

    def draw(self) -> list[tuple[SlicePictured, bytes, bytes | None]]:
        """Let the gallery work; the pictures that it has published since the last time."""
        before = len(self.pictures)
        asyncio.run(self.gallery.work_all())
        return self.pictures[before:]

    def force_tick(self, series: str = "series", at: datetime | None = None) -> None:
        tick = SeriesClockTicked(study_key=STUDY, series_key=key(series), at=at or self.now)
        asyncio.run(self.processor.ticked(tick, 0))

    @property
    def story(self) -> list[str]:
        return [finding.status.value for finding in self.findings]

    @property
    def last(self) -> FindingProduced:
        return self.findings[-1]


def later(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)
