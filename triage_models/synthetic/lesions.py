"""The five kinds of intracranial bleed as 3-D shapes in the skull's frame.

A lesion answers two questions for any point: how far the brain was pushed there (mass effect, as a pull-back
displacement in mm) and how much of the point is blood of which density. Sizes follow what is seen on admission:
0.5–150 mL, acute blood 50–80 HU (Hct dependent), clotted heterogeneous, subacute and chronic collections lower.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from triage_models.labels import LABELS
from triage_models.synthetic.atlas import Field, atlas
from triage_models.synthetic.randomness import (
    SmoothField,
    between,
    chance,
    log_between,
    smooth_field,
    smoothstep,
)

_CENTRE = np.array([0.0, -20.0, 10.0], np.float32)
"""Middle of the cavity, MNI mm: directions to the skull are counted from here."""


@dataclass(frozen=True)
class Place:
    """What a lesion may know of the points it is asked about (all arrays of one shape).

    `skull_mm` points in the skull's frame, `[3, ...]`; `depth_mm` below the inner table; `brain_mm` points in the
    displaced brain's frame; `tissue` 0–1 grey+white; `ventricle` 0–1.
    """

    skull_mm: Field
    depth_mm: Field
    brain_mm: Field
    tissue: Field
    ventricle: Field


class Lesion(Protocol):
    """One bleed; `code` is its index in LABELS."""

    @property
    def code(self) -> int: ...

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field | None:
        """Pull-back displacement `[3, ...]` in mm of the brain, or None when it moves nothing."""
        ...

    def blood(self, place: Place) -> tuple[Field, Field]:
        """(fraction of blood 0–1, its density in HU)."""
        ...


@dataclass(frozen=True)
class Density:
    """HU of one collection: a base value with clot texture, and optionally a fluid level or a swirl."""

    hu: float
    texture_hu: float
    texture: SmoothField
    level_hu: float = 0.0
    level_y_mm: float = 0.0

    def at(self, points_mm: Field) -> Field:
        """HU at points of the skull's frame."""
        hu = self.hu + self.texture_hu * self.texture.at(points_mm)
        if self.level_hu:
            hu = hu - self.level_hu * smoothstep(points_mm[1], self.level_y_mm - 2, self.level_y_mm + 2)
        return hu.astype(np.float32)


def acute_density(rng: np.random.Generator) -> Density:
    """Hyperacute to acute blood."""
    texture = smooth_field(rng, between(rng, 6, 16))
    return Density(between(rng, 54, 78), between(rng, 0.5, 6), texture)


def extra_axial_density(rng: np.random.Generator, *, acute_only: bool) -> Density:
    """Mostly acute; a third of subdurals mixed, subacute or chronic with a level."""
    if acute_only or chance(rng, 0.72):
        return acute_density(rng)
    texture = smooth_field(rng, between(rng, 8, 25))
    if chance(rng, 0.5):
        return Density(between(rng, 50, 66), between(rng, 6, 12), texture)
    level = between(rng, 10, 25) if chance(rng, 0.5) else 0.0
    return Density(between(rng, 42, 55), between(rng, 2, 6), texture, level, between(rng, -50, 20))


