"""What a segmented bleed measures: per slice (`TypeFinding`), and over a series (`BleedMeasurement`).

Laws: a volume is the sum of the segmentation's probabilities, not the count of what is more likely than not: the sum is
right on average also where the network is unsure. A measurement carries its uncertainty, which `tocsin calibrate` takes
from a labelled set; where that was never measured it says so by `None`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from triage_models.manifest import MeasurementFit, OffsetFit, PowerFit
from triage_models.midline import ImageSide, side_of

Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]

_MOST_SPACING_MM = 12.0
"""A slice stands for at most this much of the axis: between slices of 10 mm and less the area is interpolated, across a
wider gap nobody knows it."""

_ALONE_MM = 5.0


class TypeFinding(BaseModel):
    """One type's segmentation in one slice: area, mean density, longest extent, side and centroid (image fractions).

    `left`, `right`: shares of the area on either side of the head's middle, in the image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    area_mm2: NotNegative
    mean_hu: float
    diameter_mm: NotNegative
    left: Fraction
    right: Fraction
    centroid: tuple[Fraction, Fraction]

    @property
    def side(self) -> ImageSide:
        """Where most of it is."""
        return side_of(self.left, self.right)


@dataclass(frozen=True)
class Segmented:
    """What was segmented in one slice; `expected_mm2`: per type the sum of probabilities, as an area."""

    position_mm: float
    findings: Mapping[str, TypeFinding]
    expected_mm2: Mapping[str, float] = field(default_factory=dict)


class Measured(BaseModel):
    """A value and the interval that holds 95 % of new cases (None: never compared with a truth)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float | None = None
    high: float | None = None


class BleedMeasurement(BaseModel):
    """One type over a series.

    `mean_hu` weighted by area; `diameter_mm` the longest extent in a slice, `extent_mm` along the axis; `side` by area,
    in image coordinates; `slices`: indices of those given in which it was segmented, from foot to head.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    volume_ml: Measured
    mean_hu: Measured
    diameter_mm: Measured
    extent_mm: NotNegative
    side: ImageSide
    slices: tuple[int, ...] = Field(min_length=1)


def measure_bleeds(slices: Sequence[Segmented], fit: MeasurementFit) -> list[BleedMeasurement]:
    """Measurements from the slices seen, in any order; largest volume first. An empty fit leaves them as segmented."""
    spans, shares = _spans(np.array([s.position_mm for s in slices], np.float64))
    found: dict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(slices)), key=lambda i: slices[i].position_mm):
        for name in slices[index].findings:
            found[name].append(index)
    measured = [_measurement(name, slices, indices, spans, shares, fit) for name, indices in found.items()]
    return sorted(measured, key=lambda m: -m.volume_ml.value)


def _spans(positions_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per slice: millimetres of the axis that its place stands for, and its share of them among those at that place."""
    _, first, place, together = np.unique(
        np.round(positions_mm, 2), return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) < 2:
        spans = np.full(len(first), _ALONE_MM)
    else:
        spans = np.clip(np.gradient(positions_mm[first]), 0.0, _MOST_SPACING_MM)
    return spans[place], (spans / together)[place]


def _measurement(
    name: str,
    slices: Sequence[Segmented],
    indices: Sequence[int],
    spans: np.ndarray,
    shares: np.ndarray,
    fit: MeasurementFit,
) -> BleedMeasurement:
    findings = [slices[i].findings[name] for i in indices]
    areas = np.array([finding.area_mm2 for finding in findings])
    left, right = (float(np.average([getattr(f, side) for f in findings], weights=areas)) for side in ("left", "right"))
    positions = [slices[i].position_mm for i in indices]
    mean_hu = float(np.average([f.mean_hu for f in findings], weights=areas))
    diameter_mm = max(finding.diameter_mm for finding in findings)
    return BleedMeasurement(
        type=name,
        volume_ml=_rounded(_volume_ml(name, slices, shares), fit.volume_ml.get(name), 2),
        mean_hu=_rounded(mean_hu, fit.mean_hu.get(name), 1),
        diameter_mm=_rounded(diameter_mm, fit.diameter_mm.get(name), 1),
        extent_mm=round(max(positions) - min(positions) + float(spans[list(indices)].mean()), 1),
        side=side_of(left, right),
        slices=tuple(indices),
    )


def _volume_ml(name: str, slices: Sequence[Segmented], shares: np.ndarray) -> float:
    """Of every slice, also of those in which nothing is sure: the rim of a bleed is there."""
    areas = [
        max(s.expected_mm2.get(name, 0.0), s.findings[name].area_mm2 if name in s.findings else 0.0) for s in slices
    ]
    return float((np.array(areas) * shares).sum() / 1000)


def _rounded(value: float, fit: PowerFit | OffsetFit | None, digits: int) -> Measured:
    if fit is None:
        return Measured(value=round(value, digits))
    best, low, high = (round(v, digits) for v in fit.estimate(value))
    return Measured(value=best, low=low, high=high)
