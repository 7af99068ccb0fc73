"""A drawn head that every runtime must answer alike before it may read a patient."""

import numpy as np

from triage_models.ports import Array

MOST_LOGITS_APART = 1.0
MOST_SEGMENTATION_APART = 0.35
"""Between any two runtimes, INT8 included, on the drawn head; a broken kernel is off by far more."""


def reference_batch(size: int) -> Array:
    """HU `[2, 1, size, size]`: skull, brain and ventricles; the second with a bright lens under the skull."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    radius = np.hypot(x / 0.9, y / 0.95)
    head = np.where(radius < 1, 1000.0, -1000.0)
    head = np.where(radius < 0.9, 34.0 + 4 * np.sin(9 * x) * np.cos(7 * y), head)
    head = np.where(np.hypot((np.abs(x) - 0.12) / 0.06, (y + 0.05) / 0.25) < 1, 8.0, head)
    bled = np.where((np.hypot((x - 0.62) / 0.2, y / 0.45) < 1) & (radius < 0.9), 68.0, head)
    return np.stack([head, bled])[:, None].astype(np.float32)


def disagreement(one: dict[str, Array], other: dict[str, Array]) -> str | None:
    """In which output two answers differ by more than rounding and quantisation explain; None when they agree."""
    for name, most in (("logits", MOST_LOGITS_APART), ("segmentation", MOST_SEGMENTATION_APART)):
        if one[name].shape != other[name].shape:
            return f"{name} is {one[name].shape} in one runtime and {other[name].shape} in another"
        apart = float(np.abs(one[name] - other[name]).max())
        if not apart <= most:
            return f"{name} differs by {apart:.2f} between runtimes (at most {most:g})"
    return None