@dataclass(frozen=True)
class Shell:
    """A collection against the inner table: subdural (crescent) or epidural (lens)."""

    code: int
    direction: Field
    half_angle: tuple[float, float]
    thickness_mm: float
    power: float
    ripple: SmoothField
    side: float
    density: Density
    reach_mm: float = 45.0
    lift_mm: float = 0.0

    def _thickness(self, skull_mm: Field) -> Field:
        ray = skull_mm - _CENTRE.reshape(3, *[1] * (skull_mm.ndim - 1))
        along, up = _tangents(self.direction)
        ahead = np.tensordot(self.direction, ray, axes=(0, 0))
        turn = np.arctan2(np.tensordot(along, ray, axes=(0, 0)), ahead)
        rise = np.arctan2(np.tensordot(up, ray, axes=(0, 0)), ahead)
        rho2 = (turn / self.half_angle[0]) ** 2 + (rise / self.half_angle[1]) ** 2
        profile = np.clip(1 - rho2 ** (self.power / 2), 0, 1)
        profile = profile * (1 + 0.25 * self.ripple.at(skull_mm))
        if self.side:
            profile = profile * smoothstep(self.side * skull_mm[0], 1.0, 5.0)
        return (self.thickness_mm * profile).astype(np.float32)

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field:
        """The brain gives way inwards, less with depth."""
        thickness = self._thickness(skull_mm)
        fade = thickness * np.exp(-np.clip(depth_mm - thickness, 0, None) / self.reach_mm)
        return np.asarray(outward * fade, np.float32)

    def blood(self, place: Place) -> tuple[Field, Field]:
        """Everything between the inner table and the collection's inner face."""
        thickness = self._thickness(place.skull_mm)
        depth = place.depth_mm - self.lift_mm
        inside = smoothstep(thickness - depth, -0.5, 0.5) * smoothstep(place.depth_mm, -0.6, 0.3)
        inside = inside * (thickness > 0.8)
        return inside.astype(np.float32), self.density.at(place.skull_mm)


def _tangents(direction: Field) -> tuple[Field, Field]:
    """Two unit vectors across `direction`: the first horizontal."""
    along = np.array([-direction[1], direction[0], 0], np.float32)
    along = along / (np.linalg.norm(along) + 1e-6)
    return along.astype(np.float32), np.cross(direction, along).astype(np.float32)


def subdural_shell(rng: np.random.Generator) -> Shell:
    """A crescent over one convexity."""
    side = float(rng.choice([-1.0, 1.0]))
    azimuth, height = between(rng, -1.1, 1.1), between(rng, -0.15, 0.55)
    direction = _direction(side, azimuth, height)
    thickness = log_between(rng, 3.0, 24)
    return Shell(
        LABELS.index("subdural"),
        direction,
        (between(rng, 0.6, 1.6), between(rng, 0.4, 1.1)),
        thickness,
        between(rng, 2.5, 6),
        smooth_field(rng, between(rng, 15, 40)),
        side,
        extra_axial_density(rng, acute_only=False),
        lift_mm=0.0,
        reach_mm=between(rng, 25, 60),
    )


def epidural_lens(rng: np.random.Generator) -> Shell:
    """A lens, mostly temporo-parietal, bounded by sutures."""
    side = float(rng.choice([-1.0, 1.0]))
    direction = _direction(side, rng.normal(0, 0.6), between(rng, -0.25, 0.6))
    radius = between(rng, 0.22, 0.6)
    return Shell(
        LABELS.index("epidural"),
        direction,
        (radius * between(rng, 0.9, 1.2), radius * between(rng, 0.8, 1.2)),
        float(np.clip(radius * between(rng, 25, 70), 5, 38)),
        between(rng, 1.8, 2.4),
        smooth_field(rng, 40),
        0.0,
        extra_axial_density(rng, acute_only=chance(rng, 0.9)),
        reach_mm=between(rng, 20, 45),
    )


def _direction(side: float, azimuth: float, height: float) -> Field:
    flat = np.sqrt(max(0.0, 1 - height**2))
    vector = np.array([side * flat * np.cos(azimuth), flat * np.sin(azimuth), height], np.float32)
    return vector / np.float32(np.linalg.norm(vector))


