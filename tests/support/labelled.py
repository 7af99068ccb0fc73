"""Labelled heads that are made in a moment: nine thick slices of 64 × 64."""

import numpy as np

from triage_models.datasets.case import Case
from triage_models.reader import HeadSlice
from triage_models.synthetic import generate


def a_labelled_case(seed: int, bleed: str | None = None) -> Case:
    """The head of a seed, with the labels and bleeding areas of its slices."""
    s = generate(seed, bleed, slices=9, thickness_mm=16.0, shape=(64, 64), averaged=False)
    planes = s.voxels_hu.astype(np.float32)
    areas = np.stack([(s.masks == code).sum((1, 2)) for code in range(1, 6)], 1) * np.prod(s.pixel_spacing_mm)
    return Case(
        name=str(seed),
        slices=tuple(HeadSlice(plane, s.pixel_spacing_mm, s.thickness_mm) for plane in planes),
        positions_mm=s.positions_mm.astype(np.float64),
        labels=np.asarray(s.labels.any(0), np.bool_),
        slice_labels=s.labels,
        thickness_mm=s.thickness_mm,
        kernel=s.kernel,
        areas_mm2=areas,
    )
