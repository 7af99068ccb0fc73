"""One synthetic series: a head, a scanner, a stack of slices and the truth about every voxel."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from triage_models.errors import GenerationFailed
from triage_models.labels import LABELS, TYPES
from triage_models.synthetic.atlas import Field
from triage_models.synthetic.head import (
    AIR_HU,
    Frames,
    Head,
    Rendered,
    frames_of,
    make_head,
    may_hold_head,
    render,
    with_mass_effect,
)
from triage_models.synthetic.midline import midline_shift_mm
from triage_models.synthetic.randomness import between
from triage_models.synthetic.scanner import Scanner, acquire, add_table, noisy, scanner

Setting = Literal["standard", "shifted"]

_ATTEMPTS = 12
_COARSE = 4
_MASK_FRACTION = 0.4
_LEAST_ML = 0.5
_LEAST_SLICE_MM2 = 18.0
_SAME_PIXEL_MM = 1e-9


@dataclass(frozen=True)
class SyntheticSeries:
    """A CT series with voxel truth.

    `voxels_hu` int16 `[S, H, W]`, rows run to posterior, columns to patient left; `masks` uint8 of the same shape,
    the index in LABELS of the bleed (0 none); `labels` bool `[S, 6]`; `brain` float `[S]`: share of the slice's
    area that is brain; `positions_mm` along the slice normal, ascending from foot to head; `origins_mm` the
    DICOM (LPS) position of each slice's first voxel; `volumes_ml` per label; `midline_shift_mm` positive towards the
    image's right (`triage_models.synthetic.midline`).
    """

    seed: int
    bleed: str | None
    setting: Setting
    voxels_hu: NDArray[np.int16]
    masks: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    brain: Field
    pixel_spacing_mm: tuple[float, float]
    thickness_mm: float
    spacing_mm: float
    positions_mm: Field
    origins_mm: Field
    orientation: tuple[float, float, float, float, float, float]
    gantry_tilt_degrees: float
    kernel: str
    kvp: int
    volumes_ml: dict[str, float]
    midline_shift_mm: float


@dataclass(frozen=True)
class _Look:
    """What is asked of the scanner: where the slices are, how thick, how many pixels, how carefully."""

    positions_mm: Field
    thickness_mm: float
    shape: tuple[int, int]
    setting: Setting
    field_of_view_mm: tuple[float, float] = (205.0, 260.0)
    single_plane: bool = False
    mass_effect: bool = False


@dataclass(frozen=True)
class _Geometry:
    """Where the planes are: pose of the head and the grid, in the scanner's LPS frame."""

    pixel_mm: float
    tilt: float
    rotation: Field
    shift_mm: Field
    centre_z_mm: float


def generate(
    seed: int,
    bleed: str | None,
    *,
    slices: int = 32,
    thickness_mm: float = 5.0,
    shape: tuple[int, int] = (512, 512),
    setting: Setting = "standard",
    averaged: bool = True,
    mass_effect: bool = False,
) -> SyntheticSeries:
    """A series with the bleed present (or with none), the same for the same arguments.

    `averaged`: thick slices are the mean of two planes (twice the time); else only bone is averaged over the slice.
    `mass_effect`: a bleed that lies to one side moves the middle of the brain by 0 to 16 mm; else bleeds of a side
    hardly move it.
    Raises GenerationFailed when no attempt places at least 0.5 mL of the bleed in the slices.
    """
    if bleed is not None and bleed not in TYPES:
        raise ValueError(f"{bleed!r} is none of {TYPES}")
    positions = (np.arange(slices, dtype=np.float32) - (slices - 1) / 2) * thickness_mm
    look = _Look(positions, thickness_mm, shape, setting, single_plane=not averaged, mass_effect=mass_effect)
    for attempt in range(_ATTEMPTS):
        rng = _randomness(seed, attempt, bleed)
        series = _once(rng, bleed, look)
        if bleed is None or (series.volumes_ml[bleed] >= _LEAST_ML and series.labels[:, LABELS.index(bleed)].any()):
            return replace(series, seed=seed)
    raise GenerationFailed(f"seed {seed}: no {bleed} bleed inside {slices} slices of {thickness_mm} mm")


def generate_at(
    seed: int,
    bleed: str | None,
    positions_mm: Field,
    *,
    thickness_mm: float = 5.0,
    shape: tuple[int, int] = (256, 256),
    setting: Setting = "standard",
) -> SyntheticSeries:
    """Slices of one head at chosen positions, for training: the bleed is in the head, not in every slice."""
    rng = _randomness(seed, 0, bleed)
    look = _Look(np.asarray(positions_mm, np.float32), thickness_mm, shape, setting, (205.0, 225.0), single_plane=True)
    return replace(_once(rng, bleed, look), seed=seed)