@dataclass(frozen=True)
class Sheet:
    """A subdural along the falx or the tentorium."""

    code: int
    on_falx: bool
    side: float
    thickness_mm: float
    centre_mm: tuple[float, float]
    radius_mm: float
    ripple: SmoothField
    density: Density

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field | None:
        """The nearby brain is moved aside a little."""
        amount = self._thickness(skull_mm)
        out = np.zeros_like(skull_mm)
        axis = 0 if self.on_falx else 2
        distance = np.abs(self._offset(skull_mm))
        sign = -self.side if self.on_falx else -1.0
        out[axis] = sign * amount * np.exp(-np.clip(distance - amount, 0, None) / 15) * (self._offset(skull_mm) > 0)
        return out

    def _offset(self, points: Field) -> Field:
        offset = self.side * points[0] if self.on_falx else points[2] - tentorium_height(points)
        return np.asarray(offset, np.float32)

    def _thickness(self, points: Field) -> Field:
        first, second = (1, 2) if self.on_falx else (0, 1)
        r2 = ((points[first] - self.centre_mm[0]) ** 2 + (points[second] - self.centre_mm[1]) ** 2) / self.radius_mm**2
        allowed = falx_exists(points) if self.on_falx else tentorium_exists(points)
        grown = self.thickness_mm * np.clip(1 - r2**2, 0, 1) * (1 + 0.3 * self.ripple.at(points))
        return np.asarray(grown * allowed, np.float32)

    def blood(self, place: Place) -> tuple[Field, Field]:
        """Between the dural sheet and the brain that moved aside."""
        offset, thickness = self._offset(place.skull_mm), self._thickness(place.skull_mm)
        inside = smoothstep(offset, -0.8, 0.2) * smoothstep(thickness - offset, -0.5, 0.5) * (thickness > 0.8)
        return (inside * (place.depth_mm > 0.5)).astype(np.float32), self.density.at(place.skull_mm)


def subdural_sheet(rng: np.random.Generator) -> Sheet:
    """A parafalcine or tentorial subdural."""
    falx = chance(rng, 0.65)
    side = float(rng.choice([-1.0, 1.0]))
    centre = (
        (between(rng, -60, 40), between(rng, 20, 55)) if falx else (side * between(rng, 15, 35), between(rng, -65, -35))
    )
    return Sheet(
        LABELS.index("subdural"),
        falx,
        side,
        between(rng, 2.5, 9),
        centre,
        between(rng, 22, 50),
        smooth_field(rng, 20),
        acute_density(rng),
    )


def falx_exists(points: Field) -> Field:
    """1 where the falx is: the midline above an arch over the corpus callosum."""
    arch = (points[1] / 62 + 0.1) ** 2 + ((points[2] - 5) / 38) ** 2
    return (smoothstep(arch, 0.95, 1.05) * smoothstep(points[2], -22, -12)).astype(np.float32)


def tentorium_height(points: Field) -> Field:
    """Height (mm) of the tentorium above each (x, y): ridge in the midline, sloping outwards and back."""
    return np.asarray(2.0 - 0.42 * np.abs(points[0]) + 0.16 * (points[1] + 50), np.float32)


def tentorium_exists(points: Field) -> Field:
    """1 where the tentorium is: behind the brain stem, beside the incisura."""
    incisura = (points[0] / 22) ** 2 + ((points[1] + 22) / 26) ** 2
    return (smoothstep(incisura, 0.95, 1.1) * smoothstep(-points[1], 15, 25)).astype(np.float32)


@dataclass(frozen=True)
class Clot:
    """Blood in the parenchyma: a lobulated ellipsoid with an oedema rim."""

    code: int
    centre_mm: Field
    radii_mm: Field
    rotation: Field
    lobes: SmoothField
    lobe_size: float
    density: Density
    mass: float
    oedema_mm: float
    oedema_hu: float

    def _radius(self, points: Field) -> Field:
        relative = points - self.centre_mm.reshape(3, *[1] * (points.ndim - 1))
        turned = np.tensordot(self.rotation, relative, axes=(1, 0))
        scaled = turned / self.radii_mm.reshape(3, *[1] * (points.ndim - 1))
        rho = np.sqrt((scaled**2).sum(0))
        return np.asarray(rho * (1 + self.lobe_size * self.lobes.at(points)), np.float32)

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field:
        """Tissue around was where the clot's centre is now."""
        relative = skull_mm - self.centre_mm.reshape(3, *[1] * (skull_mm.ndim - 1))
        distance = np.sqrt((relative**2).sum(0)) + 1e-3
        size = float(np.prod(self.radii_mm) ** (1 / 3))
        freed = np.cbrt(np.clip(distance**3 - self.mass * size**3, 0, None))
        shift = (freed - distance) * np.exp(-distance / 60) * smoothstep(depth_mm, 0, 12)
        return np.asarray(relative / distance * shift, np.float32)

    def blood(self, place: Place) -> tuple[Field, Field]:
        """The clot itself."""
        rho = self._radius(place.skull_mm)
        edge = 0.7 / float(self.radii_mm.min())
        inside = smoothstep(1 - rho, -edge, edge) * smoothstep(place.depth_mm, 0.5, 2.0)
        return inside.astype(np.float32), self.density.at(place.skull_mm)

    def oedema(self, place: Place) -> Field:
        """HU to subtract around the clot."""
        rho = self._radius(place.skull_mm)
        width = max(self.oedema_mm / float(self.radii_mm.min()), 0.05)
        rim = smoothstep(1 + width - rho, 0, width) * place.tissue
        return (self.oedema_hu * rim).astype(np.float32)


