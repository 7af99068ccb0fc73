"""CQ500 (Centre for Advanced Research in Imaging, New Delhi): `reads.csv` and one folder per patient.

Three readers per scan; the truth is their majority, per scan. Folders are named `CQ500CT<n> CQ500CT<n>` or
`CQ500-CT-<n>`, with one sub-folder per series below; of several series the thickest that covers the head is taken.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage_models.datasets.case import Case
from triage_models.datasets.dicom_folder import DicomSeries, as_case, dicom_files, read_series
from triage_models.errors import DatasetError

_COLUMNS = ("ICH", "EDH", "IPH", "IVH", "SAH", "SDH")
"""The table's names in the order of LABELS."""

_READERS = ("R1", "R2", "R3")
_LEAST_SLICES = 8


def cases(folder: Path) -> Iterator[Case]:
    """Every scan of the table whose images are there. Raises DatasetError when the table is missing."""
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
    found = [read_series(paths) for paths in groups.values() if len(paths) >= _LEAST_SLICES]
    return max(found, key=lambda s: (s.thickness_mm or 0.0, len(s.slices)), default=None)


def _is_home(folder_name: str, number: str) -> bool:
    return re.fullmatch(rf"(CQ500CT{number}( CQ500CT{number})?|CQ500-CT-{number})", folder_name) is not None
