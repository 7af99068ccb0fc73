"""The gallery: makes the pictures of a series for people to look at, beside the reading and never in its way.

Laws: nothing waits for a picture, and no picture is waited for: it has a thread of its own, of low priority, a decoder
and a connection of its own, and what it is asked for is bounded; while slices wait to be read, only the key
slices of bleeds are pictured; a series is marked as pictured when all its pictures
are confirmed, so a worker that takes over makes the others again; the same slices give the same picture.
"""

import asyncio
import hashlib
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np

from streams.contracts.findings import Outcome, SliceReason
from streams.contracts.pictures import SlicePictured
from streams.contracts.series import SeriesPictured
from streams.contracts.slices import SliceAccepted
from streams.errors import PixelsUnreadable, StateNotDurable
from streams.evidence import KEY_SLICES, most_suspicious
from streams.metrics import StreamsMetrics
from streams.packing import pack, reduced, to_int16
from streams.pictures import Grey, PictureOutcome, alpha_png
from streams.ports import FrameSource, PictureSink
from streams.reading import Bounded
from streams.series_state import FrameRecord, SeriesState, SeriesSummary
from streams.verdict import SAID_BLEED
from streams.voxels import Decoder, Voxels, decode

logger = logging.getLogger(__name__)

MOST_COMMISSIONS = 32
"""Series that wait for their pictures; each holds its heat maps, about 16 kB a slice."""

MOST_HUNG = 4096
"""Pictures remembered as published: 100 bytes each."""

BUSY_SECONDS = 0.5
"""Between two looks whether slices still wait to be read."""

NICE = 10
"""Added to the thread's niceness: the reading goes first."""


class Pictured(StrEnum):
    """Of which series pictures are made."""

    NONE = "none"
    POSITIVE = "positive"
    """As soon as a bleed is told, provisional or final."""
    READABLE = "readable"
    """Those, and every other series when it is closed, whatever its outcome, as far as its slices can be decoded."""


@dataclass(frozen=True)
class Plate:
    """One picture to be made."""

    unit: str
    frames: tuple[FrameRecord, ...]
    heat_map: Grey | None

    @property
    def ingredients(self) -> tuple[str, ...]:
        return (self.unit, *(frame.identity for frame in self.frames))


@dataclass(frozen=True)
class Commission:
    """The pictures of one series, in the order in which they are made."""

    study_key: str
    series_key: str
    partition: int
    revision: int
    urgent: bool
    plates: tuple[Plate, ...]


@dataclass(frozen=True)
class Made:
    event: SlicePictured
    packed: bytes
    heat_map_png: bytes | None


def wanted(summary: SeriesSummary, which: Pictured) -> bool:
    """Are pictures to be made that have not been?"""
    if summary.heartbeat or which is Pictured.NONE or summary.revision <= summary.pictured:
        return False
    closed = which is Pictured.READABLE and summary.closed_by is not None
    return closed or summary.said in SAID_BLEED


def commission_of(state: SeriesState, heat_maps: Mapping[str, Grey]) -> Commission:
    """Everything of a series that can be looked at, its key slices first, then from the skull base upwards."""
    summary = state.summary
    units = units_of(state)
    positive = summary.said in SAID_BLEED or summary.outcome is Outcome.POSITIVE
    first = [reading.unit for reading in most_suspicious(state, KEY_SLICES if positive else 1)]
    order = dict.fromkeys([unit for unit in first if unit in units] + sorted(units, key=lambda u: _place(units[u])))
    return Commission(
        summary.study_key,
        summary.series_key,
        summary.partition,
        summary.revision,
        positive,
        tuple(Plate(unit, tuple(units[unit]), heat_maps.get(unit)) for unit in order),
    )


def units_of(state: SeriesState) -> dict[str, list[FrameRecord]]:
    """What can be looked at: all that decodes to a slice of a head, also where the model failed on it."""
    units: dict[str, list[FrameRecord]] = {}
    for frame in state.frames.values():
        if frame.reason in (None, SliceReason.INFERENCE_FAILED):
            units.setdefault(frame.unit, []).append(frame)
    return units


def _place(frames: Sequence[FrameRecord]) -> tuple[float, int]:
    return frames[0].position_mm or 0.0, frames[0].InstanceNumber or 0


