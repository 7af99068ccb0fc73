"""One head: what is where, in Hounsfield units, before a scanner looks at it.

The order of things is the law of this module: pose and shape → skull → lesions push the brain → brain →
mimics → blood → scalp and face. HU: bone 300–1900, grey 34–40, white 26–32, fluid 2–14, fat −110 to −70,
muscle 45–60, air −1000.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from triage_models.synthetic.atlas import Field, atlas
from triage_models.synthetic.lesions import (
    Clot,
    Lesions,
    Place,
    falx_exists,
    lesions_for,
    mass_effect_of,
    tentorium_exists,
    tentorium_height,
)
from triage_models.synthetic.mimics import Mimic, mimics_for
from triage_models.synthetic.randomness import SmoothField, between, chance, smooth_field, smoothstep

AIR_HU = -1000.0


@dataclass(frozen=True)
class Shape:
    """How this head differs from the template."""

    scale: Field
    broad: tuple[SmoothField, SmoothField, SmoothField]
    broad_mm: float
    fine: tuple[SmoothField, SmoothField, SmoothField]
    fine_mm: float
    ventricle_gain: float
    ventricle_side: float
    sulcus_level: float
    sulcus_slope: float
    sulcus_vary: SmoothField
    sulcus_spread: float
    shrink_mm: float


@dataclass(frozen=True)
class Tissue:
    """Densities (HU) and skull measures (mm) of this head."""

    grey_hu: float
    white_hu: float
    fluid_hu: float
    mottle: SmoothField
    mottle_hu: float
    skull_mm: float
    skull_vary: SmoothField
    diploe_hu: float
    diploe_share: float
    table_hu: float
    scalp_mm: float
    scalp_vary: SmoothField
    falx_hu: float
    falx_mm: float
    face: SmoothField
    sinus_air: float
    blood_pool_hu: float


@dataclass(frozen=True)
class Head:
    """Everything that decides the HU of any point."""

    shape: Shape
    tissue: Tissue
    lesions: Lesions
    mimics: tuple[Mimic, ...]


@dataclass(frozen=True)
class Rendered:
    """`voxels_hu` and `blood` `[5, ...]` fractions, for the points asked about; `brain` fraction 0–1."""

    voxels_hu: Field
    blood: Field
    brain: Field


@dataclass(frozen=True)
class Frames:
    """Points in the template's frame, `[3, ...]` mm, and how far the brain is wrinkled there."""

    skull_mm: Field
    wrinkle_mm: Field


@dataclass(frozen=True)
class Located:
    """Where points of a head are in the template: `skull_mm` and `brain_mm` `[3, ...]`; `depth_mm` below the inner
    table."""

    skull_mm: Field
    depth_mm: Field
    brain_mm: Field


def make_head(rng: np.random.Generator, bleed: str | None, *, shifted: bool) -> Head:
    """A head with the bleed asked for; `shifted` widens every range (another population, for validation)."""
    age = between(rng, 0, 1)
    shape, tissue = _shape(rng, age, shifted), _tissue(rng, shifted)
    if chance(rng, 0.3 if bleed else 0.08):
        shape = _swollen(rng, shape)
    return Head(shape, tissue, lesions_for(rng, bleed), mimics_for(rng))


def with_mass_effect(rng: np.random.Generator, head: Head) -> Head:
    """The head with its middle moved away from a bleed that lies to one side, and the ventricle on that side narrowed;
    the same head where there is none."""
    effect = mass_effect_of(rng, head.lesions)
    if effect is None:
        return head
    share = effect.shift_mm / 16
    shape = replace(head.shape, ventricle_side=0.2 * effect.towards * share)
    return replace(head, shape=shape, lesions=Lesions((*head.lesions.items, effect)))


def _swollen(rng: np.random.Generator, shape: Shape) -> Shape:
    """A tight brain: narrow sulci, small ventricles."""
    return replace(
        shape,
        sulcus_level=shape.sulcus_level - between(rng, 0.05, 0.25),
        ventricle_gain=max(-0.35, shape.ventricle_gain - between(rng, 0.1, 0.4)),
        shrink_mm=0.0,
    )


