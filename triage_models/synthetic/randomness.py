"""Seeded randomness for heads: ranges, choices and smooth random fields.

Law: one seed, one head; nothing here reads a global generator.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from triage_models.synthetic.atlas import Field

_BANK_NODES = 96
_BANK_SEED = 20190912


@lru_cache(maxsize=1)
def _bank() -> Field:
    """One periodic smooth random volume, mean 0, deviation 1: every field is a window into it."""
    white = np.random.default_rng(_BANK_SEED).standard_normal((_BANK_NODES,) * 3)
    smooth = ndimage.gaussian_filter(white, 1.0, mode="wrap")
    return np.asarray(smooth / smooth.std(), np.float32)


@dataclass(frozen=True)
class SmoothField:
    """A smooth random field over the head, mean 0, standard deviation about 1."""

    offset: NDArray[np.float32]
    axes: tuple[int, int, int]
    step_mm: float

    def at(self, points_mm: Field) -> Field:
        """Its values at `points_mm` `[3, ...]`."""
        shape = (3, *[1] * (points_mm.ndim - 1))
        index = points_mm[list(self.axes)] / np.float32(self.step_mm) + self.offset.reshape(shape)
        out = np.empty(points_mm.shape[1:], np.float32)
        ndimage.map_coordinates(_bank(), index, output=out, order=1, mode="grid-wrap")
        return out


def smooth_field(rng: np.random.Generator, scale_mm: float) -> SmoothField:
    """A field whose bumps are about `scale_mm` apart."""
    first, second, third = (int(v) for v in rng.permutation(3))
    offset = rng.uniform(0, _BANK_NODES, 3).astype(np.float32)
    return SmoothField(offset, (first, second, third), scale_mm / 2)


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