@dataclass
class Gallery:
    """Takes commissions and works them one after the other; one whose turn is over waits for the next.

    Args:
        executor: one thread, used by nothing else; see :func:`give_way`.
        side: longest side of a picture, pixels.
        busy: slices wait to be read: pictures that are not urgent wait for them.
    """

    which: Pictured
    side: int
    source: FrameSource
    sink: PictureSink
    metrics: StreamsMetrics
    executor: Executor
    clock: Callable[[], datetime]
    decoder: Decoder | None = None
    busy: Callable[[], bool] = lambda: False
    _waiting: dict[str, Commission] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_idle(self) -> bool:
        return not self._waiting

    def __post_init__(self) -> None:
        self._hung: Bounded[str, tuple[str, ...]] = Bounded(MOST_HUNG)
        self._asked: Bounded[str, int] = Bounded(MOST_HUNG)

    def wants(self, summary: SeriesSummary) -> bool:
        """Is this series to be commissioned, and has not been in this process?"""
        return wanted(summary, self.which) and (self._asked.get(summary.series_key) or 0) < summary.revision

    def commission(self, order: Commission) -> None:
        """Ask for the pictures of a series; what was asked for it before is forgotten. Never blocks."""
        self._waiting.pop(order.series_key, None)
        self._waiting[order.series_key] = order
        self._asked.put(order.series_key, order.revision)
        if len(self._waiting) > MOST_COMMISSIONS:
            displaced = max(self._waiting.values(), key=self._rank)
            self._put_off(self._waiting.pop(displaced.series_key))
        self.metrics.pictures_waiting.set(len(self._waiting))
        self._arrived.set()

    async def work(self) -> None:
        """The life of the gallery: ends by being cancelled."""
        while True:
            await self._arrived.wait()
            await self.work_all()

    async def work_all(self) -> None:
        """Work everything that waits: the key slices of bleeds, bleeds, the others."""
        while self._waiting:
            order = min(self._waiting.values(), key=self._rank)
            if self._waits(order):
                await asyncio.sleep(BUSY_SECONDS)
                continue
            del self._waiting[order.series_key]
            self.metrics.pictures_waiting.set(len(self._waiting))
            try:
                await self._work(order)
            except Exception:
                logger.exception("the pictures of a series could not be made", extra={"series_key": order.series_key})
                self._put_off(order)
        self._arrived.clear()

    async def _work(self, order: Commission) -> None:
        try:
            for plate in order.plates:
                if self._waits(order):
                    self._waiting.setdefault(order.series_key, order)
                    return
                if not self._hangs(order, plate):
                    await self._hang(order, plate)
            await self.sink.pictured(
                SeriesPictured(
                    study_key=order.study_key, series_key=order.series_key, revision=order.revision, at=self.clock()
                ),
                order.partition,
            )
        except StateNotDurable:
            logger.warning("pictures are put off: Kafka does not confirm", extra={"series_key": order.series_key})
            self._put_off(order)

    def _rank(self, order: Commission) -> int:
        """What is to be made first has the lowest; of equals the one that has waited longest."""
        return 0 if self._presses(order) else 1 if order.urgent else 2

    def _presses(self, order: Commission) -> bool:
        """Are key slices of a bleed to be made?"""
        return order.urgent and not all(self._hangs(order, plate) for plate in order.plates[:KEY_SLICES])

    def _hangs(self, order: Commission, plate: Plate) -> bool:
        return self._hung.get(f"{order.series_key}:{plate.unit}") == plate.ingredients

    def _waits(self, order: Commission) -> bool:
        """For slices that are to be read, or for the key slices of a bleed."""
        return not self._presses(order) and (self.busy() or any(map(self._presses, self._waiting.values())))

    async def _hang(self, order: Commission, plate: Plate) -> None:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self.executor, self.make, order, plate)
        except (LookupError, PixelsUnreadable) as error:
            logger.warning("a slice cannot be pictured", extra={"unit": plate.unit, "error": type(error).__name__})
            self.metrics.pictures.labels(PictureOutcome.GONE).inc()
            return
        await self.sink.publish_picture(made.event, made.packed, made.heat_map_png)
        self._hung.put(f"{order.series_key}:{plate.unit}", plate.ingredients)
        self.metrics.pictures.labels(PictureOutcome.PUBLISHED).inc()

    def make(self, order: Commission, plate: Plate) -> Made:
        """Fetch, decode, average, reduce and pack. Blocks.

        Raises:
            LookupError: a slice is no longer in Kafka.
            PixelsUnreadable: it does not decode.
        """
        header, voxels_hu, count = self._mean(plate)
        small, factor = reduced(voxels_hu, self.side)
        packed = pack(to_int16(small))
        positions = [frame.position_mm for frame in plate.frames if frame.position_mm is not None]
        event = SlicePictured(
            study_key=order.study_key,
            series_key=order.series_key,
            unit=plate.unit,
            sop_digest=plate.frames[0].sop_digest,
            frame_number=plate.frames[0].frame_number,
            digest=hashlib.sha256(packed).hexdigest()[:32],
            slices=count,
            InstanceNumber=header.InstanceNumber,
            position_mm=round(float(np.mean(positions)), 3) if positions else None,
            thickness_mm=header.SliceThickness * count if header.SliceThickness else None,
            Rows=small.shape[0],
            Columns=small.shape[1],
            PixelSpacing=_times(header.PixelSpacing, factor),
            ImagePositionPatient=header.ImagePositionPatient,
            ImageOrientationPatient=header.ImageOrientationPatient,
            at=self.clock(),
        )
        return Made(event, packed, alpha_png(plate.heat_map) if plate.heat_map is not None else None)

    def _mean(self, plate: Plate) -> tuple[SliceAccepted, Voxels, int]:
        """The first slice's header, and the mean of all that have its shape: one slice is in memory at a time."""
        header, total, count = None, None, 0
        for frame in plate.frames:
            this, encoded = self.source.fetch(frame.partition, frame.offset)
            voxels_hu = decode(this, encoded, self.decoder).voxels_hu
            if header is None or total is None:
                header, total, count = this, voxels_hu, 1
            elif voxels_hu.shape == total.shape:
                total += voxels_hu
                count += 1
        if header is None or total is None:
            raise LookupError("a picture of nothing")
        return header, total / np.float32(count), count

    def _put_off(self, order: Commission) -> None:
        self._asked.drop(order.series_key)
        self.metrics.pictures.labels(PictureOutcome.PUT_OFF).inc(len(order.plates))


def _times(spacing_mm: tuple[float, float] | None, factor: int) -> tuple[float, float] | None:
    return (spacing_mm[0] * factor, spacing_mm[1] * factor) if spacing_mm else None


def give_way() -> None:
    """Lower the priority of the calling thread, and of the processes that it starts (Linux: niceness is a thread's)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
