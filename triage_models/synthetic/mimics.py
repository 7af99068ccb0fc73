"""Hard negatives: what is bright, dark or asymmetric in a head without being a bleed.

Each one paints HU inside the cavity (`paint`) or outside it (`paint_outside`); none touches a mask, so blood is painted
over them: what the truth calls a bleed is to be seen as one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from triage_models.synthetic.atlas import Field
from triage_models.synthetic.lesions import Place
from triage_models.synthetic.randomness import SmoothField, between, chance, log_between, smooth_field, smoothstep


class Mimic(Protocol):
    """Something that looks like a bleed, or hides one."""

    def paint(self, place: Place, hu: Field) -> Field:
        """HU inside the cavity after this."""
        ...

    def paint_outside(self, skull_mm: Field, cavity_mm: Field, hu: Field) -> Field:
        """HU outside the cavity after this."""
        ...


@dataclass(frozen=True)
class Inside:
    """Base: leaves the outside alone."""

    def paint_outside(self, skull_mm: Field, cavity_mm: Field, hu: Field) -> Field:
        """Unchanged."""
        return hu


@dataclass(frozen=True)
class Spots(Inside):
    """Calcifications or clips: small ellipsoids in the brain's frame."""

    centres_mm: tuple[tuple[float, float, float], ...]
    radii_mm: tuple[float, ...]
    hu: float
    grain: SmoothField
    in_brain_frame: bool = True

    def paint(self, place: Place, hu: Field) -> Field:
        """Speckled bright spots."""
        p = place.brain_mm if self.in_brain_frame else place.skull_mm
        for centre, radius in zip(self.centres_mm, self.radii_mm, strict=True):
            r = np.sqrt(((p - np.array(centre, np.float32).reshape(3, *[1] * (p.ndim - 1))) ** 2).sum(0))
            inside = smoothstep(radius * (1 + 0.4 * self.grain.at(place.skull_mm)) - r, -0.6, 0.6)
            hu = hu + inside * (self.hu - hu)
        return hu.astype(np.float32)


@dataclass(frozen=True)
class DenseFalx(Inside):
    """A thick or calcified falx, or a dense sagittal sinus."""

    thickness_mm: float
    hu: float
    where: SmoothField

    def paint(self, place: Place, hu: Field) -> Field:
        """Bright patches of the midline."""
        from triage_models.synthetic.lesions import falx_exists

        p = place.skull_mm
        sheet = np.exp(-((p[0] / self.thickness_mm) ** 2)) * falx_exists(p) * smoothstep(self.where.at(p), 0.0, 0.6)
        return np.asarray(hu + sheet * (self.hu - hu), np.float32)


@dataclass(frozen=True)
class Vessels(Inside):
    """Arteries of the base: dense with a high haematocrit, denser with contrast."""

    hu: float
    radius_mm: float

    def paint(self, place: Place, hu: Field) -> Field:
        """Middle cerebral and basilar arteries."""
        p = place.brain_mm
        path = ((0, 4, -16), (18, 4, -16), (34, 6, -8), (42, -4, 0))
        for a, b in pairwise(path):
            hu = _tube(p, a, b, self.radius_mm, self.hu, hu)
        return _tube(p, (0, -14, -40), (0, -12, -16), self.radius_mm * 1.3, self.hu, hu)


def _tube(p: Field, a: tuple[int, int, int], b: tuple[int, int, int], radius: float, value: float, hu: Field) -> Field:
    q = np.stack([np.abs(p[0]), p[1], p[2]])
    shape = (3, *[1] * (p.ndim - 1))
    start = np.array(a, np.float32).reshape(shape)
    way = np.array(b, np.float32).reshape(shape) - start
    along = np.clip(((q - start) * way).sum(0) / float((way**2).sum()), 0, 1)
    distance = np.sqrt(((q - start - along * way) ** 2).sum(0))
    inside = smoothstep(radius - distance, -0.7, 0.7)
    return (hu + inside * (value - hu)).astype(np.float32)


@dataclass(frozen=True)
class Region(Inside):
    """An infarct (dark wedge), an old cavity, a tumour (mild density, oedema): one lobulated region."""

    centre_mm: Field
    radius_mm: float
    lobes: SmoothField
    change_hu: float
    to_fluid: bool
    rim_hu: float

    def paint(self, place: Place, hu: Field) -> Field:
        """Adds the change inside, the rim around."""
        r = np.sqrt(((place.skull_mm - self.centre_mm.reshape(3, *[1] * (hu.ndim))) ** 2).sum(0))
        r = r * (1 + 0.25 * self.lobes.at(place.skull_mm))
        inside = smoothstep(self.radius_mm - r, -2, 2) * place.tissue
        ring = np.exp(-(((r - self.radius_mm) / 2.5) ** 2)) * place.tissue
        target = 9.0 if self.to_fluid else hu + self.change_hu
        return np.asarray(hu + inside * (target - hu) + ring * self.rim_hu, np.float32)


@dataclass(frozen=True)
class Contrast(Inside):
    """Contrast given: vessels, sinuses, choroid and cortex are brighter."""

    cortex_hu: float

    def paint(self, place: Place, hu: Field) -> Field:
        """A general lift with a bright sulcal pattern."""
        near = smoothstep(0.9 - np.abs(place.tissue - 0.5) * 2, 0, 1) * smoothstep(14 - place.depth_mm, 0, 10)
        return (hu + self.cortex_hu * (0.4 * place.tissue + near)).astype(np.float32)


