"""Seeded randomness for heads: ranges, choices and smooth random fields.

Law: one seed, one head; nothing here reads a global generator.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from triage_models.synthetic.atlas import Field, sample_grid

_HALF_EXTENT_MM = 130.0


@dataclass(frozen=True)
class SmoothField:
    """A smooth random field over the head, mean 0, standard deviation about 1."""

    grid: Field
    step_mm: float

    def at(self, points_mm: Field) -> Field:
        """Its values at `points_mm` `[3, ...]`."""
        edge = -_HALF_EXTENT_MM
        return sample_grid(self.grid, points_mm, (edge, edge, edge), self.step_mm)


def smooth_field(rng: np.random.Generator, scale_mm: float) -> SmoothField:
    """A field whose bumps are about `scale_mm` apart (not below 4 mm: memory)."""
    nodes = int(np.ceil(2 * _HALF_EXTENT_MM / scale_mm)) + 3
    coarse = rng.standard_normal((nodes, nodes, nodes)).astype(np.float32)
    fine = ndimage.zoom(coarse, 2, order=2) if scale_mm >= 8 else coarse
    step = scale_mm / 2 if scale_mm >= 8 else scale_mm
    return SmoothField((fine / (fine.std() + 1e-6)).astype(np.float32), step)


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform in [low, high)."""
    return float(rng.uniform(low, high))


def log_between(rng: np.random.Generator, low: float, high: float) -> float:
    """Log-uniform in [low, high): volumes and sizes."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def smoothstep(values: NDArray[np.floating], low: float, high: float) -> Field:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((np.asarray(values, np.float32) - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector at length one."""
    return vector / np.linalg.norm(vector)
