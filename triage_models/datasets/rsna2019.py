"""RSNA 2019 Intracranial Hemorrhage Detection (Kaggle): `stage_2_train.csv` and `stage_2_train/ID_*.dcm`.

The table has one row per image and label: `ID_<image>_<label>,<0|1>`. Images are grouped to series by their
SeriesInstanceUID. Labels are per slice; a series also has the labels of slices that cannot be read.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage_models.datasets.case import Case
from triage_models.datasets.dicom_folder import as_case, read_or_none, read_series
from triage_models.errors import DatasetError
from triage_models.labels import LABELS


def cases(folder: Path) -> Iterator[Case]:
    """Every series whose images are all labelled. Raises DatasetError when table or images are missing."""
    table = _table(folder)
    for uid, paths in sorted(_by_series(folder, table).items()):
        series = read_series(paths)
        if series is not None:
            everything = np.array([table[path.stem] for path in paths])
            labels = np.array([table[name] for name in series.names])
            yield as_case(series, uid, np.asarray(everything.any(axis=0), np.bool_), labels)


def _table(folder: Path) -> dict[str, NDArray[np.bool_]]:
    found = sorted(folder.glob("stage_*_train.csv"))
    if not found:
        raise DatasetError(f"{folder} has no stage_*_train.csv")
    table: dict[str, NDArray[np.bool_]] = defaultdict(lambda: np.zeros(len(LABELS), np.bool_))
    with found[-1].open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            image, _, label = row["ID"].rpartition("_")
            if label not in LABELS:
                raise DatasetError(f"{found[-1]}: {row['ID']!r} names no known label")
            table[image][LABELS.index(label)] = row["Label"].strip() == "1"
    return dict(table)


def _by_series(folder: Path, table: dict[str, NDArray[np.bool_]]) -> dict[str, list[Path]]:
    paths = [p for p in sorted(folder.glob("stage_*_train/ID_*.dcm")) if p.stem in table]
    if not paths:
        raise DatasetError(f"{folder} has no stage_*_train/ID_*.dcm that its table names")
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        uid = read_or_none(path, lambda d: str(d.SeriesInstanceUID), pixels=False)
        if uid is not None:
            groups[uid].append(path)
    return groups
