"""How far the middle of a synthetic brain lies off the middle of its skull: as a radiologist would measure it.

The middle of the brain is the septum pellucidum at the level of the foramen of Monro, where the Brain Trauma
Foundation's guidelines (Neurosurgery 2006;58(S2), appendix on CT parameters) have it measured; the middle of the skull
is the straight line between the falx's attachments to the inner table, front and back, in the plane of the slices.
The shift is the distance of the septum from that line, whatever put it there: a bleed, or the asymmetry that every head
has. It follows from the head's own displacements, so nothing needs to be rendered.
"""

import numpy as np

from triage_models.synthetic.atlas import Field
from triage_models.synthetic.head import Head, located

SEPTUM_MM = np.array([[0.0] * 9, np.arange(0.0, 18.0, 2.0), [8.0] * 9], np.float32)
"""The septum pellucidum in front of the foramen of Monro, in the brain's frame (MNI mm), `[3, points]`."""

_ROUNDS = 80
_STEP = 0.7
_REACH_MM = 140.0


def midline_shift_mm(head: Head, across: Field, down: Field) -> float:
    """Signed distance of the septum from the skull's midline, positive in the direction of `across`.

    `across`, `down`: unit vectors of the slice's rows and columns in the head's frame (RAS), to the image's right and
    to its bottom (posterior).
    """
    septum = find_in_head(head, SEPTUM_MM).mean(1)
    (front_across, front_down), (back_across, back_down) = falx_attachments(head, septum, across, down)
    slope = (back_across - front_across) / (back_down - front_down)
    middle = front_across - slope * front_down
    return float(-middle / np.hypot(1.0, slope))


def find_in_head(head: Head, brain_mm: Field) -> Field:
    """Where points of the brain's frame `[3, points]` are in the head: the displacement, inverted."""
    scale = head.shape.scale.reshape(3, 1)
    found = (brain_mm * scale).astype(np.float32)
    best, least = found, np.full(brain_mm.shape[1], np.inf)
    for _ in range(_ROUNDS):
        off = located(head, found).brain_mm - brain_mm
        distance = np.sqrt((off**2).sum(0))
        best = np.where(distance < least, found, best)
        least = np.minimum(distance, least)
        found = (found - np.float32(_STEP) * scale * off).astype(np.float32)
    return np.asarray(best, np.float32)


def falx_attachments(
    head: Head, through: Field, across: Field, down: Field
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(across, down) in mm from the point `through` of the front and the back attachment, in the plane through it."""
    ahead = np.arange(-_REACH_MM, _REACH_MM, 1.0, dtype=np.float32)
    aside = np.zeros_like(ahead)
    rate = np.float32(head.shape.scale[0] / across[0])
    for _ in range(8):
        place = located(head, through[:, None] + across[:, None] * aside + down[:, None] * ahead)
        aside = aside - place.skull_mm[0] * rate
    inside = place.depth_mm > 0
    middle = int(np.flatnonzero(ahead == 0)[0])
    front = middle - int(np.argmin(inside[middle::-1]))
    back = middle + int(np.argmin(inside[middle:]))
    return (float(aside[front]), float(ahead[front])), (float(aside[back]), float(ahead[back]))