def shift_of_seed_mm(
    seed: int, bleed: str | None, *, shape: tuple[int, int], setting: Setting, pixel_mm: float
) -> float | None:
    """The midline shift of a series that `generate` made before, without rendering it.

    Which of the attempts it was is told by the size of its pixels; None when it was none of them.
    """
    look = _Look(np.zeros(0, np.float32), 5.0, shape, setting)
    for attempt in range(_ATTEMPTS):
        head, _, geometry = _set_up(_randomness(seed, attempt, bleed), bleed, look)
        if abs(geometry.pixel_mm - pixel_mm) < _SAME_PIXEL_MM:
            return _shift_mm(head, geometry)
    return None


def head_of_seed(seed: int, bleed: str | None, *, setting: Setting = "standard") -> Head:
    """The head that `generate_at` makes slices of, before anything is rendered."""
    return make_head(_randomness(seed, 0, bleed), bleed, shifted=setting == "shifted")


def _randomness(seed: int, attempt: int, bleed: str | None) -> np.random.Generator:
    return np.random.default_rng([seed, attempt, 0 if bleed is None else LABELS.index(bleed)])


def _set_up(rng: np.random.Generator, bleed: str | None, look: _Look) -> tuple[Head, Scanner, _Geometry]:
    shifted = look.setting == "shifted"
    head, device = make_head(rng, bleed, shifted=shifted), scanner(rng, shifted=shifted)
    if look.mass_effect:
        head = with_mass_effect(rng.spawn(1)[0], head)
    return head, device, _geometry(rng, look)


def _shift_mm(head: Head, g: _Geometry) -> float:
    along, down, _ = _axes(g.tilt)
    to_head = g.rotation * np.array([-1, -1, 1], np.float32)
    return midline_shift_mm(head, to_head @ along, to_head @ down)


def _once(rng: np.random.Generator, bleed: str | None, look: _Look) -> SyntheticSeries:
    shape = look.shape
    head, device, geometry = _set_up(rng, bleed, look)
    step = 2 if min(shape) >= 384 else 1
    hu, blood, brain = _render_stack(head, geometry, look, step)
    hu = acquire(rng, device, hu, geometry.pixel_mm * step)
    if step == 2:
        hu = _upsample(hu, shape)
        blood = np.stack([_upsample(b, shape) for b in blood])
    if device.table:
        hu = add_table(hu, rng)
    hu = noisy(rng, device, hu, geometry.pixel_mm, look.thickness_mm)
    series = _assemble(bleed, look, hu, blood, brain, geometry, device)
    return replace(series, midline_shift_mm=_shift_mm(head, geometry))


def _geometry(rng: np.random.Generator, look: _Look) -> _Geometry:
    yaw, roll = rng.normal(0, 5), rng.normal(0, 5)
    pitch = between(rng, -12, 24)
    tilt = between(rng, -20, 20) if rng.random() < 0.3 else 0.0
    return _Geometry(
        pixel_mm=between(rng, *look.field_of_view_mm) / max(look.shape),
        tilt=tilt,
        rotation=_rotation(pitch - tilt * 0.5, roll, yaw),
        shift_mm=np.array([rng.normal(0, 5), rng.normal(0, 7), 0], np.float32),
        centre_z_mm=between(rng, -4, 8),
    )