def _shape(rng: np.random.Generator, age: float, shifted: bool) -> Shape:
    wide = 1.25 if shifted else 1.0
    ventricle = between(rng, -0.25, 0.2) + 0.35 * age
    if chance(rng, 0.06):
        ventricle += 0.25
    return Shape(
        scale=np.array([between(rng, 0.9, 1.08), between(rng, 0.9, 1.06), between(rng, 0.92, 1.06)], np.float32),
        broad=_three(rng, between(rng, 60, 90)),
        broad_mm=between(rng, 0.8, 3.2) * wide,
        fine=_three(rng, between(rng, 14, 24)),
        fine_mm=between(rng, 0.8, 3.0) * wide,
        ventricle_gain=float(np.clip(ventricle, -0.3, 0.62)),
        ventricle_side=between(rng, -0.2, 0.2),
        sulcus_level=between(rng, 0.28, 0.55) + 0.22 * age,
        sulcus_slope=between(rng, 0.1, 0.3),
        sulcus_vary=smooth_field(rng, between(rng, 10, 30)),
        sulcus_spread=between(rng, 0.0, 0.16),
        shrink_mm=between(rng, 0, 1.0) + (between(rng, 0, 4.0) * age if chance(rng, 0.5) else 0),
    )


def _three(rng: np.random.Generator, scale_mm: float) -> tuple[SmoothField, SmoothField, SmoothField]:
    return smooth_field(rng, scale_mm), smooth_field(rng, scale_mm), smooth_field(rng, scale_mm)


def _tissue(rng: np.random.Generator, shifted: bool) -> Tissue:
    wide = 1.3 if shifted else 1.0
    offset = rng.normal(0, 1.5 * wide)
    white = 28.5 + offset + rng.normal(0, 1.0)
    return Tissue(
        grey_hu=white + between(rng, 4, 11),
        white_hu=white,
        fluid_hu=between(rng, 2, 14),
        mottle=smooth_field(rng, between(rng, 5, 14)),
        mottle_hu=between(rng, 0.3, 1.8) * wide,
        skull_mm=between(rng, 3.5, 8.0),
        skull_vary=smooth_field(rng, between(rng, 25, 50)),
        diploe_hu=between(rng, 250, 900),
        diploe_share=between(rng, 0.1, 0.55),
        table_hu=between(rng, 1000, 1900),
        scalp_mm=between(rng, 3, 9),
        scalp_vary=smooth_field(rng, 40),
        falx_hu=between(rng, 40, 64),
        falx_mm=between(rng, 0.4, 1.1),
        face=smooth_field(rng, between(rng, 7, 14)),
        sinus_air=between(rng, 0.5, 1.3),
        blood_pool_hu=between(rng, 38, 58),
    )


def render(head: Head, frames: Frames, normal: Field, thickness_mm: float) -> Rendered:
    """HU, bleeds and brain at the points of `frames`.

    Where the skull runs obliquely through a slice of `thickness_mm` along `normal`, bone and brain are mixed.
    """
    skull = frames.skull_mm
    cavity = atlas().sample("cavity_mm", skull)
    depth = -cavity
    outward = _outward(skull)
    brain = _brain_frame(head, frames, depth, outward)
    grey, white = atlas().sample("grey", brain), atlas().sample("white", brain)
    ventricle = atlas().sample("ventricle", brain)
    matter = grey + white
    level = head.shape.sulcus_level + head.shape.sulcus_spread * head.shape.sulcus_vary.at(skull)
    tissue = smoothstep((matter - level) / head.shape.sulcus_slope, -1.0, 1.0)
    place = Place(skull, depth, brain, tissue, ventricle)
    hu = _brain_hu(head, place, grey, white, matter)
    hu = _dura(head, place, hu)
    for mimic in head.mimics:
        hu = mimic.paint(place, hu)
    hu, blood = _bleed(head, place, hu)
    oblique = np.abs(np.tensordot(normal, outward, axes=(0, 0))) * np.float32(0.5 * thickness_mm)
    width = np.maximum(oblique, np.float32(0.4)).astype(np.float32)
    inside = smoothstep(depth / width, -1.0, 1.0)
    outside = _bone_and_scalp(head, skull, cavity)
    for mimic in head.mimics:
        outside = mimic.paint_outside(skull, cavity, outside)
    hu = inside * hu + (1 - inside) * outside
    return Rendered(hu.astype(np.float32), (blood * inside).astype(np.float32), (tissue * inside).astype(np.float32))


