"""How far the middle of the brain lies off the middle of the skull: per slice, and over a series.

Laws: the skull's middle is the straight line between the crests of the inner table at which the falx is attached,
front and back, as a radiologist draws it; the vault's halves are too unlike for their midpoints to be it. The brain's
middle is the axis about which the tissue near it is most alike on both sides: septum and frontal horns are so wherever
they have been pushed to (the symmetry-based kind in the review of Liao et al., Int. J. Biomed. Imaging 2018, 4303161).
Where a landmark does not stand out, or the slices around the level of the foramen of Monro do not agree, nothing is
measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage

from triage_models.bleeds import Measured
from triage_models.manifest import OffsetFit
from triage_models.midline import ImageSide, Midline

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]
Vector = NDArray[np.float64]

MOST_SHIFT_MM = 20
"""Further off the skull's line the middle is not looked for."""

LEVEL_REACH_MM = 14.0
"""Slices this near to the level have a say, the nearer the more."""

AGREEMENT_MM = 1.5
"""Slices whose shifts are this near to each other agree (the width of a kernel; up to twice that counts)."""

LEAST_AGREEING = 0.65
"""Share of the slices' weight that must agree: else something else than the middle was found in some of them."""

_REACH_MM = 60
_BONE_HU = 70.0
_USUAL_MM = 11
_FRONT, _BACK = 0.27, 0.72
_LEAST_HEIGHT_MM = 90.0
_CREST_REACH_MM = 26
_CREST_ARM_MM = np.arange(6, 17)
_CREST_MM = (0.5, 8.0)
_SEPTUM_ROWS = (0.24, 0.48)
_ARM_MM = 20
_BAND = 4
_FOLD_HU = 78.0
_TISSUE_HU = (5.0, 40.0)
_NOISE_HU = 4.0
_FAR_IS_UNLIKELY = 0.0004
_LEAST_ALIKE = 0.15
_WIDEST = 0.93
_LEAST_SLICES = 2


class Middle(BaseModel):
    """The middle of the brain in one slice.

    `shift_mm` off the skull's midline, positive towards the image's right; `alike`: how alike its two sides are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift_mm: float
    alike: Annotated[float, Field(ge=0, le=1)]


class MidlineMeasurement(BaseModel):
    """The midline shift of a series: `shift_mm` positive towards the image's right; `slice`: index of the slice given
    that shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift_mm: Measured
    slice: int

    @property
    def is_certain(self) -> bool:
        """Is the middle off the skull's, whatever the error?"""
        low, high = self.shift_mm.low, self.shift_mm.high
        return low is not None and high is not None and (low > 0 or high < 0)

    @property
    def towards(self) -> ImageSide:
        """Where to; the caller maps it to the patient's side."""
        if not self.is_certain:
            return ImageSide.MIDLINE
        return ImageSide.IMAGE_RIGHT if self.shift_mm.value > 0 else ImageSide.IMAGE_LEFT

    @property
    def distance_mm(self) -> Measured:
        """The shift without its sign."""
        value, low, high = self.shift_mm.value, self.shift_mm.low, self.shift_mm.high
        if value >= 0 or low is None or high is None:
            return Measured(value=abs(value), low=low, high=high)
        return Measured(value=-value, low=-high, high=-low)


@dataclass(frozen=True)
class Placed:
    """A slice's middle (None where it could not be seen) and place; `brain_mm2`: how much brain it shows."""

    position_mm: float
    brain_mm2: float
    middle: Middle | None


def find_middle(square: Plane, midline: Midline, pixel_mm: tuple[float, float]) -> Middle | None:
    """The middle of the brain in a head's square (HU 0–80, `pixel_mm` between rows and columns); None where it cannot
    be seen.

    `midline`: roughly where the skull's is.
    """
    strip = _strip(square, midline, pixel_mm[1])
    skull = _crests(strip, pixel_mm[0])
    return None if skull is None else _middle(strip, skull, pixel_mm[0])