def _rotation(pitch: float, roll: float, yaw: float) -> Field:
    p, r, y = np.deg2rad([pitch, roll, yaw])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(r), 0, np.sin(r)], [0, 1, 0], [-np.sin(r), 0, np.cos(r)]])
    about_z = np.array([[np.cos(y), -np.sin(y), 0], [np.sin(y), np.cos(y), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, np.float32)


def _axes(tilt: float) -> tuple[Field, Field, Field]:
    """Column direction, row direction and slice normal in LPS for a gantry tilt in degrees."""
    t = np.deg2rad(tilt)
    along, down = np.array([1, 0, 0]), np.array([0, np.cos(t), -np.sin(t)])
    return along.astype(np.float32), down.astype(np.float32), np.cross(along, down).astype(np.float32)


def _render_stack(head: Head, g: _Geometry, look: _Look, step: int) -> tuple[Field, Field, Field]:
    """HU `[S, h, w]`, blood `[5, S, h, w]`, brain share `[S]` at 1/step of the resolution; planes are averaged
    over the slice's thickness."""
    offsets = (
        np.array([0.0]) if look.thickness_mm < 2.5 or look.single_plane else np.array([-0.25, 0.25]) * look.thickness_mm
    )
    _, _, along = _axes(g.tilt)
    normal = g.rotation @ (along * np.array([-1, -1, 1], np.float32))
    share = look.thickness_mm / len(offsets)
    size = (look.shape[0] // step, look.shape[1] // step)
    positions = look.positions_mm
    hu = np.empty((len(positions), *size), np.float32)
    blood = np.empty((5, len(positions), *size), np.float32)
    brain = np.empty(len(positions), np.float32)
    for k, position in enumerate(positions):
        parts = [_render_plane(head, _plane(g, float(position + o), size, step), normal, share) for o in offsets]
        hu[k] = np.mean([np.clip(p.voxels_hu, -1000, 2500) for p in parts], axis=0)
        blood[:, k] = np.mean([p.blood for p in parts], axis=0)
        brain[k] = float(np.mean([p.brain.mean() for p in parts]))
    return hu, blood, brain


def _render_plane(head: Head, points: Field, normal: Field, thickness_mm: float) -> Rendered:
    """One plane; only the quarter-resolution cells that may hold the head are computed."""
    few = np.ascontiguousarray(points[:, ::_COARSE, ::_COARSE])
    cells = np.kron(may_hold_head(head, few), np.ones((_COARSE, _COARSE), np.bool_))[
        : points.shape[1], : points.shape[2]
    ]
    frames = frames_of(head, few)
    skull, wrinkle = (_interpolated(f, points.shape[1:])[:, cells] for f in (frames.skull_mm, frames.wrinkle_mm))
    some = render(head, Frames(skull, wrinkle), normal, thickness_mm)
    hu = np.full(points.shape[1:], AIR_HU, np.float32)
    blood, brain = np.zeros((5, *hu.shape), np.float32), np.zeros(hu.shape, np.float32)
    hu[cells], blood[:, cells], brain[cells] = some.voxels_hu, some.blood, some.brain
    return Rendered(hu, blood, brain)


def _interpolated(few: Field, shape: tuple[int, ...]) -> Field:
    """A coarse grid `[3, h/4, w/4]` linearly interpolated to `[3, h, w]`, continued at the far edges."""
    for axis, size in zip((1, 2), shape, strict=True):
        place = np.arange(size, dtype=np.float32) / _COARSE
        low = np.minimum(place.astype(np.int64), few.shape[axis] - 2)
        weight = (place - low).reshape((-1, 1) if axis == 1 else (1, -1))
        few = np.take(few, low, axis) * (1 - weight) + np.take(few, low + 1, axis) * weight
    return np.asarray(few, np.float32)


def _plane(g: _Geometry, position: float, size: tuple[int, int], step: int) -> Field:
    """Points of one plane in the head's RAS frame, `[3, h, w]`."""
    along, down, normal = _axes(g.tilt)
    rows = (np.arange(size[0], dtype=np.float32) - (size[0] - 1) / 2) * g.pixel_mm * step
    columns = (np.arange(size[1], dtype=np.float32) - (size[1] - 1) / 2) * g.pixel_mm * step
    lps = along[:, None, None] * columns[None, None, :] + down[:, None, None] * rows[None, :, None]
    lps = lps + (normal * np.float32(position))[:, None, None]
    ras = np.stack([-lps[0] + g.shift_mm[0], -lps[1] + g.shift_mm[1], lps[2] + g.centre_z_mm])
    middle = np.array([0, -20, 0], np.float32).reshape(3, 1, 1)
    return (np.tensordot(g.rotation, ras, axes=(1, 0)) + middle).astype(np.float32)


def _upsample(stack: Field, shape: tuple[int, int]) -> Field:
    out = np.empty((len(stack), *shape), np.float32)
    for k, plane in enumerate(stack):
        ndimage.zoom(
            plane,
            (shape[0] / plane.shape[0], shape[1] / plane.shape[1]),
            output=out[k],
            order=1,
            grid_mode=True,
            mode="nearest",
        )
    return out


def _assemble(
    bleed: str | None, look: _Look, hu: Field, blood: Field, brain: Field, g: _Geometry, device: Scanner
) -> SyntheticSeries:
    positions, thickness_mm = look.positions_mm, look.thickness_mm
    strongest = blood.argmax(0).astype(np.uint8) + 1
    masks = np.where(blood.sum(0) >= _MASK_FRACTION, strongest, 0).astype(np.uint8)
    area = g.pixel_mm**2
    counts = np.stack([(masks == code).sum((1, 2)) for code in range(1, 6)], 1)
    types = counts * area >= _LEAST_SLICE_MM2
    masks[~types.any(1)] = 0
    labels = np.concatenate([types.any(1, keepdims=True), types], 1)
    volumes = {name: float(counts[:, i].sum() * area * thickness_mm / 1000) for i, name in enumerate(TYPES)}
    along, down, normal = _axes(g.tilt)
    half = (np.array(hu.shape[1:]) - 1) / 2 * g.pixel_mm
    corner = -along * half[1] - down * half[0]
    return SyntheticSeries(
        seed=0,
        bleed=bleed,
        setting=look.setting,
        voxels_hu=np.clip(np.rint(hu), -1024, 3071).astype(np.int16),
        masks=masks,
        labels=labels,
        brain=brain,
        pixel_spacing_mm=(g.pixel_mm, g.pixel_mm),
        thickness_mm=thickness_mm,
        spacing_mm=thickness_mm,
        positions_mm=positions,
        origins_mm=(corner[None] + normal[None] * positions[:, None]).astype(np.float32),
        orientation=(1.0, 0.0, 0.0, 0.0, float(down[1]), float(down[2])),
        gantry_tilt_degrees=g.tilt,
        kernel=device.kernel,
        kvp=device.kvp,
        volumes_ml=volumes,
        midline_shift_mm=0.0,
    )
