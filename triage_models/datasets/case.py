"""Labelled series, whatever data set they come from: what calibration and evaluation work on.

A synthetic set on disk is a folder of `case-<seed>.npz`, one series each, made by `write_case`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triage_models.errors import DatasetError
from triage_models.labels import LABELS, TYPES
from triage_models.reader import HeadSlice
from triage_models.synthetic.series import Setting, generate, shift_of_seed_mm
from triage_models.synthetic.truth import longest_mm, mean_hu

_EXTENT_MM = 160.0
_BLEED_SHARE = 0.5


@dataclass(frozen=True)
class Case:
    """One series with its truth.

    `slices` in the order of `positions_mm` `[S]`; `slice_labels` bool `[S, 6]` or None when only the series is
    labelled; `labels` bool `[6]`; `volumes_ml`, `diameters_mm` (longest in a slice) and `mean_hu` (0–80) per type when
    known; `midline_shift_mm` positive towards the image's right, None when not known; `kernel` and `thickness_mm` for
    subgroups; `unreadable`: slices of the series that are left out because they could not be read.
    """

    name: str
    slices: tuple[HeadSlice, ...]
    positions_mm: NDArray[np.float64]
    labels: NDArray[np.bool_]
    slice_labels: NDArray[np.bool_] | None
    thickness_mm: float | None
    kernel: str
    volumes_ml: dict[str, float] = field(default_factory=dict)
    areas_mm2: NDArray[np.float64] | None = None
    diameters_mm: dict[str, float] = field(default_factory=dict)
    mean_hu: dict[str, float] = field(default_factory=dict)
    midline_shift_mm: float | None = None
    unreadable: int = 0

    def without_pixels(self) -> "Case":
        """The same truth, lighter."""
        return replace(self, slices=())


def write_case(
    folder: Path,
    seed: int,
    setting: Setting,
    *,
    bleed_share: float = _BLEED_SHARE,
    side: int = 224,
    mass_effect: bool = False,
) -> Path:
    """Generates one case: bleed, thickness and orientation follow from the seed; `mass_effect` as `generate` has it."""
    bleed, thickness = _asked(seed, bleed_share)
    count = int(np.ceil(_EXTENT_MM / thickness))
    s = generate(
        seed,
        bleed,
        slices=count,
        thickness_mm=thickness,
        shape=(side, side),
        setting=setting,
        averaged=False,
        mass_effect=mass_effect,
    )
    areas = np.stack([(s.masks == k).sum((1, 2)) for k in range(1, 6)], 1) * np.prod(s.pixel_spacing_mm)
    path = folder / f"case-{seed:08d}.npz"
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            voxels_hu=s.voxels_hu,
            labels=s.labels,
            areas_mm2=areas,
            positions_mm=s.positions_mm,
            spacing_mm=np.array([*s.pixel_spacing_mm, s.thickness_mm]),
            kernel=np.array(s.kernel),
            volumes_ml=np.array([s.volumes_ml[name] for name in TYPES]),
            diameters_mm=np.array([longest_mm(s, code) for code in range(1, 6)]),
            mean_hu=np.array([mean_hu(s, code) for code in range(1, 6)]),
            midline_shift_mm=np.array(s.midline_shift_mm),
        )
    partial.replace(path)
    return path


def _asked(seed: int, bleed_share: float) -> tuple[str | None, float]:
    """(bleed, thickness) of the case of a seed."""
    rng = np.random.default_rng([seed, 99])
    bleed = str(rng.choice(TYPES)) if rng.random() < bleed_share else None
    return bleed, float(rng.choice([2.5, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0, 6.0]))


def read_case(path: Path) -> Case:
    """One case of a synthetic set."""
    with np.load(path) as data:
        row, column, thickness = (float(v) for v in data["spacing_mm"])
        voxels = data["voxels_hu"].astype(np.float32)
        labels = data["labels"]
        return Case(
            name=path.stem,
            slices=tuple(HeadSlice(plane, (row, column), thickness) for plane in voxels),
            positions_mm=data["positions_mm"].astype(np.float64),
            labels=labels.any(0),
            slice_labels=labels,
            thickness_mm=thickness,
            kernel=str(data["kernel"]),
            volumes_ml=dict(zip(TYPES, (float(v) for v in data["volumes_ml"]), strict=True)),
            areas_mm2=data["areas_mm2"].astype(np.float64),
            diameters_mm=_per_type(data, "diameters_mm"),
            mean_hu=_per_type(data, "mean_hu"),
            midline_shift_mm=_midline_shift_mm(path, data, voxels.shape[1:], column),
        )


def _per_type(data: Mapping[str, NDArray[np.float64]], name: str) -> dict[str, float]:
    """What is known of the types that are there; a set that was made before this was recorded knows nothing."""
    values = data[name] if name in data else np.full(len(TYPES), np.nan)
    return {label: float(value) for label, value in zip(TYPES, values, strict=True) if np.isfinite(value)}


def _midline_shift_mm(
    path: Path, data: Mapping[str, NDArray[np.float64]], shape: tuple[int, int], pixel_mm: float
) -> float | None:
    """As recorded; of a set that was made before this was recorded, from the seed."""
    if "midline_shift_mm" in data:
        return float(data["midline_shift_mm"])
    seed = int(path.stem.removeprefix("case-"))
    bleed, _ = _asked(seed, _BLEED_SHARE)
    settings: tuple[Setting, ...] = ("shifted", "standard")
    found = (shift_of_seed_mm(seed, bleed, shape=shape, setting=name, pixel_mm=pixel_mm) for name in settings)
    return next((shift for shift in found if shift is not None), None)


def synthetic_cases(folder: Path) -> Iterator[Case]:
    """Every case of a synthetic set. Raises DatasetError for a folder without any."""
    paths = sorted(folder.glob("case-*.npz"))
    if not paths:
        raise DatasetError(f"{folder} holds no case-*.npz; make a set with `tocsin model make-set`")
    for path in paths:
        yield read_case(path)


def label_names(labels: NDArray[np.bool_]) -> list[str]:
    """The names of the labels that are set."""
    return [name for name, present in zip(LABELS, labels, strict=True) if present]
