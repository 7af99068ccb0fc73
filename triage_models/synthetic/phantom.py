"""A second, cruder generator: two-dimensional heads drawn from outlines, in another style each time.

It knows nothing of the atlas. A network trained on both cannot lean on what is peculiar to one of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from triage_models.labels import LABELS, TYPES
from triage_models.synthetic.atlas import Field
from triage_models.synthetic.randomness import between, chance, log_between, smoothstep


@dataclass(frozen=True)
class Phantom:
    """`voxels_hu` int16 `[H, W]`, `mask` uint8 `[H, W]` (index in LABELS), `labels` bool `[6]`."""

    voxels_hu: NDArray[np.int16]
    mask: NDArray[np.uint8]
    labels: NDArray[np.bool_]


@dataclass(frozen=True)
class _Canvas:
    """Polar coordinates around the head's middle: `radius` is 1 at the inner table."""

    x: Field
    y: Field
    radius: Field
    angle: Field
    pixel: float


def draw(seed: int, bleed: str | None, *, side: int = 256) -> Phantom:
    """One slice; without a bleed the mask is empty."""
    rng = np.random.default_rng([seed, 31])
    canvas = _canvas(rng, side)
    white = rng.normal(29, 3)
    grey = white + between(rng, 0, 11)
    fluid = between(rng, 2, 16)
    hu = _parenchyma(rng, canvas, white, grey)
    ventricle = _ventricles(rng, canvas)
    sulci = _sulci(rng, canvas)
    hu = hu + np.maximum(ventricle, sulci) * (fluid - hu)
    hu = _extras(rng, canvas, hu)
    mask = np.zeros(hu.shape, np.uint8)
    if bleed is not None:
        hu, mask = _bleed(rng, canvas, hu, bleed, ventricle, sulci)
    hu = _skull(rng, canvas, hu)
    mask[canvas.radius > 1] = 0
    hu = _scan(rng, hu)
    types = np.array([(mask == k).sum() > 18 for k in range(1, 6)])
    if not types.any():
        mask[:] = 0
    labels = np.concatenate([[types.any()], types])
    return Phantom(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), mask, labels)


def random_phantom(seed: int, bleed_share: float, side: int) -> Phantom:
    """A phantom whose bleed follows from the seed."""
    rng = np.random.default_rng([seed, 32])
    return draw(seed, str(rng.choice(TYPES)) if rng.random() < bleed_share else None, side=side)


def _canvas(rng: np.random.Generator, side: int) -> _Canvas:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    turn = np.deg2rad(rng.normal(0, 8))
    u = (x - between(rng, -0.05, 0.05)) * np.cos(turn) + (y - between(rng, -0.05, 0.05)) * np.sin(turn)
    v = -x * np.sin(turn) + y * np.cos(turn)
    long = between(rng, 0.6, 0.82)
    wide = long * between(rng, 0.7, 0.92)
    angle = np.arctan2(v / long, u / wide)
    outline = 1 + sum(between(rng, -0.02, 0.02) * np.cos(k * angle + between(rng, 0, 6.3)) for k in range(2, 7))
    radius = np.hypot(u / wide, v / long) / outline
    return _Canvas(
        (u / wide).astype(np.float32),
        (v / long).astype(np.float32),
        np.asarray(radius, np.float32),
        np.asarray(angle, np.float32),
        2 / side / long,
    )


def _noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Field:
    nodes = max(2, int(np.ceil(shape[0] / scale)) + 1)
    coarse = rng.standard_normal((nodes, nodes)).astype(np.float32)
    fine = ndimage.zoom(coarse, shape[0] / nodes, order=1 if nodes < 4 else 2)
    out = np.zeros(shape, np.float32)
    out[: fine.shape[0], : fine.shape[1]] = fine[: shape[0], : shape[1]]
    return np.asarray(out / (out.std() + 1e-6), np.float32)


