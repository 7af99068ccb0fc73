"""Slices as people pass them around: brain-windowed 8-bit pictures, cropped, stretched, re-windowed, recompressed.

The shifted set for a single-slice threshold: what `tocsin read` is given when somebody exported a picture and mapped it
back to 0–80 HU.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from triage_models.datasets.case import Case
from triage_models.labels import LABELS
from triage_models.reader import HeadSlice, Reader

Plane = NDArray[np.float32]
Matrix = NDArray[np.float64]

_PER_CASE = 8
_SHOWN_MM2 = 100.0
_LEAST_BRAIN = 0.4
"""Of the brain area in the series' fullest slice: people make pictures of what shows more."""


class Pictures:
    """Slices of labelled cases, made pictures and read: bleeding ones, of a head without a bleed those with brain."""

    def __init__(self, reader: Reader, seed: int) -> None:
        self._reader = reader
        self._rng = np.random.default_rng(seed)
        self._logits: list[tuple[float, ...]] = []
        self._labels: list[NDArray[np.bool_]] = []

    def add(self, case: Case, brain_mm2: Matrix) -> None:
        """Makes and reads up to eight pictures of a case; none where its slices are not labelled.

        `brain_mm2` `[S]`: how much brain each slice shows.
        """
        if case.slice_labels is None:
            return
        pool = _bleeding(case, case.slice_labels) if case.labels[0] else showing_brain(brain_mm2)
        chosen = self._rng.choice(pool, min(_PER_CASE, len(pool)), replace=False)
        pictures = [as_picture(self._rng, case.slices[k].voxels_hu) for k in chosen]
        self._logits += [reading.logits for reading, _ in self._reader.read(pictures)]
        self._labels += [case.slice_labels[k] for k in chosen]

    @property
    def logits(self) -> Matrix:
        """`[N, 6]`, as the reader calibrates them."""
        return np.array(self._logits, np.float64).reshape(-1, len(LABELS))

    @property
    def labels(self) -> NDArray[np.bool_]:
        """`[N, 6]`."""
        return np.array(self._labels, np.bool_).reshape(-1, len(LABELS))

    @property
    def show_both(self) -> bool:
        """Are there pictures with a bleed, and pictures without?"""
        return len(set(self.labels[:, 0].tolist())) == 2


def showing_brain(brain_mm2: Matrix) -> NDArray[np.intp]:
    """The slices that people make pictures of; all of them where no brain was measured."""
    return np.flatnonzero(brain_mm2 >= _LEAST_BRAIN * brain_mm2.max(initial=0.0))


def _bleeding(case: Case, slice_labels: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Bleeding slices; where areas are known, those with an area that a picture would be made for."""
    bleeding = slice_labels[:, 0]
    if case.areas_mm2 is not None:
        bleeding = bleeding & (case.areas_mm2.sum(1) >= _SHOWN_MM2)
    return np.flatnonzero(bleeding)


def as_picture(rng: np.random.Generator, plane_hu: Plane) -> HeadSlice:
    """One slice through somebody's viewer and back to 0–80 HU; its pixel spacing is lost (1 mm is assumed)."""
    level, width = rng.normal(39, 4), float(np.clip(rng.normal(82, 16), 50, 140))
    grey = np.clip((plane_hu - (level - width / 2)) / width, 0, 1)
    grey = grey ** float(np.exp(rng.normal(0, 0.12)))
    grey = _cropped(rng, grey.astype(np.float32))
    size = (int(rng.integers(150, 520)), int(rng.integers(150, 520)))
    grey = ndimage.zoom(grey, (size[0] / grey.shape[0], size[1] / grey.shape[1]), order=1)
    eight_bit = np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.6:
        eight_bit = _recompressed(eight_bit, int(rng.integers(40, 95)))
    return HeadSlice(eight_bit.astype(np.float32) * np.float32(80 / 255), (1.0, 1.0))


def _cropped(rng: np.random.Generator, grey: Plane) -> Plane:
    """Tight around the head most of the time, sometimes into it, sometimes with all of the air."""
    rows, columns = (np.flatnonzero((grey > 0.2).mean(axis) > 0.03) for axis in (1, 0))
    if len(rows) < 20 or len(columns) < 20 or rng.random() < 0.2:
        return grey
    reach = rng.uniform(-0.04, 0.12, 4)
    height, width = rows[-1] - rows[0], columns[-1] - columns[0]
    top, bottom = int(rows[0] - reach[0] * height), int(rows[-1] + reach[1] * height)
    left, right = int(columns[0] - reach[2] * width), int(columns[-1] + reach[3] * width)
    return grey[max(0, top) : max(bottom, 40), max(0, left) : max(right, 40)]


def _recompressed(grey: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("L"), np.uint8)