def may_hold_head(head: Head, points_mm: Field) -> NDArray[np.bool_]:
    """A cheap, generous test for points that are not air: saves half of the rendering."""
    guess = (points_mm / head.shape.scale.reshape(3, *[1] * (points_mm.ndim - 1))).astype(np.float32)
    near = atlas().sample("cavity_mm", guess) < 42
    below = (guess[2] < 0) & (np.hypot(guess[0] / 80, (guess[1] + 2) / 115) < 1)
    return np.asarray(near | below, np.bool_)


def frames_of(head: Head, points_mm: Field) -> Frames:
    """Where the points (RAS mm, `[3, ...]`) are in the template; smooth, so a coarse grid may be interpolated."""
    shape = head.shape
    scaled = points_mm / shape.scale.reshape(3, *[1] * (points_mm.ndim - 1))
    skull = scaled + np.stack([f.at(points_mm) for f in shape.broad]) * np.float32(shape.broad_mm)
    wrinkle = np.stack([f.at(skull) for f in shape.fine]) * np.float32(shape.fine_mm)
    return Frames(np.asarray(skull, np.float32), np.asarray(wrinkle, np.float32))


def located(head: Head, points_mm: Field) -> Located:
    """The skull's and the displaced brain's place of points (RAS mm, `[3, ...]`)."""
    frames = frames_of(head, points_mm)
    skull = frames.skull_mm
    depth = -atlas().sample("cavity_mm", skull)
    return Located(skull, depth, _brain_frame(head, frames, depth, _outward(skull)))


def _outward(skull: Field) -> Field:
    """Unit vector away from the middle of the cavity: good enough for what pushes the brain inwards."""
    middle = np.array([0, -20, 12], np.float32).reshape(3, *[1] * (skull.ndim - 1))
    ray = (skull - middle) / np.array([0.8, 1.0, 0.9], np.float32).reshape(3, *[1] * (skull.ndim - 1))
    return np.asarray(ray / (np.sqrt((ray**2).sum(0)) + 8), np.float32)


def _brain_frame(head: Head, frames: Frames, depth: Field, outward: Field) -> Field:
    shape, skull = head.shape, frames.skull_mm
    brain = skull + frames.wrinkle_mm * smoothstep(depth, -2, 10)
    brain = brain + outward * np.float32(shape.shrink_mm)
    for lesion in head.lesions.items:
        push = lesion.push(skull, depth, outward)
        if push is not None:
            brain = brain + push
    return _grow_ventricles(shape, brain)


def _grow_ventricles(shape: Shape, brain: Field) -> Field:
    x, y, z = brain[0], brain[1] + 12, brain[2] - 14
    near = np.exp(-((x / 34) ** 2 + (y / 52) ** 2 + (z / 30) ** 2))
    gain = (shape.ventricle_gain + shape.ventricle_side * np.tanh(x / 10)) * near
    return np.asarray(brain - np.stack([x, y * 0.6, z * 0.8]) * gain, np.float32)


def _brain_hu(head: Head, place: Place, grey: Field, white: Field, matter: Field) -> Field:
    t = head.tissue
    share = np.clip(grey / (matter + 0.05), 0, 1)
    solid = t.white_hu + (t.grey_hu - t.white_hu) * share
    solid = np.where(matter < 0.1, t.white_hu, solid)
    hu = place.tissue * solid + (1 - place.tissue) * t.fluid_hu
    return (hu + t.mottle_hu * t.mottle.at(place.skull_mm) * (0.3 + 0.7 * place.tissue)).astype(np.float32)