def measure_midline(slices: Sequence[Placed], fit: OffsetFit | None) -> MidlineMeasurement | None:
    """The shift at the level of the foramen of Monro, from the slices seen, in any order.

    The level is the middle of those that show the most brain. None where it has not been passed yet, where fewer than
    two slices near it show the middle, or where they do not agree.
    """
    level = _level_mm(slices)
    if level is None:
        return None
    near = [
        (index, placed.middle, 1 - (abs(placed.position_mm - level) / (LEVEL_REACH_MM + 2)) ** 2)
        for index, placed in enumerate(slices)
        if placed.middle is not None and abs(placed.position_mm - level) <= LEVEL_REACH_MM
    ]
    if len(near) < _LEAST_SLICES:
        return None
    shifts = np.array([middle.shift_mm for _, middle, _ in near])
    weights = np.array([middle.alike * nearness for _, middle, nearness in near])
    likeliest = int((np.exp(-0.5 * ((shifts[:, None] - shifts) / AGREEMENT_MM) ** 2) @ weights).argmax())
    agree = np.abs(shifts - shifts[likeliest]) <= 2 * AGREEMENT_MM
    if agree.sum() < _LEAST_SLICES or weights[agree].sum() < LEAST_AGREEING * weights.sum():
        return None
    value = float(np.average(shifts[agree], weights=weights[agree]))
    return MidlineMeasurement(shift_mm=_with_interval(value, fit), slice=near[likeliest][0])


def _level_mm(slices: Sequence[Placed]) -> float | None:
    """Middle of the slices with nearly the most brain; None where the most may be still to come."""
    if not slices:
        return None
    positions = np.array([placed.position_mm for placed in slices])
    brain = np.array([placed.brain_mm2 for placed in slices])
    widest = positions[brain >= _WIDEST * brain.max()]
    if brain.max() <= 0 or widest.min() <= positions.min() or widest.max() >= positions.max():
        return None
    return float((widest.min() + widest.max()) / 2)


def _with_interval(value: float, fit: OffsetFit | None) -> Measured:
    if fit is None:
        return Measured(value=round(value, 1))
    best, low, high = (round(v, 1) for v in fit.estimate(value))
    return Measured(value=best, low=low, high=high)


@dataclass(frozen=True)
class _Skull:
    """Where the falx is attached, in a strip: (row, mm from the strip's middle), front and back."""

    front: tuple[float, float]
    back: tuple[float, float]

    @property
    def slope(self) -> float:
        """mm aside per row."""
        return (self.back[1] - self.front[1]) / (self.back[0] - self.front[0])

    def at(self, rows: NDArray[np.intp]) -> Vector:
        """The line in rows, mm from the strip's middle."""
        return np.asarray(self.front[1] + self.slope * (rows - self.front[0]), np.float64)


def _strip(square: Plane, midline: Midline, column_mm: float) -> Plane:
    """What lies within 60 mm of a line, in steps of 1 mm, row by row."""
    across = np.arange(-_REACH_MM, _REACH_MM + 1)
    return _along(square, midline.columns(square.shape[0]) * square.shape[1] - 0.5, across / column_mm)


def _along(plane: Plane, start: Vector, steps: Vector) -> Plane:
    """Row by row the values at `start` + `steps` columns, linearly interpolated."""
    columns = plane.shape[1]
    at = np.clip(start.astype(np.float32)[:, None] + steps.astype(np.float32), 0, columns - 1.001)
    low = at.astype(np.int32)
    first = low + np.arange(0, plane.size, columns, dtype=np.int32)[:, None]
    here = plane.take(first)
    return np.asarray(here + (plane.take(first + 1) - here) * (at - low), np.float32)


def _crests(strip: Plane, row_mm: float) -> _Skull | None:
    """The frontal crest and the internal occipital crest: where the inner table comes inwards for the falx."""
    bone = strip >= _BONE_HU
    rows = np.flatnonzero(bone[:, _REACH_MM - 30 : _REACH_MM + 31].any(1))
    height = int(rows[-1] - rows[0]) if rows.size else 0
    if height * row_mm < _LEAST_HEIGHT_MM:
        return None
    front_from, back_from = int(rows[0] + _FRONT * height), int(rows[0] + _BACK * height)
    front = front_from - _first(bone[front_from::-1])
    back = back_from + _first(bone[back_from:])
    ahead, ahead_mm = _crest(np.asarray(front * row_mm, np.float64))
    behind, behind_mm = _crest(np.asarray(-back * row_mm, np.float64))
    if not (_is_crest(ahead, ahead_mm) and _is_crest(behind, behind_mm)):
        return None
    return _Skull(
        (float(front[_REACH_MM + round(ahead)]), ahead),
        (float(back[_REACH_MM + round(behind)]), behind),
    )