def _parenchyma(rng: np.random.Generator, c: _Canvas, white: float, grey: float) -> Field:
    ribbon = between(rng, 0.8, 0.92) + 0.06 * _noise(rng, c.x.shape, between(rng, 10, 24))
    cortex = smoothstep(c.radius - ribbon, -0.03, 0.03)
    for sign in (-1, 1):
        nucleus = np.hypot((c.x - sign * between(rng, 0.25, 0.35)) / 0.14, (c.y + between(rng, -0.1, 0.15)) / 0.22)
        cortex = np.maximum(cortex, smoothstep(1 - nucleus, -0.2, 0.2))
    texture = _noise(rng, c.x.shape, between(rng, 6, 20)) * between(rng, 0, 2)
    return np.asarray(white + (grey - white) * cortex + texture, np.float32)


def _ventricles(rng: np.random.Generator, c: _Canvas) -> Field:
    """Two curved horns of random size; sometimes none (a slice above or below), sometimes a third ventricle."""
    out = np.zeros_like(c.x)
    if chance(rng, 0.25):
        return out
    size, lift, bend = between(rng, 0.03, 0.16), between(rng, -0.15, 0.15), between(rng, -0.5, 0.9)
    for sign in (-1, 1):
        length = between(rng, 0.25, 0.45)
        axis = sign * (between(rng, 0.08, 0.18) + bend * (c.y - lift) ** 2)
        thin = size * np.clip(1 - ((c.y - lift) / length) ** 2, 0, 1) * between(rng, 0.7, 1.3)
        out = np.maximum(out, smoothstep(thin - np.abs(c.x - axis), -0.01, 0.015))
    if chance(rng, 0.5):
        third = between(rng, 0.01, 0.035) - np.abs(c.x)
        out = np.maximum(out, smoothstep(third, -0.01, 0.01) * (np.abs(c.y - 0.05) < 0.16))
    return np.asarray(out, np.float32)


def _sulci(rng: np.random.Generator, c: _Canvas) -> Field:
    """Dark wavy lines near the edge, a thin rim of fluid, and a midline fissure."""
    pattern = np.abs(_noise(rng, c.x.shape, between(rng, 9, 20)))
    lines = smoothstep(between(rng, 0.05, 0.3) - pattern, -0.1, 0.1)
    depth = between(rng, 0.6, 0.85)
    lines = lines * smoothstep(c.radius, depth, depth + 0.12)
    rim = smoothstep(c.radius, 1 - between(rng, 0.005, 0.07), 1.0)
    fissure = smoothstep(between(rng, 0.0, 0.02) - np.abs(c.x), -0.012, 0.012) * (np.abs(c.y) > between(rng, 0.3, 0.6))
    return np.asarray(np.maximum(np.maximum(lines, rim), fissure), np.float32)


def _extras(rng: np.random.Generator, c: _Canvas, hu: Field) -> Field:
    """Falx, calcifications, infarcts, small bright or dark things: not bleeds."""
    if chance(rng, 0.7):
        line = smoothstep(between(rng, 0.004, 0.02) - np.abs(c.x), -0.01, 0.01) * (np.abs(c.y) > between(rng, 0.3, 0.7))
        hu = hu + line * (between(rng, 40, 70) - hu)
    for _ in range(int(rng.integers(0, 4))):
        blob = _blob(rng, c, between(rng, 0.015, 0.04))
        hu = hu + blob * (log_between(rng, 60, 300) - hu) * (between(rng, 0, 1) > 0.3)
    if chance(rng, 0.25):
        hu = hu - _blob(rng, c, between(rng, 0.1, 0.4)) * between(rng, 3, 15)
    if chance(rng, 0.2):
        hu = hu + _blob(rng, c, between(rng, 0.08, 0.3)) * between(rng, 2, 8)
    return np.asarray(hu, np.float32)


def _blob(rng: np.random.Generator, c: _Canvas, size: float) -> Field:
    where, reach = between(rng, 0, 6.3), between(rng, 0, 0.75)
    x, y = c.x - reach * np.cos(where), c.y - reach * np.sin(where)
    tilt, long = between(rng, 0, 3.2), between(rng, 1, 1.8)
    r = np.hypot((x * np.cos(tilt) + y * np.sin(tilt)) / long, -x * np.sin(tilt) + y * np.cos(tilt)) / size
    r = r * (1 + between(rng, 0, 0.3) * _noise(rng, c.x.shape, 20))
    return smoothstep(np.asarray(1 - r, np.float32), -0.02 / size, 0.02 / size)


