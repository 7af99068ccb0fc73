"""CT-ICH (PhysioNet, Hssayeni et al. 2020): `ct_scans/<patient>.nii`, labels per slice in `hemorrhage_diagnosis*.csv`.

Volumes are NIfTI in HU, `[x, y, slice]`, slices from foot to head; patient and slice numbers count from 1 in the table.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from triage_models.datasets.case import Case
from triage_models.errors import DatasetError
from triage_models.labels import LABELS
from triage_models.reader import HeadSlice

_COLUMNS = ("Epidural", "Intraparenchymal", "Intraventricular", "Subarachnoid", "Subdural")
"""The table's names in the order of LABELS[1:]."""


def cases(folder: Path) -> Iterator[Case]:
    """Every patient of the table whose volume is there. Raises DatasetError when the table is missing."""
    for patient, rows in sorted(_table(folder).items()):
        path = _volume_path(folder, patient)
        if path is not None:
            yield _case(path, f"{patient:03d}", rows)


def _table(folder: Path) -> dict[int, dict[int, NDArray[np.bool_]]]:
    found = sorted(folder.glob("hemorrhage_diagnosis*.csv"))
    if not found:
        raise DatasetError(f"{folder} has no hemorrhage_diagnosis*.csv")
    table: dict[int, dict[int, NDArray[np.bool_]]] = defaultdict(dict)
    with found[0].open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            types = np.array([row[column].strip() == "1" for column in _COLUMNS])
            table[int(row["PatientNumber"])][int(row["SliceNumber"])] = np.concatenate([[types.any()], types])
    return dict(table)


def _volume_path(folder: Path, patient: int) -> Path | None:
    names = [f"{patient:03d}.nii", f"{patient:03d}.nii.gz"]
    return next((p for p in (folder / "ct_scans" / name for name in names) if p.is_file()), None)


def _case(path: Path, name: str, rows: dict[int, NDArray[np.bool_]]) -> Case:
    image = nibabel.load(path)
    volume = np.asarray(image.dataobj, np.float32)
    across, down, spacing = (float(v) for v in image.header.get_zooms()[:3])
    planes = [np.ascontiguousarray(np.rot90(volume[:, :, k])) for k in range(volume.shape[2])]
    absent = np.zeros(len(LABELS), np.bool_)
    labels = np.array([rows.get(k + 1, absent) for k in range(len(planes))])
    return Case(
        name=name,
        slices=tuple(HeadSlice(plane, (down, across), spacing) for plane in planes),
        positions_mm=np.arange(len(planes), dtype=np.float64) * spacing,
        labels=np.asarray(labels.any(axis=0), np.bool_),
        slice_labels=labels,
        thickness_mm=spacing,
        kernel="",
    )