def _dura(head: Head, place: Place, hu: Field) -> Field:
    """Falx, tentorium and the big sinuses."""
    t, p = head.tissue, place.skull_mm
    falx = np.exp(-((p[0] / t.falx_mm) ** 2)) * falx_exists(p)
    tent = np.exp(-(((p[2] - tentorium_height(p)) / (t.falx_mm * 1.3)) ** 2)) * tentorium_exists(p)
    sheet = np.maximum(falx, 0.7 * tent)
    hu = hu + sheet * (t.falx_hu - hu)
    width = 5.0
    sagittal = smoothstep(width - np.abs(p[0]) - 0.9 * place.depth_mm, -1, 1) * (p[2] > -5) * (p[1] < 60)
    behind = smoothstep(-p[1], 45, 55)
    transverse = np.exp(-(((p[2] + 14) / 4) ** 2)) * smoothstep(6.0 - place.depth_mm, -1, 1) * behind
    pool = np.maximum(sagittal, transverse)
    return np.asarray(hu + pool * (t.blood_pool_hu - hu), np.float32)


def _bleed(head: Head, place: Place, hu: Field) -> tuple[Field, Field]:
    blood = np.zeros((5, *hu.shape), np.float32)
    for lesion in head.lesions.items:
        if isinstance(lesion, Clot):
            hu = hu - lesion.oedema(place)
        fraction, density = lesion.blood(place)
        hu = hu + fraction * (density - hu)
        others = 1 - fraction
        blood *= others
        blood[lesion.code - 1] = np.maximum(blood[lesion.code - 1], fraction)
    return hu.astype(np.float32), blood


def _bone_and_scalp(head: Head, skull: Field, cavity: Field) -> Field:
    t = head.tissue
    thick = t.skull_mm * (1 + 0.22 * t.skull_vary.at(skull)) * _regional_thickness(skull)
    thick = np.clip(thick, 1.8, 16)
    middle = np.abs(cavity / thick - 0.5)
    diploe = smoothstep(t.diploe_share * 0.5 - middle, -0.06, 0.06)
    bone = t.table_hu + diploe * (t.diploe_hu - t.table_hu)
    beyond = cavity - thick
    soft, surface = _soft_tissue(head, skull, beyond)
    hu = np.where(beyond < 0, bone, soft)
    hu = _skull_base(head, skull, cavity, hu)
    return np.where(surface > 0, AIR_HU, hu).astype(np.float32)


def _regional_thickness(p: Field) -> Field:
    temporal = np.exp(-(((np.abs(p[0]) - 65) / 18) ** 2) - ((p[2] + 15) / 25) ** 2)
    back = smoothstep(-p[1], 70, 110) * 0.25 + smoothstep(p[1], 45, 75) * 0.15
    base = smoothstep(-p[2], 25, 45) * 0.9
    return np.asarray(1 - 0.4 * temporal + back + base, np.float32)


def _soft_tissue(head: Head, p: Field, beyond: Field) -> tuple[Field, Field]:
    """(HU of scalp, face and neck; signed distance-like value that is positive outside the head)."""
    t = head.tissue
    scalp = t.scalp_mm * (1 + 0.3 * t.scalp_vary.at(p))
    temporal = 9 * np.exp(-(((np.abs(p[0]) - 62) / 22) ** 2) - ((p[1] - 12) / 30) ** 2 - ((p[2] + 12) / 26) ** 2)
    cranium = beyond - scalp - temporal
    face = (np.sqrt((p[0] / 66) ** 2 + ((p[1] - 18) / 82) ** 2 + ((p[2] + 70) / 75) ** 2) - 1) * 66
    face = np.where(p[2] > -8, 50, face)
    neck = (np.sqrt((p[0] / 68) ** 2 + ((p[1] + 25) / 78) ** 2) - 1) * 66
    neck = np.where(p[2] > -52, 50, neck)
    surface = np.minimum(np.minimum(cranium, face), neck)
    texture = t.face.at(p)
    muscle = np.maximum(smoothstep(temporal, 2, 5), smoothstep(-p[2], 35, 60))
    skin = smoothstep(surface, -2.4, -1.2)
    fat = -95 + 8 * texture
    meat = np.where(texture > 0.3, fat, 52 + 5 * texture)
    soft = fat + muscle * (meat - fat)
    return (soft + skin * (35 - soft)).astype(np.float32), surface.astype(np.float32)


