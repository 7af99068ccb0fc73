"""A second reader's opinion of the series in files: the same slices that the first reader would read, as a volume."""

import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streams.contracts.slices import SliceAccepted
from streams.geometry import AXIAL_COSINE, SAME_POSITION_MM, gaps_mm, position_mm
from streams.reading import PixelWork
from tocsin.offline import Refusal, load
from triage_models.errors import ModelError
from triage_models.reader import HeadSlice
from triage_models.second_readers.opinion import Opinion, SecondReader

LEAST_SLICES = 5
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


def second_opinions(files: Iterable[Path], reader: SecondReader) -> Iterator[SecondOpinion | Refusal]:
    """One for each series, and every file that is not in one; a series that fails does not stop the others.

    Files are opened twice: the pixels of one series are in memory at a time.
    """
    of_series: dict[str, dict[Path, None]] = {}
    for path in files:
        for found in load(path):
            if isinstance(found, Refusal):
                yield found
            else:
                of_series.setdefault(found[0].header.series_key, {})[path] = None
    for series_key, paths in of_series.items():
        yield _second_opinion(series_key, paths, reader)


def _second_opinion(series_key: str, paths: Iterable[Path], reader: SecondReader) -> SecondOpinion:
    volume: list[HeadSlice] = []
    loaded = (found for path in paths for found in load(path) if not isinstance(found, Refusal))
    try:
        volume, spacing_mm = volume_of((f.header, pixels) for f, pixels in loaded if f.header.series_key == series_key)
        with tempfile.TemporaryDirectory(prefix="tocsin-second-") as work:
            return SecondOpinion(series_key, len(volume), reader.read(volume, spacing_mm, Path(work)))
    except (NoVolume, ModelError) as error:
        return SecondOpinion(series_key, len(volume), None, str(error))


def volume_of(frames: Iterable[tuple[SliceAccepted, bytes]]) -> tuple[list[HeadSlice], float]:
    """(slices from foot to head, rows to posterior and columns to the patient's left; mm from one to the next).

    Raises:
        NoVolume: what may be read makes no volume.
    """
    pixels = PixelWork(_Nowhere())
    placed: dict[float, HeadSlice] = {}
    for header, encoded in frames:
        position, looked = position_mm(header), pixels.look(header, encoded)
        if looked.slice is not None and position is not None:
            placed.setdefault(round(position / SAME_POSITION_MM) * SAME_POSITION_MM, _upright(header, looked.slice))
    if len(placed) < LEAST_SLICES:
        raise NoVolume(f"only {len(placed)} slices may be read and have a place; at least {LEAST_SLICES} make a volume")
    positions = sorted(placed)
    steps = gaps_mm(positions)
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
