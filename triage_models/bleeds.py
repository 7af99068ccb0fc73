"""What a segmented bleed measures: per slice (`TypeFinding`), and over a series (`BleedMeasurement`).

Law: a measurement carries its uncertainty, taken from how wrong the model's volumes were on its evaluation set; where
that was never measured it says so by `None`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]

_MOST_SPACING_MM = 6.0
"""A slice stands for at most this much of the axis: gaps between the slices seen are not filled in."""

_ALONE_MM = 5.0


class ImageSide(StrEnum):
    """Side in image coordinates; the caller maps it to the patient by the slice's orientation."""

    IMAGE_LEFT = "image_left"
    IMAGE_RIGHT = "image_right"
    MIDLINE = "midline"


class TypeFinding(BaseModel):
    """One type's segmentation in one slice: area, mean density, longest extent, side and centroid (image fractions)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    area_mm2: float = Field(ge=0)
    mean_hu: float
    diameter_mm: float = Field(ge=0)
    side: ImageSide
    centroid: tuple[Fraction, Fraction]


class BleedMeasurement(BaseModel):
    """One type over a series.

    `volume_ml` with an interval that held 95 % of the evaluation's errors (None: never measured); `mean_hu` weighted by
    area; `diameter_mm` the longest extent in a slice, `extent_mm` along the axis; `side` of most of the area, in image
    coordinates; `slices` in which it was segmented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    volume_ml: float = Field(ge=0)
    volume_interval_ml: tuple[float, float] | None
    mean_hu: float
    diameter_mm: float = Field(ge=0)
    extent_mm: float = Field(ge=0)
    side: ImageSide
    slices: int = Field(ge=1)


def measure_bleeds(
    readings: Sequence[tuple[float, Mapping[str, TypeFinding]]],
    relative_errors: Mapping[str, tuple[float, float, float]],
) -> list[BleedMeasurement]:
    """Measurements of (position mm, findings) of the slices seen, in any order; largest volume first.

    `relative_errors`: per type the 2.5 %, 50 % and 97.5 % quantile of true over segmented volume; the volume is
    corrected by the middle one.
    """
    shares = _shares(np.array([position for position, _ in readings], np.float64))
    found: dict[str, list[tuple[float, float, TypeFinding]]] = defaultdict(list)
    for share, (position, findings) in zip(shares, readings, strict=True):
        for name, finding in findings.items():
            found[name].append((position, float(share), finding))
    measured = [_measurement(name, rows, relative_errors.get(name)) for name, rows in found.items()]
    return sorted(measured, key=lambda m: -m.volume_ml)


def _shares(positions_mm: np.ndarray) -> np.ndarray:
    """Millimetres of the axis that each slice stands for."""
    if len(positions_mm) < 2:
        return np.full(len(positions_mm), _ALONE_MM)
    order = np.argsort(positions_mm, kind="stable")
    share = np.empty(len(order))
    share[order] = np.clip(np.gradient(positions_mm[order]), 0.0, _MOST_SPACING_MM)
    return share


def _interval(segmented_ml: float, errors: tuple[float, float, float] | None) -> tuple[float, float] | None:
    return None if errors is None else (round(segmented_ml * errors[0], 2), round(segmented_ml * errors[2], 2))


def _measurement(
    name: str, rows: list[tuple[float, float, TypeFinding]], errors: tuple[float, float, float] | None
) -> BleedMeasurement:
    areas = np.array([finding.area_mm2 for _, _, finding in rows])
    shares = np.array([share for _, share, _ in rows])
    segmented = float((areas * shares).sum() / 1000)
    by_side: dict[ImageSide, float] = defaultdict(float)
    for _, _, finding in rows:
        by_side[finding.side] += finding.area_mm2
    positions = [position for position, _, _ in rows]
    return BleedMeasurement(
        type=name,
        volume_ml=round(segmented if errors is None else segmented * errors[1], 2),
        volume_interval_ml=_interval(segmented, errors),
        mean_hu=round(float(np.average([f.mean_hu for _, _, f in rows], weights=areas)), 1),
        diameter_mm=max(finding.diameter_mm for _, _, finding in rows),
        extent_mm=round(max(positions) - min(positions) + float(shares.mean()), 1),
        side=max(by_side, key=lambda side: by_side[side]),
        slices=len(rows),
    )