def _skull_base(head: Head, p: Field, cavity: Field, hu: Field) -> Field:
    t = head.tissue
    texture = t.face.at(p)
    ax = np.abs(p[0])
    petrous = _capsule(p, (14, -14, -36), (58, -38, -34)) - 9
    hu = np.where((petrous < 0) & (cavity > -1), np.where(texture > 0.2, 700, 1300), hu)
    mastoid = np.sqrt((ax - 56) ** 2 + (p[1] + 38) ** 2 + ((p[2] + 44) * 0.8) ** 2) - 13
    hu = np.where((mastoid < 0) & (cavity > 1), np.where(texture > 0.1, -600 * t.sinus_air, 900), hu)
    face_bone = (p[1] > 20) & (p[2] < -28) & (cavity > 2) & (np.abs(texture) < 0.35) & (ax < 58)
    hu = np.where(face_bone, 650, hu)
    for sinus in (
        (0, 26, -34, 14, 13, 10),
        (0, 48, -32, 11, 20, 12),
        (30, 42, -62, 15, 16, 16),
        (12, 76, -4, 13, 5, 12),
    ):
        hu = _cavity_of_air(t, p, cavity, sinus, hu)
    orbit = np.sqrt((ax - 32) ** 2 + ((p[1] - 52) * 0.75) ** 2 + (p[2] + 36) ** 2)
    hu = np.where((orbit < 21) & (cavity > 3), np.where(orbit < 19, -85, 900), hu)
    globe = np.sqrt((ax - 32) ** 2 + (p[1] - 62) ** 2 + (p[2] + 36) ** 2)
    hu = np.where(globe < 12.5, np.where(globe < 11.2, 10, 50), hu)
    lens = np.sqrt((ax - 32) ** 2 + ((p[1] - 71) * 2) ** 2 + (p[2] + 36) ** 2)
    hu = np.where(lens < 5, 85, hu)
    nerve = _capsule(p, (8, 22, -30), (30, 52, -35)) - 2.5
    return np.where((nerve < 0) & (cavity > 3), 40, hu).astype(np.float32)


def _cavity_of_air(t: Tissue, p: Field, cavity: Field, box: tuple[float, ...], hu: Field) -> Field:
    x, y, z, a, b, c = box
    r = np.sqrt(((np.abs(p[0]) - x) / a) ** 2 + ((p[1] - y) / b) ** 2 + ((p[2] - z) / c) ** 2) / t.sinus_air
    shell = np.where(r < 1.15, 800, hu)
    filled = np.where(r < 1.0, AIR_HU, shell)
    return np.where(cavity > 2.5, filled, hu).astype(np.float32)


def _capsule(p: Field, a: tuple[float, float, float], b: tuple[float, float, float]) -> Field:
    """Distance (mm) of |x|-mirrored points to the segment a–b."""
    q = np.stack([np.abs(p[0]), p[1], p[2]])
    shape = (3, *[1] * (p.ndim - 1))
    start, way = (
        np.array(a, np.float32).reshape(shape),
        (np.array(b, np.float32) - np.array(a, np.float32)).reshape(shape),
    )
    along = np.clip(((q - start) * way).sum(0) / float((way**2).sum()), 0, 1)
    return np.asarray(np.sqrt(((q - start - along * way) ** 2).sum(0)), np.float32)
