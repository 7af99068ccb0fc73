"""Synthetic patients for demonstrations and checks: heads on a kernel that Tocsin reads.

The generator draws a bone kernel for some heads, as hospitals do; those are for training, and a series of them ends as
*not assessable*. Here the next head is taken instead.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.contracts.ids import SiteSecret
from tocsin.scanner import DicomFile, find_files
from triage_models.kernels import is_bone_kernel
from triage_models.synthetic import SyntheticSeries, generate
from triage_models.synthetic.dicom import write_series


@dataclass(frozen=True)
class SyntheticStudy:
    """One study on disk.

    Attributes:
        label: the truth: the type of bleed, or ``none``.
        files: in the order in which they are sent: shuffled.
        series_key: what Tocsin will call its series.
    """

    label: str
    files: tuple[DicomFile, ...]
    series_key: str


SEED_STRIDE = 1_000_003
"""Between a seed and its stand-in; a prime, so that neighbouring seeds do not share stand-ins."""


def readable_head(seed: int, label: str, *, slices: int, thickness_mm: float = 5.0, side: int = 512) -> SyntheticSeries:
    """The head of a seed, or of its first stand-in that is not on a bone kernel. ``label``: a bleed, or ``none``."""
    while True:
        series = generate(
            seed, None if label == "none" else label, slices=slices, thickness_mm=thickness_mm, shape=(side, side)
        )
        if not is_bone_kernel(series.kernel):
            return series
        seed += SEED_STRIDE


def make(label: str, seed: int, slices: int, folder: Path, secret: SiteSecret) -> SyntheticStudy:
    """Generate one study and write it as DICOM files."""
    series = readable_head(seed, label, slices=slices)
    write_series(series, folder, patient_name=f"DEMO^{label.upper()}")
    files, _ = find_files([folder])
    order = shuffled(files, seed)
    first = files[0]
    return SyntheticStudy(label, order, secret.series_key(first.study_instance_uid, first.series_instance_uid))


def shuffled(files: Sequence[DicomFile], seed: int) -> tuple[DicomFile, ...]:
    """An order that has nothing to do with anatomy, the same for the same seed."""
    return tuple(random.Random(seed).sample(list(files), len(files)))  # noqa: S311 - an order, not a secret
