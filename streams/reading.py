"""The work on pixels: decode, check, read, draw. Blocking, for one executor thread; the event loop never waits on it.

Keeps two bounded caches: the frames of thin slices that wait for their slab, and small pictures of what was read.
Neither is state: what is not in them any more is fetched again from ``ct.slices.v1``.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from streams import eligibility
from streams.contracts.findings import SliceReason
from streams.contracts.slices import SliceAccepted
from streams.errors import PixelsUnreadable
from streams.models import OpenModel
from streams.pictures import Grey, Picture, brain_window
from streams.ports import FrameSource
from streams.series_state import FrameRecord, UnitReading, frame_record
from streams.voxels import Decoder, Voxels, decode
from triage_models.errors import ModelError
from triage_models.reader import HeadSlice, SliceReading

MAX_WAITING_FRAMES = 256
"""Decoded thin slices kept in memory over all series: 512 × 512 × 4 bytes each, 268 MB."""

MAX_PICTURES = 512
"""About 110 kB each."""

DEFAULT_SPACING_MM = (0.45, 0.45)
"""Stands in where PixelSpacing is absent: 230 mm field of view on a 512 matrix."""

K = TypeVar("K")
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """A mapping that forgets what was used longest ago."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._items.get(key)
        if value is not None:
            self._items.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self._most:
            self._items.popitem(last=False)

    def drop(self, key: K) -> None:
        self._items.pop(key, None)


@dataclass(frozen=True)
class Looked:
    """A frame was decoded and checked.

    Attributes:
        slice: to be read; None where there is a reason not to.
        detail: for the operator, never the contents.
    """

    slice: HeadSlice | None
    reason: SliceReason | None
    detail: str = ""


@dataclass(frozen=True)
class Ahead:
    """What was done with a frame before its turn.

    Attributes:
        model: identity of the model that read it.
        reading: None where it is not to be read alone, or could not be.
    """

    looked: Looked
    model: str | None = None
    reading: SliceReading | None = None
    picture: Picture | None = None


def _unwatched(_seconds: float, _slices: int) -> None:
    return


def _unheard() -> None:
    return


