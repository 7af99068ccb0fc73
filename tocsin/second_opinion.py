"""A second reader's opinion of the series in files: the same slices that the first reader would read, as a volume."""

import itertools
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streams.contracts.slices import SliceAccepted
from streams.geometry import AXIAL_COSINE, position_mm
from streams.reading import PixelWork
from tocsin.offline import Frame
from triage_models.errors import ModelError
from triage_models.reader import HeadSlice
from triage_models.second_readers.opinion import Opinion, SecondReader

LEAST_SLICES = 5
SAME_PLACE_MM = 0.05
MOST_UNEVEN = 0.2
"""Steps between slices may differ by this share of the median: a volume has one spacing."""


@dataclass(frozen=True)
class SecondOpinion:
    """Of one series; `opinion` or the reason why there is none. `slices`: how many made the volume."""

    series_key: str
    slices: int
    opinion: Opinion | None
    reason: str = ""


class NoVolume(Exception):
    """A series does not make a volume; the text says why."""


def second_opinions(frames: Iterable[Frame], reader: SecondReader) -> Iterator[SecondOpinion]:
    """One for each series; a series that fails does not stop the others."""
    by_series: dict[str, list[Frame]] = {}
    for frame in frames:
        by_series.setdefault(frame.header.series_key, []).append(frame)
    for series_key, series in by_series.items():
        volume: list[HeadSlice] = []
        try:
            volume, spacing_mm = volume_of(series)
            with tempfile.TemporaryDirectory(prefix="tocsin-second-") as work:
                yield SecondOpinion(series_key, len(volume), reader.read(volume, spacing_mm, Path(work)))
        except (NoVolume, ModelError) as error:
            yield SecondOpinion(series_key, len(volume), None, str(error))


def volume_of(frames: Iterable[Frame]) -> tuple[list[HeadSlice], float]:
    """(slices from foot to head, rows to posterior and columns to the patient's left; mm from one to the next).

    Raises:
        NoVolume: what may be read makes no volume.
    """
    pixels = PixelWork(_Nowhere())
    placed: dict[float, HeadSlice] = {}
    for frame in frames:
        position, looked = position_mm(frame.header), pixels.look(frame.header, frame.pixels)
        if looked.slice is not None and position is not None:
            placed.setdefault(round(position / SAME_PLACE_MM) * SAME_PLACE_MM, _upright(frame.header, looked.slice))
    if len(placed) < LEAST_SLICES:
        raise NoVolume(f"only {len(placed)} slices may be read and have a place; at least {LEAST_SLICES} make a volume")
    positions = sorted(placed)
    steps = [b - a for a, b in itertools.pairwise(positions)]
    spacing_mm = statistics.median(steps)
    if max(steps) > (1 + MOST_UNEVEN) * spacing_mm or min(steps) < (1 - MOST_UNEVEN) * spacing_mm:
        raise NoVolume(f"the slices lie {min(steps):.1f} to {max(steps):.1f} mm apart: a volume has one spacing")
    return [placed[position] for position in positions], spacing_mm


def _upright(header: SliceAccepted, one: HeadSlice) -> HeadSlice:
    """Turned so that rows run to posterior and columns to the patient's left (PS3.3 C.7.6.2.1.1: +x left, +y back)."""
    orientation = header.ImageOrientationPatient or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    across, down = orientation[0], orientation[4]
    if min(abs(across), abs(down)) < AXIAL_COSINE:
        raise NoVolume("the slices are not axial, or lie on their side")
    voxels_hu = one.voxels_hu[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1]
    return replace(one, voxels_hu=np.ascontiguousarray(voxels_hu))


class _Nowhere:
    """Nothing is read again."""

    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        raise LookupError
