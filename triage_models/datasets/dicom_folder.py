"""DICOM files to slices in Hounsfield units, ordered along the slice normal (PS3.3 C.7.6.2.1.1)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from triage_models.datasets.case import Case
from triage_models.errors import DatasetError
from triage_models.reader import HeadSlice


@dataclass(frozen=True)
class DicomSeries:
    """Slices ascending along the normal; `names` are the files' stems."""

    names: tuple[str, ...]
    slices: tuple[HeadSlice, ...]
    positions_mm: NDArray[np.float64]
    thickness_mm: float | None
    kernel: str


def read_series(paths: Iterable[Path]) -> DicomSeries:
    """One series from its files. Raises DatasetError for a file that is no readable image."""
    loaded = sorted(((_position(d), p.stem, d) for p, d in ((p, _load(p)) for p in paths)), key=lambda item: item[:2])
    if not loaded:
        raise DatasetError("a series without files")
    first = loaded[0][2]
    thickness = first.get("SliceThickness")
    return DicomSeries(
        names=tuple(name for _, name, _ in loaded),
        slices=tuple(head_slice(d) for _, _, d in loaded),
        positions_mm=np.array([position for position, _, _ in loaded]),
        thickness_mm=None if thickness is None else float(thickness),
        kernel=_kernel(first),
    )


def head_slice(dataset: Dataset) -> HeadSlice:
    """Pixels to HU by the rescale of the modality LUT (PS3.3 C.11.1); padding becomes air."""
    stored = dataset.pixel_array.astype(np.float32)
    hu = stored * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    row, column = (float(v) for v in dataset.get("PixelSpacing", (1.0, 1.0)))
    thickness = dataset.get("SliceThickness")
    return HeadSlice(
        np.clip(hu, -1024, 3071).astype(np.float32), (row, column), None if thickness is None else float(thickness)
    )


def as_case(
    series: DicomSeries, name: str, labels: NDArray[np.bool_], slice_labels: NDArray[np.bool_] | None = None
) -> Case:
    """A case of a series and its truth."""
    return Case(name, series.slices, series.positions_mm, labels, slice_labels, series.thickness_mm, series.kernel)


def dicom_files(folder: Path) -> Sequence[Path]:
    """Every file under a folder that is named like a DICOM file."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in ("", ".dcm", ".ima"))


def _load(path: Path) -> Dataset:
    try:
        return dcmread(path)
    except (InvalidDicomError, OSError) as error:
        raise DatasetError(f"{path} is no readable DICOM file: {error}") from error


def _position(d: Dataset) -> float:
    """Millimetres along the normal; InstanceNumber when the geometry is missing."""
    if "ImagePositionPatient" not in d or "ImageOrientationPatient" not in d:
        return float(d.get("InstanceNumber", 0) or 0)
    cosines = np.array([float(v) for v in d.ImageOrientationPatient])
    normal = np.cross(cosines[:3], cosines[3:])
    return float(np.array([float(v) for v in d.ImagePositionPatient]) @ normal)


def _kernel(d: Dataset) -> str:
    value = d.get("ConvolutionKernel", "")
    return str(value if isinstance(value, str) else next(iter(value), ""))
