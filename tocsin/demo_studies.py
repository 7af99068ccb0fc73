"""The two patients of the demonstration: synthetic heads, one with a bleed, one without."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.contracts.ids import SiteSecret
from tocsin.scanner import DicomFile, find_files
from triage_models.synthetic import generate
from triage_models.synthetic.dicom import write_series


@dataclass(frozen=True)
class DemoStudy:
    """One study on disk.

    Attributes:
        label: the truth: the type of bleed, or ``none``.
        files: in the order in which they are sent: shuffled.
        series_key: what Tocsin will call its series.
    """

    label: str
    files: tuple[DicomFile, ...]
    series_key: str


def make(label: str, seed: int, slices: int, folder: Path, secret: SiteSecret) -> DemoStudy:
    """Generate one study and write it as DICOM files."""
    series = generate(seed, None if label == "none" else label, slices=slices)
    write_series(series, folder, patient_name=f"DEMO^{label.upper()}")
    files, _ = find_files([folder])
    order = shuffled(files, seed)
    first = files[0]
    return DemoStudy(label, order, secret.series_key(first.study_instance_uid, first.series_instance_uid))


def shuffled(files: Sequence[DicomFile], seed: int) -> tuple[DicomFile, ...]:
    """An order that has nothing to do with anatomy, the same for the same seed."""
    return tuple(random.Random(seed).sample(list(files), len(files)))  # noqa: S311 - an order, not a secret