def _bleed(
    rng: np.random.Generator, c: _Canvas, hu: Field, bleed: str, ventricle: Field, sulci: Field
) -> tuple[Field, NDArray[np.uint8]]:
    shapes: dict[str, Callable[[], Field]] = {
        "epidural": lambda: _lens(rng, c),
        "subdural": lambda: _crescent(rng, c),
        "intraparenchymal": lambda: _blob(rng, c, log_between(rng, 0.06, 0.32)) * (c.radius < 0.95),
        "intraventricular": lambda: ventricle * _half(rng, c),
        "subarachnoid": lambda: sulci * _blob(rng, c, between(rng, 0.25, 0.8)) * (c.radius < 0.99),
    }
    shape = np.asarray(shapes[bleed](), np.float32)
    if bleed == "intraparenchymal":
        edge = ndimage.gaussian_filter(shape, between(rng, 2, 6))
        hu = hu - edge * between(rng, 2, 12)
    density = rng.normal(64, 6) + _noise(rng, c.x.shape, between(rng, 6, 30)) * between(rng, 0, 6)
    hu = hu + shape * (density - hu)
    return np.asarray(hu, np.float32), np.where(shape > 0.4, LABELS.index(bleed), 0).astype(np.uint8)


def _half(rng: np.random.Generator, c: _Canvas) -> Field:
    """A part of the slice: behind a level, or one side, or all of it."""
    kind = int(rng.integers(3))
    if kind == 0:
        return smoothstep(c.y, between(rng, -0.2, 0.25), 0.3)
    return smoothstep(c.x * float(rng.choice([-1, 1])), -0.02, 0.02) if kind == 1 else np.ones_like(c.x)


def _away(rng: np.random.Generator, c: _Canvas) -> Field:
    """Angle (rad) from a random direction."""
    toward = between(rng, -np.pi, np.pi)
    return np.asarray(np.abs((c.angle - toward + np.pi) % (2 * np.pi) - np.pi), np.float32)


def _crescent(rng: np.random.Generator, c: _Canvas) -> Field:
    away = _away(rng, c) / between(rng, 0.5, 1.5)
    thick = log_between(rng, 0.04, 0.28) * np.clip(1 - away ** between(rng, 2.5, 5), 0, 1)
    thick = thick * (1 + 0.2 * _noise(rng, c.x.shape, 30))
    return np.asarray(smoothstep(c.radius - (1 - thick), -0.012, 0.012) * (thick > 0.015), np.float32)


def _lens(rng: np.random.Generator, c: _Canvas) -> Field:
    away = _away(rng, c) / between(rng, 0.25, 0.6)
    thick = between(rng, 0.1, 0.42) * np.clip(1 - away**2, 0, 1)
    return np.asarray(smoothstep(c.radius - (1 - thick), -0.012, 0.012) * (thick > 0.02), np.float32)


def _skull(rng: np.random.Generator, c: _Canvas, hu: Field) -> Field:
    thick = between(rng, 0.06, 0.16) * (1 + 0.1 * _noise(rng, c.x.shape, 60))
    bone, scalp = between(rng, 300, 1500), 1 + thick + between(rng, 0.03, 0.12)
    soft = between(rng, -100, 45)
    out = np.where(c.radius < scalp, soft, -1000.0)
    shell = smoothstep(c.radius, 1.0, 1.015) * smoothstep(1 + thick - c.radius, 0, 0.015)
    out = np.where(c.radius < 1 + thick, bone, out)
    return np.asarray(np.where(c.radius < 1, hu + shell * (bone - hu), out), np.float32)


def _scan(rng: np.random.Generator, hu: Field) -> Field:
    hu = ndimage.gaussian_filter(hu, between(rng, 0.3, 1.2))
    grain = ndimage.gaussian_filter(rng.standard_normal(hu.shape).astype(np.float32), between(rng, 0.3, 1.3))
    grain = grain / grain.std() * log_between(rng, 0.5, 7)
    return np.asarray(hu + grain * (hu > -500), np.float32)