def _first(bone: Mask) -> NDArray[np.intp]:
    """Per column the first row of bone (the number of rows where there is none), not more than a row off what is usual
    around it: a calcified spot or a gap in the bone is no crest."""
    found = np.where(bone.any(0), bone.argmax(0), len(bone))
    usual = ndimage.median_filter(found, _USUAL_MM, mode="nearest")
    return np.asarray(np.clip(found, usual - 1, usual + 1), np.intp)


def _crest(inward_mm: Vector) -> tuple[float, float]:
    """(place, height) in mm of what stands out most against what is 6 to 16 mm beside it on both sides."""
    places = np.arange(-_CREST_REACH_MM, _CREST_REACH_MM + 1)
    at = places + _REACH_MM
    right, left = inward_mm[at[:, None] + _CREST_ARM_MM], inward_mm[at[:, None] - _CREST_ARM_MM]
    beside = (right.mean(1) + left.mean(1)) / 2
    top = (inward_mm[at - 1] + inward_mm[at] + inward_mm[at + 1]) / 3
    return _peak(places, top - beside)


def _is_crest(place: float, height_mm: float) -> bool:
    """Does it stand out, by no more than a crest does (a dense clot at the bone comes further in), and within reach?"""
    return _CREST_MM[0] <= height_mm <= _CREST_MM[1] and abs(place) < _CREST_REACH_MM


def _peak(places: NDArray[np.intp], height: Vector) -> tuple[float, float]:
    """(place, height) of the maximum of a curve sampled at whole numbers, between its samples."""
    top = int(height.argmax())
    if not 0 < top < len(height) - 1:
        return float(places[top]), float(height[top])
    before, here, after = (float(v) for v in height[top - 1 : top + 2])
    bend = before - 2 * here + after
    return float(places[top]) + (0.5 * (before - after) / bend if bend < 0 else 0.0), here


def _middle(strip: Plane, skull: _Skull, row_mm: float) -> Middle | None:
    """The axis of likeness beside the skull's line, in the rows of the frontal horns."""
    height = skull.back[0] - skull.front[0]
    low, high = (int(skull.front[0] + share * height) for share in _SEPTUM_ROWS)
    bands = (high - low) // _BAND
    rows = np.arange(low, low + _BAND * bands)
    near = np.arange(-MOST_SHIFT_MM - _ARM_MM, MOST_SHIFT_MM + _ARM_MM + 1, dtype=np.float64)
    patch = _along(_folded(strip[rows]), skull.at(rows) + _REACH_MM, near).reshape(bands, _BAND, -1).mean(1)
    places = np.arange(-MOST_SHIFT_MM, MOST_SHIFT_MM + 1)
    likeness = _likeness(patch, places)
    place, _ = _peak(places, likeness - _FAR_IS_UNLIKELY * places**2)
    alike = float(likeness[round(place) + MOST_SHIFT_MM])
    if alike < _LEAST_ALIKE or abs(place) >= MOST_SHIFT_MM:
        return None
    return Middle(shift_mm=round(place / float(np.hypot(1, skull.slope / row_mm)), 2), alike=round(min(alike, 1.0), 3))


def _folded(voxels_hu: Plane) -> Plane:
    """Blood looks like the fluid it has taken the place of: a ventricle filled on one side stays like the other."""
    return np.asarray(np.clip(np.minimum(voxels_hu, _FOLD_HU - voxels_hu), *_TISSUE_HU), np.float32)


def _likeness(patch: Plane, places: NDArray[np.intp]) -> Vector:
    """Correlation of the two sides of each place within 20 mm; near 0 where there is nothing but noise."""
    arm = np.arange(1, _ARM_MM + 1)
    weight = np.exp(-((arm / _ARM_MM) ** 2)).astype(np.float32)
    at = places[:, None] + patch.shape[1] // 2
    right, left = patch[:, at + arm], patch[:, at - arm]
    mean = ((right + left) * weight).sum(2, keepdims=True) / (2 * weight.sum())
    right, left = right - mean, left - mean
    common = (weight * right * left).sum((0, 2))
    each = (weight * (right**2 + left**2)).sum((0, 2)) / 2
    return np.asarray(common / (each + len(patch) * _NOISE_HU**2 * weight.sum()), np.float64)