_DEEP = ((26, -3, 3), (-26, -3, 3), (13, -18, 8), (-13, -18, 8), (0, -28, -32), (20, -60, -35), (-20, -60, -35))
"""Putamen, thalamus, pons, cerebellum (MNI mm): where hypertensive bleeds sit."""


def clot(rng: np.random.Generator, centre_mm: Field | None = None, most_ml: float = 110.0) -> Clot:
    """An intraparenchymal bleed; lobar or deep, 0.5–150 mL."""
    volume_ml = log_between(rng, 0.7, most_ml)
    radius = float(np.cbrt(volume_ml * 1000 * 3 / (4 * np.pi)))
    if centre_mm is None:
        centre_mm = _lobar(rng, radius) if chance(rng, 0.6) else _jitter(rng, _DEEP[int(rng.integers(len(_DEEP)))], 7)
    stretch = np.exp(rng.normal(0, 0.25, 3))
    radii = (radius * stretch / np.cbrt(np.prod(stretch))).astype(np.float32)
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return Clot(
        LABELS.index("intraparenchymal"),
        centre_mm,
        radii,
        rotation.astype(np.float32),
        smooth_field(rng, float(np.clip(radius, 8, 25))),
        between(rng, 0.05, 0.28),
        acute_density(rng),
        between(rng, 0.2, 0.8),
        between(rng, 1, 14),
        between(rng, 3, 14),
    )


def _jitter(rng: np.random.Generator, centre: tuple[float, float, float], sigma_mm: float) -> Field:
    return (np.array(centre) + rng.normal(0, sigma_mm, 3)).astype(np.float32)


def _lobar(rng: np.random.Generator, radius_mm: float) -> Field:
    """A random point of the cerebrum, deep enough that most of the clot is inside the brain."""
    for _ in range(60):
        point = rng.uniform((-62, -95, -35), (62, 62, 68)).astype(np.float32)
        depth = -float(atlas().sample("cavity_mm", point.reshape(3, 1))[0])
        if depth > min(5 + 0.6 * radius_mm, 30):
            return point
    return np.array([30, -5, 25], np.float32)


@dataclass(frozen=True)
class VentricleBlood:
    """Blood in the ventricles: layered in the dependent horns, or a cast."""

    code: int
    level_y_mm: float
    slope: float
    sides: tuple[float, float]
    cast: bool
    centre_mm: Field
    reach_mm: float
    ripple: SmoothField
    density: Density

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field | None:
        """None: the ventricles' size is the anatomy's business."""
        return None

    def blood(self, place: Place) -> tuple[Field, Field]:
        """The part of the ventricles below the level, or near the cast's centre."""
        points = place.brain_mm
        if self.cast:
            distance = np.sqrt(((points - self.centre_mm.reshape(3, *[1] * (points.ndim - 1))) ** 2).sum(0))
            where = smoothstep(self.reach_mm - distance + 6 * self.ripple.at(points), -2, 2)
        else:
            where = smoothstep(self.level_y_mm + self.slope * points[2] - points[1], -1, 1)
        left = np.where(points[0] < 0, self.sides[0], self.sides[1])
        fluid = smoothstep(place.ventricle, 0.25, 0.6)
        return (fluid * where * left).astype(np.float32), self.density.at(place.skull_mm)


