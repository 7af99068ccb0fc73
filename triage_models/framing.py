"""From a CT slice to the network's square: find the head, cut its box, stretch it to S×S.

Law: everything here looks at HU clipped to the brain window 0–80, so that a slice with its full range and the same
slice saved as a brain-windowed 8-bit picture give the same square. The box is stretched on both axes, so pixel
spacing, field of view and the aspect ratio of a picture do not matter to the network.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

Plane = NDArray[np.float32]

WINDOW_HU = (0.0, 80.0)
"""The brain window (level 40, width 80)."""

_COARSE = 128
_HEAD_HU = 14.0
_LEAST_SHARE = 0.015


@dataclass(frozen=True)
class Box:
    """Part of an image in pixels: rows [top, bottom), columns [left, right)."""

    top: float
    bottom: float
    left: float
    right: float

    @property
    def height(self) -> float:
        """Pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Pixels."""
        return self.right - self.left

    def grown(self, share: float) -> "Box":
        """The box with a margin of `share` of its size on every side (it may leave the image)."""
        down, across = self.height * share, self.width * share
        return Box(self.top - down, self.bottom + down, self.left - across, self.right + across)


def clip_window(voxels_hu: Plane) -> Plane:
    """HU clipped to the brain window."""
    return np.clip(voxels_hu, WINDOW_HU[0], WINDOW_HU[1]).astype(np.float32)


def head_box(windowed: Plane) -> Box:
    """The box around the largest thing that is no air; the whole image when nothing is large enough."""
    rows, columns = windowed.shape
    step = max(1, -(-max(rows, columns) // _COARSE))
    small = _block_means(windowed, step)
    solid = ndimage.binary_opening(small > _HEAD_HU, iterations=2 if min(small.shape) > 48 else 1)
    parts, count = ndimage.label(ndimage.binary_closing(np.pad(solid, 3), iterations=2)[3:-3, 3:-3])
    whole = Box(0, rows, 0, columns)
    if count == 0:
        return whole
    sizes = np.bincount(parts.ravel())[1:]
    if sizes.max() < _LEAST_SHARE * parts.size:
        return whole
    down, across = ndimage.find_objects(parts)[int(sizes.argmax())]
    return Box(
        max(0.0, (down.start - 0.25) * step),
        min(float(rows), (down.stop + 0.25) * step),
        max(0.0, (across.start - 0.25) * step),
        min(float(columns), (across.stop + 0.25) * step),
    )


def _block_means(image: Plane, step: int) -> Plane:
    """Means of step×step blocks; an incomplete block at the far edges is repeated from the image's last pixels."""
    if step == 1:
        return image
    rows, columns = (-(-n // step) * step for n in image.shape)
    whole = np.pad(image, ((0, rows - image.shape[0]), (0, columns - image.shape[1])), mode="edge")
    tall = np.add.reduce([whole[k::step] for k in range(step)])
    return np.asarray(np.add.reduce([tall[:, k::step] for k in range(step)]) / np.float32(step * step), np.float32)


def cut(windowed: Plane, box: Box, size: int) -> Plane:
    """The box resampled to `[size, size]` by an antialiased linear filter; air outside the image."""
    down = _resampling(box.top, box.height, windowed.shape[0], size)
    across = _resampling(box.left, box.width, windowed.shape[1], size)
    return np.asarray((across @ (down @ windowed).T).T, np.float32)


def _resampling(start: float, length: float, pixels: int, size: int) -> sparse.csr_array:
    """`[size, pixels]` weights: each output pixel is a triangle-weighted mean; rows outside the image are 0 (air).

    Sparse: an output pixel looks at a handful of input pixels.
    """
    scale = length / size
    centres = start + (np.arange(size) + 0.5) * scale - 0.5
    reach = max(1.0, scale)
    taps = np.arange(int(2 * reach) + 2)
    columns = np.floor(centres - reach).astype(np.int64)[:, None] + taps
    weights = np.clip(1 - np.abs(columns - centres[:, None]) / reach, 0, None)
    weights = np.where((columns >= 0) & (columns < pixels), weights, 0.0)
    total = weights.sum(1, keepdims=True)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    inside = (centres > -0.5 - scale) & (centres < pixels - 0.5 + scale)
    weights *= inside[:, None]
    rows = np.repeat(np.arange(size), taps.size)
    cells = (weights.ravel().astype(np.float32), (rows, np.clip(columns, 0, pixels - 1).ravel()))
    return sparse.csr_array(cells, shape=(size, pixels))


def paste(square: Plane, box: Box, shape: tuple[int, int], out_shape: tuple[int, int]) -> Plane:
    """A square map of the box back on the whole image of `shape`, at `out_shape`; 0 outside the box."""
    rows = ((np.arange(out_shape[0]) + 0.5) * shape[0] / out_shape[0] - box.top) / box.height * square.shape[0] - 0.5
    columns = ((np.arange(out_shape[1]) + 0.5) * shape[1] / out_shape[1] - box.left) / box.width * square.shape[1] - 0.5
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    return np.asarray(ndimage.map_coordinates(square, grid, order=1, mode="constant"), np.float32)