@dataclass
class PixelWork:
    """Everything that is done with pixels.

    Args:
        decoder: of compressed frames; in this process when absent.
        watch: told how many seconds the reader took for how many slices.
        moved: called when a frame was looked at or slices were read, also in vain.
    """

    source: FrameSource
    decoder: Decoder | None = None
    watch: Callable[[float, int], None] = _unwatched
    moved: Callable[[], None] = _unheard

    def __post_init__(self) -> None:
        self._waiting: Bounded[str, HeadSlice] = Bounded(MAX_WAITING_FRAMES)
        self._pictures: Bounded[str, Picture] = Bounded(MAX_PICTURES)

    def look(self, header: SliceAccepted, encoded: bytes) -> Looked:
        """Decode a frame and decide whether it may be read."""
        try:
            return self._looked(header, encoded)
        finally:
            self.moved()

    def _looked(self, header: SliceAccepted, encoded: bytes) -> Looked:
        reason = eligibility.header_reason(header)
        if reason is not None:
            return Looked(None, reason)
        try:
            decoded = decode(header, encoded, self.decoder)
        except PixelsUnreadable as error:
            return Looked(None, SliceReason.PIXELS_UNREADABLE, str(error))
        reason = eligibility.voxel_reason(header, decoded.voxels_hu, decoded.rescaled)
        if reason is not None:
            return Looked(None, reason)
        spacing = header.PixelSpacing or DEFAULT_SPACING_MM
        return Looked(HeadSlice(decoded.voxels_hu, spacing, header.SliceThickness), None)

    def keep(self, frame: FrameRecord, head_slice: HeadSlice) -> None:
        """Keep a thin slice in memory until its slab is read."""
        self._waiting.put(_place(frame), head_slice)

    def read(
        self, model: OpenModel | None, members: Sequence[FrameRecord], head_slice: HeadSlice | None = None
    ) -> UnitReading:
        """Read one unit: a frame, or the mean of a slab's frames. Frames of another size than most are left out.

        Args:
            model: None where none could be opened; then nothing is read, and every frame says so.
            members: the frames of the unit, all of them readable.
            head_slice: the frame's voxels where the caller has them.

        Raises:
            ModelError: the reader failed, or there is none.
            LookupError: a frame is no longer in Kafka.
        """
        if model is None:
            raise ModelError("there is no model")
        slices = [head_slice] if head_slice is not None else [self._voxels(frame) for frame in members]
        shape, _ = Counter(one.voxels_hu.shape for one in slices).most_common(1)[0]
        same = [(f, s) for f, s in zip(members, slices, strict=True) if s.voxels_hu.shape == shape]
        ((reading, picture),) = self._read(model, [_mean([s for _, s in same])])
        self._pictures.put(_picture_key(members), picture)
        for frame in members:
            self._waiting.drop(_place(frame))
        return _unit_reading([f for f, _ in same], reading, model.identity)

    def read_ahead(
        self, model: OpenModel | None, frames: Sequence[tuple[SliceAccepted, int, int, bytes]]
    ) -> list[Ahead]:
        """Look at frames (header, partition, offset, pixels), and read together those that are read alone.

        Touches nothing that is kept: it may run while the loop goes on.
        """
        looks = [self.look(header, encoded) for header, _, _, encoded in frames]
        alone = {
            k: looked.slice
            for k, (looked, (header, partition, offset, _)) in enumerate(zip(looks, frames, strict=True))
            if looked.slice is not None and frame_record(header, partition, offset, None).slab is None
        }
        if model is None or not alone:
            return [Ahead(looked) for looked in looks]
        try:
            read = dict(zip(alone, self._read(model, list(alone.values())), strict=True))
        except ModelError:
            return [Ahead(looked) for looked in looks]
        return [
            Ahead(looked, model.identity, *read[k]) if k in read else Ahead(looked) for k, looked in enumerate(looks)
        ]

    def accept(self, frame: FrameRecord, ahead: Ahead, model: OpenModel | None) -> UnitReading | None:
        """The reading of a frame that was made ahead; None where it was not, or by another model."""
        if ahead.reading is None or ahead.picture is None or model is None or ahead.model != model.identity:
            return None
        self._pictures.put(_picture_key([frame]), ahead.picture)
        return _unit_reading([frame], ahead.reading, model.identity)

    def _read(self, model: OpenModel, slices: Sequence[HeadSlice]) -> list[tuple[SliceReading, Picture]]:
        began = time.monotonic()
        try:
            read = model.reader.read(slices)
        finally:
            self.moved()
        self.watch(time.monotonic() - began, len(slices))
        return [
            (reading, Picture(brain_window(one.voxels_hu), heat_map))
            for one, (reading, heat_map) in zip(slices, read, strict=True)
        ]

    def picture(self, model: OpenModel | None, members: Sequence[FrameRecord]) -> Picture | None:
        """The picture of a unit that was read; None when its pixels are gone."""
        kept = self._pictures.get(_picture_key(members))
        if kept is None:
            try:
                self.read(model, members)
            except (ModelError, LookupError):
                return None
            kept = self._pictures.get(_picture_key(members))
        return kept

    def heat_maps(self, units: Mapping[str, Sequence[FrameRecord]]) -> dict[str, Grey]:
        """Where the reader looked, of those units whose heat map is still in memory."""
        kept = ((unit, self._pictures.get(_picture_key(members))) for unit, members in units.items() if members)
        return {unit: picture.heat_map for unit, picture in kept if picture is not None}

    def _voxels(self, frame: FrameRecord) -> HeadSlice:
        kept = self._waiting.get(_place(frame))
        if kept is not None:
            return kept
        looked = self.look(*self.source.fetch(frame.partition, frame.offset))
        if looked.slice is None:
            raise LookupError(f"the frame cannot be read any more: {looked.reason}")
        return looked.slice


def _unit_reading(members: Sequence[FrameRecord], reading: SliceReading, model: str) -> UnitReading:
    positions = [frame.position_mm for frame in members if frame.position_mm is not None]
    return UnitReading(
        unit=members[0].unit,
        position_mm=round(float(np.mean(positions)), 3) if positions else None,
        members=tuple(frame.identity for frame in members),
        reading=reading,
        model=model,
    )


def _place(frame: FrameRecord) -> str:
    return f"{frame.partition}:{frame.offset}"


def _picture_key(members: Sequence[FrameRecord]) -> str:
    return f"{_place(members[0])}:{len(members)}"


def _mean(slices: Sequence[HeadSlice]) -> HeadSlice:
    if len(slices) == 1:
        return slices[0]
    total: Voxels = np.zeros_like(slices[0].voxels_hu)
    for each in slices:
        total += each.voxels_hu
    thickness = sum(each.thickness_mm or 0.0 for each in slices)
    return HeadSlice(total / np.float32(len(slices)), slices[0].pixel_spacing_mm, thickness or None)
