"""DICOM files to slices in Hounsfield units, ordered along the slice normal (PS3.3 C.7.6.2.1.1).

Law: a file that cannot be read costs itself, never the set: it is left out, named in the journal, and counted.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from triage_models.datasets.case import Case
from triage_models.reader import HeadSlice

journal = logging.getLogger(__name__)

Found = TypeVar("Found")


@dataclass(frozen=True)
class DicomSeries:
    """Slices ascending along the normal; `names` are the files' stems; `unreadable`: files that were left out."""

    names: tuple[str, ...]
    slices: tuple[HeadSlice, ...]
    positions_mm: NDArray[np.float64]
    thickness_mm: float | None
    kernel: str
    unreadable: int = 0


@dataclass(frozen=True)
class _Placed:
    """One slice of a series."""

    position_mm: float
    name: str
    kernel: str
    slice: HeadSlice


def read_series(paths: Sequence[Path]) -> DicomSeries | None:
    """One series from its files; None when none of them can be read."""
    found = [read_or_none(path, partial(_placed, path)) for path in paths]
    placed = [one for one in found if one is not None]
    if not placed:
        journal.warning("a series of %d files is left out: none can be read", len(paths))
        return None
    placed.sort(key=lambda one: (one.position_mm, one.name))
    return DicomSeries(
        names=tuple(one.name for one in placed),
        slices=tuple(one.slice for one in placed),
        positions_mm=np.array([one.position_mm for one in placed]),
        thickness_mm=placed[0].slice.thickness_mm,
        kernel=placed[0].kernel,
        unreadable=len(paths) - len(placed),
    )


def read_or_none(path: Path, what: Callable[[Dataset], Found], *, pixels: bool = True) -> Found | None:
    """What is wanted of one file; None, said in the journal, where the file does not give it."""
    try:
        return what(dcmread(path, stop_before_pixels=not pixels))
    except Exception as error:  # noqa: BLE001  # boundary: pydicom and its codecs raise errors of many kinds
        journal.warning("%s is left out: it cannot be read (%s)", path, type(error).__name__)
        return None


def _placed(path: Path, d: Dataset) -> _Placed:
    return _Placed(position_mm(d), path.stem, kernel_of(d), head_slice(d))


def head_slice(dataset: Dataset) -> HeadSlice:
    """Pixels to HU by the rescale of the modality LUT (PS3.3 C.11.1); padding becomes air."""
    stored = dataset.pixel_array.astype(np.float32)
    hu = stored * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    row, column = (float(v) for v in dataset.get("PixelSpacing", (1.0, 1.0)))
    return HeadSlice(np.clip(hu, -1024, 3071).astype(np.float32), (row, column), thickness_mm(dataset))


def as_case(
    series: DicomSeries, name: str, labels: NDArray[np.bool_], slice_labels: NDArray[np.bool_] | None = None
) -> Case:
    """A case of a series and its truth."""
    return Case(
        name,
        series.slices,
        series.positions_mm,
        labels,
        slice_labels,
        series.thickness_mm,
        series.kernel,
        unreadable=series.unreadable,
    )


def dicom_files(folder: Path) -> Sequence[Path]:
    """Every file under a folder that is named like a DICOM file."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in ("", ".dcm", ".ima"))


def position_mm(d: Dataset) -> float:
    """Millimetres along the normal; InstanceNumber when the geometry is missing."""
    if "ImagePositionPatient" not in d or "ImageOrientationPatient" not in d:
        return float(d.get("InstanceNumber", 0) or 0)
    cosines = np.array([float(v) for v in d.ImageOrientationPatient])
    normal = np.cross(cosines[:3], cosines[3:])
    return float(np.array([float(v) for v in d.ImagePositionPatient]) @ normal)


def thickness_mm(d: Dataset) -> float | None:
    """As the header says, where it does."""
    value = d.get("SliceThickness")
    return None if value is None else float(value)


def kernel_of(d: Dataset) -> str:
    """The first value of ConvolutionKernel."""
    value = d.get("ConvolutionKernel", "")
    return str(value if isinstance(value, str) else next(iter(value), ""))
