"""Where a slice lies in the patient (PS3.3 C.7.6.2): LPS coordinates, millimetres.

Series are ordered by position along the slice normal, never by InstanceNumber. The normal is turned so that it points
to the patient's head: a greater position is nearer the vertex.
"""

import itertools
import math
from collections.abc import Sequence

from streams.contracts.findings import Side
from streams.contracts.slices import SliceAccepted
from triage_models.midline import ImageSide

Vector = tuple[float, float, float]

AXIAL_COSINE = 0.7
"""A slice is axial when its normal is within 45° of the patient's long axis: gantry tilt reaches 30°, and heads are
tilted too; coronal and sagittal planes are at 90°."""

UNIT_TOLERANCE = 0.05
"""Direction cosines further than this from unit length or orthogonality are no geometry."""


def normal(header: SliceAccepted) -> Vector | None:
    """Unit normal of the slice, towards the head; None without a valid orientation."""
    orientation = header.ImageOrientationPatient
    if orientation is None:
        return None
    row, column = orientation[:3], orientation[3:]
    if any(abs(math.hypot(*v) - 1) > UNIT_TOLERANCE for v in (row, column)):
        return None
    if abs(_dot(row, column)) > UNIT_TOLERANCE:
        return None
    cross = (
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    )
    length = math.hypot(*cross)
    sign = -1.0 if cross[2] < 0 else 1.0
    return (sign * cross[0] / length, sign * cross[1] / length, sign * cross[2] / length)


def is_axial(direction: Vector) -> bool:
    return abs(direction[2]) >= AXIAL_COSINE


def position_mm(header: SliceAccepted) -> float | None:
    """Position of the slice along its normal, rising towards the vertex; None without geometry."""
    direction = normal(header)
    if direction is None or header.ImagePositionPatient is None:
        return None
    return _dot(header.ImagePositionPatient, direction)


def side_of_image(row_cosine_x: float | None, side: ImageSide) -> Side:
    """The patient's side of a side of the image.

    Args:
        row_cosine_x: first component of ImageOrientationPatient: +1 where columns run to the patient's left.
    """
    if row_cosine_x is None or abs(row_cosine_x) < AXIAL_COSINE:
        return Side.UNKNOWN
    if side in _NO_ONE_SIDE:
        return _NO_ONE_SIDE[side]
    return Side.LEFT if (side is ImageSide.IMAGE_RIGHT) == (row_cosine_x > 0) else Side.RIGHT


_NO_ONE_SIDE = {ImageSide.MIDLINE: Side.MIDLINE, ImageSide.BOTH: Side.BOTH}


def gaps_mm(positions: Sequence[float]) -> list[float]:
    """Distances between neighbouring positions, sorted by position."""
    ordered = sorted(positions)
    return [b - a for a, b in itertools.pairwise(ordered)]


SAME_POSITION_MM = 0.05
"""Two slices nearer than this are at the same place."""

GAP_FACTOR = 1.6
"""A gap this much wider than what is usual around it is a missing slice."""

SPACING_CHANGE = 3
"""So many equal gaps in a row are a protocol's second spacing (2.5 mm in the posterior fossa, 5 mm above) and no row of
missing slices, unless the slices are too thin to fill them."""

THICKNESS_FACTOR = 1.9
"""Slices further apart than this many thicknesses leave tissue unseen: below it lie protocols with a small interval
(3 mm every 5 mm), at 2 every second slice is missing."""

LEAST_GAP_MM = 3.5
"""One thin slice more or less leaves nothing unseen in a slab of 5 mm."""


def missing_between(positions: Sequence[float], thickness_mm: float | None) -> float:
    """Widest gap that looks like missing slices, mm; 0.0 where the positions are contiguous.

    Args:
        thickness_mm: of the slices; None where it is not known, and then only irregular gaps can be seen.
    """
    gaps = [gap for gap in gaps_mm(positions) if gap > SAME_POSITION_MM]
    if not gaps:
        return 0.0
    smallest = min(gaps)
    suspicious = [
        gap
        for i, gap in enumerate(gaps)
        if gap > LEAST_GAP_MM
        and (
            (thickness_mm is not None and gap > THICKNESS_FACTOR * thickness_mm)
            or (gap > GAP_FACTOR * smallest and _run_length(gaps, i) < SPACING_CHANGE)
        )
    ]
    return max(suspicious, default=0.0)


def _run_length(gaps: Sequence[float], i: int) -> int:
    """How many gaps around the i-th one, itself included, are as wide as it."""
    first = last = i
    while first > 0 and abs(gaps[first - 1] - gaps[i]) < SAME_POSITION_MM + 0.1 * gaps[i]:
        first -= 1
    while last + 1 < len(gaps) and abs(gaps[last + 1] - gaps[i]) < SAME_POSITION_MM + 0.1 * gaps[i]:
        last += 1
    return last - first + 1


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
