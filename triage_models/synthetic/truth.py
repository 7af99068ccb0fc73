"""What a ruler and a region of interest would say of a synthetic bleed: from the voxel masks, never from a reader."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from triage_models.framing import WINDOW_HU
from triage_models.synthetic.series import SyntheticSeries

_FEW = 4


def mean_hu(series: SyntheticSeries, code: int) -> float:
    """Mean density of a type (index in LABELS) within the brain window; NaN where it is not there."""
    inside = series.voxels_hu[series.masks == code]
    return float(np.clip(inside, *WINDOW_HU).mean()) if inside.size else float("nan")


def longest_mm(series: SyntheticSeries, code: int) -> float:
    """Longest extent of one connected part in one slice; NaN where the type is not there."""
    planes = [plane == code for plane in series.masks]
    return max((_longest_mm(plane, series.pixel_spacing_mm) for plane in planes if plane.any()), default=float("nan"))


def _longest_mm(inside: NDArray[np.bool_], spacing_mm: tuple[float, float]) -> float:
    parts, count = ndimage.label(inside, structure=np.ones((3, 3)))
    largest = np.argwhere(parts == 1 + int(np.bincount(parts.ravel(), minlength=count + 1)[1:].argmax()))
    points = largest * np.array(spacing_mm)
    if len(points) >= _FEW and (np.ptp(largest, axis=0) > 0).all():
        points = points[spatial.ConvexHull(points, qhull_options="QJ").vertices]
    return float(spatial.distance.pdist(points).max(initial=0.0)) + float(np.mean(spacing_mm))
