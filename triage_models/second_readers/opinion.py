"""What a second reader is asked and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import nibabel
import numpy as np
from numpy.typing import NDArray

from triage_models.errors import InferenceFailed, UnreadableSlice
from triage_models.reader import HeadSlice

TIME_LIMIT_SECONDS = 1800.0
"""A second opinion on a CPU takes minutes; after half an hour it is called failed."""


@dataclass(frozen=True)
class Opinion:
    """What it found: volumes in mL by the reader's own names, which are not the labels of this package, or
    probabilities by label."""

    reader: str
    licence: str
    volumes_ml: Mapping[str, float] = field(default_factory=dict)
    probabilities: Mapping[str, float] = field(default_factory=dict)


class SecondReader(Protocol):
    """Somebody else's model of a whole head."""

    @property
    def name(self) -> str: ...

    @property
    def licence(self) -> str: ...

    def is_available(self) -> bool:
        """True when its program is installed."""
        ...

    def read(self, slices: Sequence[HeadSlice], spacing_mm: float, work: Path) -> Opinion:
        """Reads slices given from foot to head. Raises RuntimeUnavailable, InferenceFailed or UnreadableSlice."""
        ...


def write_nifti(slices: Sequence[HeadSlice], spacing_mm: float, path: Path) -> None:
    """A volume in RAS from slices whose rows run to posterior and columns to patient left, foot to head."""
    if len({s.voxels_hu.shape for s in slices}) != 1:
        raise UnreadableSlice("a volume needs slices of one shape")
    down, across = slices[0].pixel_spacing_mm
    volume = np.stack([s.voxels_hu[::-1, ::-1].T for s in slices], axis=2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([across, down, spacing_mm, 1.0])), path)


def read_volume(path: Path) -> tuple[NDArray[np.int64], float]:
    """(label map, mL per voxel) of what a second reader wrote. Raises InferenceFailed when it wrote nothing."""
    if not path.is_file():
        raise InferenceFailed(f"the second reader left no {path.name}")
    image = nibabel.load(path)
    voxel_ml = float(np.prod(image.header.get_zooms()[:3])) / 1000
    return np.asarray(np.rint(np.asarray(image.dataobj)), np.int64), voxel_ml