def ventricle_blood(rng: np.random.Generator) -> VentricleBlood:
    """Layering (half) or casting (half) of one or both sides."""
    sides = ((1.0, 1.0), (1.0, 1.0), (1.0, 0.0), (0.0, 1.0))[int(rng.integers(4))]
    centre = np.array([rng.choice([-14, 14, 0]), between(rng, -45, 20), between(rng, -5, 25)], np.float32)
    density = Density(between(rng, 48, 74), between(rng, 1, 6), smooth_field(rng, 12))
    return VentricleBlood(
        LABELS.index("intraventricular"),
        between(rng, -48, -26),
        between(rng, -0.1, 0.1),
        sides,
        chance(rng, 0.55),
        centre,
        between(rng, 16, 60),
        smooth_field(rng, 15),
        density,
    )


@dataclass(frozen=True)
class SubarachnoidBlood:
    """Blood in cisterns and sulci around one or more foci."""

    code: int
    foci_mm: tuple[tuple[float, float, float], ...]
    reach_mm: tuple[float, ...]
    ripple: SmoothField
    fill: float
    density: Density

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field | None:
        """None: it fills spaces that exist."""
        return None

    def blood(self, place: Place) -> tuple[Field, Field]:
        """The fluid outside the ventricles near the foci."""
        points = place.brain_mm
        weight = np.zeros(points.shape[1:], np.float32)
        for focus, reach in zip(self.foci_mm, self.reach_mm, strict=True):
            r2 = ((points - np.array(focus, np.float32).reshape(3, *[1] * (points.ndim - 1))) ** 2).sum(0)
            weight = np.maximum(weight, np.exp(-((r2 / reach**2) ** 2)))
        weight = weight * np.clip(1 + 0.35 * self.ripple.at(points), 0, 1.2)
        fluid = np.clip(1 - place.tissue, 0, 1) * (1 - smoothstep(place.ventricle, 0.15, 0.5))
        fluid = smoothstep(fluid, 0.12, 0.6) * smoothstep(place.depth_mm, -0.3, 0.8)
        blood = np.clip(fluid * weight * self.fill, 0, 1)
        return np.where(blood > 0.12, blood, 0).astype(np.float32), self.density.at(place.skull_mm)


def subarachnoid_blood(rng: np.random.Generator) -> SubarachnoidBlood:
    """Aneurysmal (cisterns, Sylvian fissures, interhemispheric) or traumatic (a few convexity sulci)."""
    if chance(rng, 0.55):
        foci = [(0.0, 4.0, -20.0)]
        foci += [
            f
            for f in ((-42.0, 2.0, -4.0), (42.0, 2.0, -4.0), (0.0, 35.0, 5.0), (0.0, -38.0, -2.0))
            if chance(rng, 0.55)
        ]
        reach = [between(rng, 18, 45) for _ in foci]
    else:
        foci, reach = [], []
        side = float(rng.choice([-1.0, 1.0]))
        for _ in range(int(rng.integers(1, 4))):
            spread = _direction(side, between(rng, -1.3, 1.3), between(rng, -0.1, 0.9))
            point = _CENTRE + spread * between(rng, 48, 66)
            foci.append((float(point[0]), float(point[1]), float(point[2])))
            reach.append(between(rng, 13, 32))
    density = Density(between(rng, 52, 76), between(rng, 1, 5), smooth_field(rng, 10))
    return SubarachnoidBlood(
        LABELS.index("subarachnoid"),
        tuple(foci),
        tuple(reach),
        smooth_field(rng, 14),
        between(rng, 0.75, 1.25),
        density,
    )