@dataclass(frozen=True)
class Hygroma(Inside):
    """A wide fluid space over one convexity: no blood in it."""

    side: float
    thickness_mm: float
    hu: float
    ripple: SmoothField

    def paint(self, place: Place, hu: Field) -> Field:
        """Fluid down to a depth."""
        p = place.skull_mm
        thickness = self.thickness_mm * smoothstep(self.side * p[0], 5, 25) * smoothstep(p[2], -20, 10)
        thickness = thickness * np.clip(1 + 0.4 * self.ripple.at(p), 0, 2)
        inside = smoothstep(thickness - place.depth_mm, -0.7, 0.7) * (thickness > 0.7)
        return np.asarray(hu + inside * (self.hu - hu), np.float32)


@dataclass(frozen=True)
class ScalpSwelling:
    """A scalp haematoma: outside the skull, so not an intracranial bleed."""

    direction: Field
    angle: float
    hu: float

    def paint(self, place: Place, hu: Field) -> Field:
        """Unchanged."""
        return hu

    def paint_outside(self, skull_mm: Field, cavity_mm: Field, hu: Field) -> Field:
        """Soft tissue near the direction becomes dense."""
        ray = skull_mm - np.array([0, -20, 10], np.float32).reshape(3, *[1] * (skull_mm.ndim - 1))
        ray = ray / (np.sqrt((ray**2).sum(0)) + 1e-3)
        near = smoothstep(np.tensordot(self.direction, ray, axes=(0, 0)), np.cos(self.angle), np.cos(self.angle * 0.7))
        soft = (hu > -200) & (hu < 45) & (cavity_mm > 2.5)
        return np.where(soft, hu + near * (self.hu - hu), hu).astype(np.float32)


@dataclass(frozen=True)
class Craniotomy:
    """A bone gap with air and a burr of dense material under it."""

    direction: Field
    angle: float
    hu: float

    def paint(self, place: Place, hu: Field) -> Field:
        """Unchanged: what lies under it is the brain's business."""
        return hu

    def paint_outside(self, skull_mm: Field, cavity_mm: Field, hu: Field) -> Field:
        """Thin saw lines through the bone around a flap."""
        ray = skull_mm - np.array([0, -20, 10], np.float32).reshape(3, *[1] * (skull_mm.ndim - 1))
        ray = ray / (np.sqrt((ray**2).sum(0)) + 1e-3)
        angle = np.arccos(np.clip(np.tensordot(self.direction, ray, axes=(0, 0)), -1, 1))
        line = np.abs(angle - self.angle) < 0.02
        return np.where(line & (hu > 200), self.hu, hu).astype(np.float32)


def mimics_for(rng: np.random.Generator) -> tuple[Mimic, ...]:
    """What this head has besides; the same odds with and without a bleed."""
    odds: list[tuple[float, Callable[[], Mimic]]] = [
        (0.55, lambda: _choroid(rng)),
        (0.5, lambda: _pineal(rng)),
        (0.12, lambda: _ganglia(rng)),
        (0.15, lambda: DenseFalx(between(rng, 0.6, 1.8), between(rng, 55, 160), smooth_field(rng, 25))),
        (0.5, lambda: Vessels(log_between(rng, 40, 68), between(rng, 0.9, 2.0))),
        (0.05, lambda: Vessels(between(rng, 100, 250), between(rng, 1.2, 2.2))),
        (0.05, lambda: Contrast(between(rng, 3, 14))),
        (0.22, lambda: _region(rng)),
        (0.12, lambda: _region(rng)),
        (0.08, lambda: _clips(rng)),
        (
            0.1,
            lambda: Hygroma(
                float(rng.choice([-1, 1])), between(rng, 2, 12), between(rng, 3, 20), smooth_field(rng, 30)
            ),
        ),
        (0.25, lambda: ScalpSwelling(_anywhere(rng), between(rng, 0.25, 0.7), between(rng, 30, 70))),
        (0.07, lambda: Craniotomy(_anywhere(rng), between(rng, 0.25, 0.6), between(rng, -100, 40))),
    ]
    return tuple(make() for odd, make in odds if chance(rng, odd))


def _anywhere(rng: np.random.Generator) -> Field:
    vector = rng.standard_normal(3)
    vector[2] = abs(vector[2]) * 0.6 - 0.2
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def _choroid(rng: np.random.Generator) -> Spots:
    one, two = between(rng, 20, 26), between(rng, 20, 26)
    centres = ((one, -40.0, between(rng, 4, 12)), (-two, -40.0, between(rng, 4, 12)))
    return Spots(centres, (between(rng, 1, 5), between(rng, 1, 5)), log_between(rng, 50, 350), smooth_field(rng, 5))


def _pineal(rng: np.random.Generator) -> Spots:
    return Spots(((0.0, -29.0, 1.0),), (between(rng, 1, 4),), log_between(rng, 60, 350), smooth_field(rng, 5))


def _ganglia(rng: np.random.Generator) -> Spots:
    radius = between(rng, 1.5, 6)
    centres = ((19.0, -3.0, -1.0), (-19.0, -3.0, -1.0))
    return Spots(centres, (radius, radius * between(rng, 0.7, 1.2)), log_between(rng, 48, 150), smooth_field(rng, 5))


def _clips(rng: np.random.Generator) -> Spots:
    centre = tuple(float(v) for v in rng.uniform((-45, -20, -20), (45, 30, 40)))
    return Spots(((centre[0], centre[1], centre[2]),), (between(rng, 1.5, 3.5),), 2500.0, smooth_field(rng, 6), False)


def _region(rng: np.random.Generator) -> Region:
    centre = rng.uniform((-60, -90, -40), (60, 55, 60)).astype(np.float32)
    kind = int(rng.integers(3))
    return Region(
        centre,
        log_between(rng, 6, 38),
        smooth_field(rng, 18),
        (-between(rng, 4, 15), 0.0, between(rng, 2, 9))[kind],
        kind == 1,
        between(rng, 2, 8) if kind == 2 and chance(rng, 0.5) else 0.0,
    )
