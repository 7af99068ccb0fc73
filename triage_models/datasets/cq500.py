"""CQ500 (Centre for Advanced Research in Imaging, New Delhi): `reads.csv` and one folder per patient.

Three readers per scan; the truth is their majority, per scan. Folders are named `CQ500CT<n> CQ500CT<n>` or
`CQ500-CT-<n>`, with one sub-folder per series below. Series on a kernel for bone are left out, those with
contrast where there is another; of the others the thickest that covers the head is taken.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from triage_models.datasets.case import Case
from triage_models.datasets.dicom_folder import (
    DicomSeries,
    as_case,
    dicom_files,
    kernel_of,
    position_mm,
    read_or_none,
    read_series,
    thickness_mm,
)
from triage_models.errors import DatasetError
from triage_models.kernels import is_bone_kernel

_COLUMNS = ("ICH", "EDH", "IPH", "IVH", "SAH", "SDH")
"""The table's names in the order of LABELS."""

_READERS = ("R1", "R2", "R3")
_LEAST_SLICES = 8
_HEAD_MM = 100.0
"""A series over less of the axis does not cover a head."""


@dataclass(frozen=True)
class _Header:
    """What one file says of its series."""

    kernel: str
    position_mm: float
    thickness_mm: float
    with_contrast: bool

    @classmethod
    def of(cls, d: Dataset) -> "_Header":
        """Of a data set without its pixels."""
        return cls(kernel_of(d), position_mm(d), thickness_mm(d) or 0.0, bool(d.get("ContrastBolusAgent")))


def cases(folder: Path) -> Iterator[Case]:
    """Every scan of the table with images on a kernel for brain. Raises DatasetError when the table is missing."""
    for name, labels in sorted(_table(folder).items()):
        series = _best_series(folder, name)
        if series is not None:
            yield as_case(series, name, labels)


def _table(folder: Path) -> dict[str, NDArray[np.bool_]]:
    path = folder / "reads.csv"
    if not path.is_file():
        raise DatasetError(f"{folder} has no reads.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return {row["name"].strip(): _majority(row) for row in csv.DictReader(file)}


def _majority(row: dict[str, str]) -> NDArray[np.bool_]:
    votes = [[int(row[f"{reader}:{column}"] or 0) for column in _COLUMNS] for reader in _READERS]
    return np.asarray(np.array(votes).sum(0) * 2 > len(_READERS), np.bool_)


def _best_series(folder: Path, name: str) -> DicomSeries | None:
    number = re.sub(r"\D", "", name.split("-")[-1])
    homes = [p for p in folder.iterdir() if p.is_dir() and _is_home(p.name, number)]
    groups: dict[Path, list[Path]] = {}
    for home in homes:
        for path in dicom_files(home):
            groups.setdefault(path.parent, []).append(path)
    ranked = sorted((one for one in map(_ranked, groups.values()) if one is not None), reverse=True)
    return next((series for _, paths in ranked if (series := read_series(paths)) is not None), None)


_Rank = tuple[bool, bool, float, int]
"""Without contrast, over the whole head, slice thickness, slices: the highest is taken."""


def _ranked(paths: list[Path]) -> tuple[_Rank, list[Path]] | None:
    """A series by its headers, before its pixels are read; None for a kernel for bone or too few slices."""
    headers = [header for path in paths if (header := read_or_none(path, _Header.of, pixels=False)) is not None]
    if len(headers) < _LEAST_SLICES or is_bone_kernel(headers[0].kernel):
        return None
    extent_mm = float(np.ptp([header.position_mm for header in headers]))
    plain = not any(header.with_contrast for header in headers)
    return (plain, extent_mm >= _HEAD_MM, headers[0].thickness_mm, len(headers)), paths


def _is_home(folder_name: str, number: str) -> bool:
    return re.fullmatch(rf"(CQ500CT{number}( CQ500CT{number})?|CQ500-CT-{number})", folder_name) is not None
