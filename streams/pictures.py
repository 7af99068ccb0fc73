"""Pictures of slices for people: the brain window, small, as PNG.

No text, no overlay is burnt in; the heat map is a picture of its own, to be laid over by the page.
"""

import io
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from PIL import Image

from streams.voxels import Voxels

BRAIN_WINDOW_HU = (0.0, 80.0)
"""Centre 40, width 80: the usual brain window."""

PICTURE_SIDE = 256
"""Aim for the longest side of a picture, pixels; slices are reduced by whole factors, which costs next to nothing."""

Grey = npt.NDArray[np.uint8]


class PictureOutcome(StrEnum):
    """What became of a picture that was to be published."""

    PUBLISHED = "published"
    GONE = "gone"
    """Its slices are no longer in Kafka, or do not decode."""
    PUT_OFF = "put_off"
    """Others were more urgent, or Kafka did not confirm: asked for again some minutes later."""


@dataclass(frozen=True)
class Picture:
    """A slice as people see it, and where the model looked; both uint8, both covering the whole image."""

    grey: Grey
    heat_map: Grey


def brain_window(voxels_hu: Voxels) -> Grey:
    """HU [rows, columns] as grey values 0–255, reduced by a whole factor to about 256 pixels."""
    low, high = BRAIN_WINDOW_HU
    grey: Grey = (np.clip((voxels_hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    factor = max(1, round(max(grey.shape) / PICTURE_SIDE))
    return np.asarray(Image.fromarray(grey).reduce(factor))


def alpha_png(strength: Grey) -> bytes:
    """A white picture whose alpha is the strength: a page can lay it over in any colour."""
    layers = (Image.new("L", strength.shape[::-1], 255), Image.fromarray(strength))
    buffer = io.BytesIO()
    Image.merge("LA", layers).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def png(grey: Grey) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()
