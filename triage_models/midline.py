"""Where the middle of a head is in its box, and on which side of it something lies.

The middle is the skull's, not the image's: a head lies off the centre and turned. It is a line through the midpoints of
what bone encloses, row by row; where no bone encloses anything (a cropped picture, the vertex) it is the box's own.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float32]
Mask = NDArray[np.bool_]

CENTRAL_SHARE = 0.06
"""Nearer to the middle than this share of the box's width is no side."""

ONE_SIDED = 0.7
"""So much of what has a side must be on one for it to be that side's."""

_BONE_HU = 74.0
_LEAST_ENCLOSED = 0.12
_LEAST_ROW_SHARE = 0.3
_MOST_TURN = 0.5


class ImageSide(StrEnum):
    """Side in image coordinates; the caller maps it to the patient by the slice's orientation."""

    IMAGE_LEFT = "image_left"
    IMAGE_RIGHT = "image_right"
    MIDLINE = "midline"
    BOTH = "both"


@dataclass(frozen=True)
class Midline:
    """The middle's column at the box's top and bottom, as fractions of its width."""

    top: float = 0.5
    bottom: float = 0.5

    def columns(self, rows: int) -> NDArray[np.float64]:
        """Its column in each of `rows` rows, as fractions of the width."""
        at = (np.arange(rows) + 0.5) / rows
        return np.asarray(self.top + (self.bottom - self.top) * at, np.float64)


def enclosed(square: Plane) -> tuple[Mask, Plane]:
    """(bone and what it encloses, the square's means), both at a quarter of the resolution.

    A cell is bone when any part of it is: the squama of the temporal bone is thinner than a cell.
    """
    blocks = square.reshape(square.shape[0] // 4, 4, square.shape[1] // 4, 4)
    bone = np.pad(blocks.max((1, 3)) >= _BONE_HU, 2)
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(bone, iterations=2))
    return np.asarray(filled[2:-2, 2:-2], np.bool_), np.asarray(blocks.mean((1, 3)), np.float32)


def head_midline(skull: Mask) -> Midline:
    """The middle of bone and what it encloses in a head's square."""
    skull = ndimage.binary_opening(skull, iterations=2)
    if skull.mean() < _LEAST_ENCLOSED:
        return Midline()
    size = skull.shape[1]
    counts = skull.sum(1)
    rows = np.flatnonzero(counts >= _LEAST_ROW_SHARE * counts.max())
    first, last = skull[rows].argmax(1), size - 1 - skull[rows, ::-1].argmax(1)
    middle = (first + last + 1) / 2 / size
    at = (rows + 0.5) / skull.shape[0]
    slope, start = _line(at, middle)
    slope = float(np.clip(slope, -_MOST_TURN, _MOST_TURN))
    return Midline(top=start, bottom=start + slope)


def _line(at: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and value at 0 of the line of least absolute error (a few rounds of reweighting)."""
    weight = np.ones_like(value)
    slope, start = 0.0, 0.5
    for _ in range(5):
        slope, start = (float(v) for v in np.polyfit(at, value, 1, w=np.sqrt(weight)))
        weight = 1 / np.maximum(np.abs(value - start - slope * at), 0.005)
    return slope, start


def shares(weights: Plane, midline: Midline) -> tuple[float, float]:
    """(share left of the middle in the image, share right of it); what is in the middle counts for neither."""
    total = float(weights.sum())
    if total <= 0:
        return 0.0, 0.0
    columns = (np.arange(weights.shape[1]) + 0.5) / weights.shape[1]
    offset = columns[None, :] - midline.columns(weights.shape[0])[:, None]
    left = float(weights[offset < -CENTRAL_SHARE].sum()) / total
    return left, float(weights[offset > CENTRAL_SHARE].sum()) / total


def side_of(left: float, right: float) -> ImageSide:
    """The side of something with such shares of it left and right of the middle."""
    if left + right < 0.5:
        return ImageSide.MIDLINE
    if left >= ONE_SIDED * (left + right):
        return ImageSide.IMAGE_LEFT
    return ImageSide.IMAGE_RIGHT if right >= ONE_SIDED * (left + right) else ImageSide.BOTH
