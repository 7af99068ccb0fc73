"""What a head stands on in a picture, made what it is in a slice: black air.

Somebody's picture has a white page or a grey viewer around it, air that is dark grey, or black and white exchanged (as
MONOCHROME1 is shown). Each would be taken for tissue. Law: a picture on black keeps every one of its grey values, and
nothing is moved or cut: places in the picture stay what they are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from triage_models.framing import WINDOW_HU, cut, head_box
from triage_models.midline import enclosed

Grey = npt.NDArray[np.uint8]

BLACK = 12
"""Of 255: up to here a ground is black (below 4 HU of the brain window; a head begins at 14)."""

LIGHT = 200
"""Of 255: from here a ground may be the air of an inverted picture; it is not followed into the picture, because bone,
which is as white, would be taken for more of it."""

FLAT = 10
"""Grey values that JPEG may move a flat ground by."""

EVEN = 0.7
"""Mean difference of neighbouring pixels on the edge of an even ground, of 255: next to none, also behind JPEG."""

FLAT_SHARE = 0.95
GROUND_SHARE = 0.5

_SQUARE = 160
_SOFT_HU = (12.0, 70.0)
_LEAST_BRAIN = 0.2


@dataclass(frozen=True)
class OnBlack:
    """A picture whose head stands on black. ``inverted``: black and white were exchanged, and have been set right."""

    grey: Grey
    inverted: bool


def on_black(grey: Grey) -> OnBlack:
    """uint8 [rows, columns]: its ground made black; turned where bone is black and air white."""
    as_it_is, inner = _without_margins(grey)
    as_it_is[inner] = _without_ground(as_it_is[inner])
    if not as_it_is[inner].size or np.median(_edge(grey[inner])) < LIGHT:
        return OnBlack(as_it_is, inverted=False)
    turned = on_black(np.asarray(255 - grey, np.uint8)).grey
    inverted = _brain_share(turned) >= max(_LEAST_BRAIN, 2 * _brain_share(_unmasked(as_it_is[inner])))
    return OnBlack(turned if inverted else as_it_is, inverted)


def _unmasked(grey: Grey) -> Grey:
    """Without a light ground, as if it were a mask around black air: then a skull of bone is left, and brain in it."""
    return np.asarray(np.where(_spread(grey >= 255 - FLAT), 0, grey), np.uint8)


def _edge(grey: Grey) -> Grey:
    """The outermost pixels."""
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _without_margins(grey: Grey) -> tuple[Grey, tuple[slice, slice]]:
    """The picture with flat outer rows and columns made black, and what lies inside of them."""
    out = grey.copy()
    top, left, (bottom, right) = 0, 0, grey.shape
    while top < bottom and left < right:
        sides = (
            np.s_[top, left:right],
            np.s_[bottom - 1, left:right],
            np.s_[top:bottom, left],
            np.s_[top:bottom, right - 1],
        )
        flat = [_flat(grey[side]) for side in sides]
        if not any(flat):
            break
        for side, is_flat in zip(sides, flat, strict=True):
            if is_flat and np.median(grey[side]) > BLACK:
                out[side] = np.where(_like_median(grey[side]), 0, grey[side])
        top, bottom, left, right = top + flat[0], bottom - flat[1], left + flat[2], right - flat[3]
    return out, np.s_[top : max(top, bottom), left : max(left, right)]


def _without_ground(grey: Grey) -> Grey:
    return np.asarray(np.where(_ground(grey), 0, grey), np.uint8) if grey.size else grey


def _flat(line: Grey) -> bool:
    return bool(_like_median(line).mean() >= FLAT_SHARE)


def _like_median(line: Grey) -> npt.NDArray[np.bool_]:
    return np.asarray(np.abs(line.astype(np.int16) - np.int16(np.median(line))) <= FLAT, np.bool_)


def _ground(grey: Grey) -> npt.NDArray[np.bool_]:
    """Where a dark grey ground runs from the edge into the picture; nowhere when the edge is black, white or mixed, or
    uneven as tissue is: a picture may lie within the brain altogether."""
    edge = _edge(grey)
    level = int(np.bincount(edge, minlength=256).argmax())
    alike = np.abs(edge.astype(np.int16) - level) <= FLAT
    if not BLACK < level < LIGHT or alike.mean() < GROUND_SHARE:
        return np.zeros(grey.shape, np.bool_)
    if np.abs(np.diff(edge.astype(np.int16)))[alike[1:] & alike[:-1]].mean() > EVEN:
        return np.zeros(grey.shape, np.bool_)
    return _spread(np.abs(grey.astype(np.int16) - level) <= FLAT)


def _spread(alike: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What of it hangs together with the picture's edge."""
    seeds = np.zeros_like(alike)
    for line in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        seeds[line] = alike[line]
    return np.asarray(ndimage.binary_propagation(seeds, mask=alike), np.bool_)


def _brain_share(grey: Grey) -> float:
    """Soft tissue that bone encloses, as a share of the head's box."""
    windowed = grey.astype(np.float32) * np.float32(WINDOW_HU[1] / 255)
    inside, small = enclosed(cut(windowed, head_box(windowed), _SQUARE))
    return float((inside & (small > _SOFT_HU[0]) & (small < _SOFT_HU[1])).mean())
