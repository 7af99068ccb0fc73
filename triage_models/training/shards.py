"""Synthetic slices on disk: shards of whole heads, written once, read many times.

Law: a head (seed) is in one shard and one split only. HU are stored in 8 bits, half a unit each, from −24 to 103.5:
the network never sees more than 0–80, and the rest is room for intensity augmentation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage_models.errors import GenerationFailed
from triage_models.labels import TYPES
from triage_models.synthetic.lesions import Sheet
from triage_models.synthetic.mimics import DenseFalx
from triage_models.synthetic.phantom import random_phantom
from triage_models.synthetic.series import Setting, generate_at, head_of_seed

_LOW_HU = -24.0
_HU_PER_STEP = 0.5
SIDE = 224
"""Pixels of a stored slice."""

_FOOT_MM, _HEAD_MM = -62.0, 74.0


@dataclass(frozen=True)
class Shard:
    """`images` uint8 `[N, h, w]`, `masks` uint8 `[N, h, w]`, `labels` bool `[N, 6]`, `heads` int64 `[N]` (seed)."""

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    heads: NDArray[np.int64]


def pack_hu(voxels_hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """HU to the shard's 8 bits."""
    return np.asarray(np.clip(np.rint((voxels_hu - _LOW_HU) / _HU_PER_STEP), 0, 255), np.uint8)


def unpack_hu(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The shard's 8 bits to HU."""
    return packed.astype(np.float32) * np.float32(_HU_PER_STEP) + np.float32(_LOW_HU)


def make_shard(first_seed: int, heads: int, slices: int, *, bleed_share: float, setting: Setting) -> Shard:
    """`heads` heads from `first_seed` on, `slices` slices of each, spread over the head."""
    return _joined([_head(first_seed + i, slices, bleed_share, setting) for i in range(heads)])


def make_midline_shard(first_seed: int, seeds: int, slices: int) -> Shard:
    """`slices` slices of each head among `seeds` whose midline is dense: by a subdural along falx or tentorium (even
    seeds), or by a thick or calcified falx and no bleed (odd ones). About a fifth of the seeds are such heads.

    The two look alike, and among all heads they are rare. Raises GenerationFailed where no seed is such a head.
    """
    parts = [
        _slices_of(np.random.default_rng([seed, 77]), seed, "subdural" if seed % 2 == 0 else None, slices, "standard")
        for seed in range(first_seed, first_seed + seeds)
        if _has_dense_midline(seed)
    ]
    if not parts:
        raise GenerationFailed(f"no head of the {seeds} seeds from {first_seed} has a dense midline")
    return _joined(parts)


def _has_dense_midline(seed: int) -> bool:
    if seed % 2 == 0:
        return any(isinstance(lesion, Sheet) for lesion in head_of_seed(seed, "subdural").lesions.items)
    return any(isinstance(mimic, DenseFalx) for mimic in head_of_seed(seed, None).mimics)


_Part = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]


def _joined(parts: Sequence[_Part]) -> Shard:
    images, masks, labels, seeds = zip(*parts, strict=True)
    return Shard(np.concatenate(images), np.concatenate(masks), np.concatenate(labels), np.concatenate(seeds))


def _head(seed: int, slices: int, bleed_share: float, setting: Setting) -> _Part:
    rng = np.random.default_rng([seed, 77])
    bleed = str(rng.choice(TYPES)) if rng.random() < bleed_share else None
    return _slices_of(rng, seed, bleed, slices, setting)


def _slices_of(rng: np.random.Generator, seed: int, bleed: str | None, slices: int, setting: Setting) -> _Part:
    edges = np.linspace(_FOOT_MM, _HEAD_MM, slices + 1)
    positions = rng.uniform(edges[:-1], edges[1:]).astype(np.float32)
    thickness = float(rng.choice([1.0, 2.5, 3.0, 5.0, 5.0, 6.0]))
    s = generate_at(seed, bleed, positions, thickness_mm=thickness, shape=(SIDE, SIDE), setting=setting)
    return pack_hu(s.voxels_hu), s.masks, s.labels, np.full(slices, seed, np.int64)


def make_phantom_shard(first_seed: int, count: int, *, bleed_share: float) -> Shard:
    """`count` single slices of the second generator."""
    drawn = [random_phantom(first_seed + i, bleed_share, SIDE) for i in range(count)]
    return Shard(
        np.stack([pack_hu(p.voxels_hu) for p in drawn]),
        np.stack([p.mask for p in drawn]),
        np.stack([p.labels for p in drawn]),
        np.arange(first_seed, first_seed + count, dtype=np.int64),
    )


def save_shard(shard: Shard, path: Path) -> None:
    """Written under another name first: a reader never sees half a shard."""
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, images=shard.images, masks=shard.masks, labels=shard.labels, heads=shard.heads)
    partial.replace(path)


def shard_paths(folder: Path) -> list[Path]:
    """Every finished shard of a folder, by name."""
    return [path for path in sorted(folder.glob("shard-*.npz")) if not path.name.endswith(".partial.npz")]


def first_seed(path: Path) -> int:
    """The first of a shard's seeds, from its name."""
    return int(path.stem.removeprefix("shard-"))


def load_shard(path: Path) -> Shard:
    """One shard."""
    with np.load(path) as data:
        return Shard(data["images"], data["masks"], data["labels"], data["heads"])