@dataclass(frozen=True)
class MassEffect:
    """What a bleed of one side does to the whole brain: its middle is moved to the other side, under a falx that stays.

    `towards` -1 or 1: the x that it is moved to; most of it reaches what lies 36 mm below the inner table.
    """

    code: int
    towards: float
    shift_mm: float

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field:
        """Sideways, less towards the vault and near the inner table."""
        out = np.zeros_like(skull_mm)
        height = np.exp(-(((skull_mm[2] - 10) / 60) ** 2))
        out[0] = -self.towards * self.shift_mm * smoothstep(depth_mm, 0, 36) * height
        return out

    def blood(self, place: Place) -> tuple[Field, Field]:
        """None: it is not blood."""
        nothing = np.zeros_like(place.depth_mm)
        return nothing, nothing


def mass_effect_of(rng: np.random.Generator, lesions: "Lesions", most_mm: float = 16.0) -> MassEffect | None:
    """Away from the first bleed that lies to one side, by anything up to `most_mm`; None without such a bleed."""
    for lesion in lesions.items:
        side = _lateral(lesion)
        if side:
            return MassEffect(lesion.code, -side, between(rng, 0.0, most_mm))
    return None


def _lateral(lesion: Lesion) -> float:
    """The side (-1 or 1) of a lesion that has mass and lies to one; else 0."""
    if isinstance(lesion, Shell):
        return float(np.sign(lesion.direction[0])) if abs(lesion.direction[0]) > 0.3 else 0.0
    if isinstance(lesion, Clot):
        return float(np.sign(lesion.centre_mm[0])) if abs(lesion.centre_mm[0]) > 10 else 0.0
    return 0.0


@dataclass(frozen=True)
class Lesions:
    """All bleeds of one head."""

    items: tuple[Lesion, ...] = field(default=())


def lesions_for(rng: np.random.Generator, bleed: str | None) -> Lesions:
    """The bleed asked for, and now and then what tends to come with it."""
    if bleed is None:
        return Lesions()
    return Lesions((*_make(rng, bleed), *_companions(rng, bleed)))


def _make(rng: np.random.Generator, bleed: str) -> tuple[Lesion, ...]:
    if bleed == "epidural":
        return (epidural_lens(rng),)
    if bleed == "intraparenchymal":
        return contusions(rng) if chance(rng, 0.25) else (clot(rng),)
    if bleed == "intraventricular":
        return (ventricle_blood(rng),)
    if bleed == "subarachnoid":
        return (subarachnoid_blood(rng),)
    if bleed == "subdural":
        return _subdurals(rng)
    raise ValueError(f"{bleed!r} is none of {LABELS[1:]}")


def _subdurals(rng: np.random.Generator) -> tuple[Lesion, ...]:
    if chance(rng, 0.15):
        return (subdural_sheet(rng),)
    first = subdural_shell(rng)
    if chance(rng, 0.12):
        return first, subdural_shell(rng)
    return (first, subdural_sheet(rng)) if chance(rng, 0.12) else (first,)


def contusions(rng: np.random.Generator) -> tuple[Clot, ...]:
    """Two to five small bleeds near each other, mostly frontal or temporal."""
    side = float(rng.choice([-1.0, 1.0]))
    where = ((side * 28, 45, -8), (side * 48, -5, -24), (side * 35, 20, 30))[int(rng.integers(3))]
    return tuple(clot(rng, _jitter(rng, where, 9), most_ml=9.0) for _ in range(int(rng.integers(2, 6))))


def _companions(rng: np.random.Generator, bleed: str) -> list[Lesion]:
    out: list[Lesion] = []
    if bleed == "intraparenchymal" and chance(rng, 0.3):
        out.append(ventricle_blood(rng))
    if bleed == "intraventricular" and chance(rng, 0.25):
        out.append(clot(rng, _jitter(rng, _DEEP[int(rng.integers(4))], 4)))
    if bleed == "subarachnoid" and chance(rng, 0.25):
        out.append(ventricle_blood(rng))
    if bleed in ("subdural", "epidural") and chance(rng, 0.25):
        out.append(subarachnoid_blood(rng))
    if bleed == "subdural" and chance(rng, 0.15):
        out.append(clot(rng))
    return out
