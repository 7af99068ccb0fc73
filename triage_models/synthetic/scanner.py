"""What a CT scanner does to a head: blur, noise, hardening, streaks, motion, table.

Everything works on one slice stack `[S, h, w]` of HU in float32 and returns the same.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from triage_models.synthetic.atlas import Field
from triage_models.synthetic.randomness import between, chance, log_between


@dataclass(frozen=True)
class Scanner:
    """One scanner's settings for one series."""

    kernel: str
    kvp: int
    blur_mm: float
    sharpen: float
    noise_hu: float
    grain_mm: float
    cupping_hu: float
    rim_hu: float
    streak_hu: float
    motion_mm: float
    gain: float
    offset_hu: float
    table: bool


_SOFT = ("H30s", "J30s", "FC21", "STANDARD", "UB", "Hr38")
_SHARP = ("H60s", "FC30", "BONEPLUS")


def scanner(rng: np.random.Generator, *, shifted: bool) -> Scanner:
    """A plausible scanner; `shifted` is noisier, sharper and worse calibrated."""
    wide = 1.4 if shifted else 1.0
    sharp = chance(rng, 0.12 * wide)
    return Scanner(
        kernel=str(rng.choice(_SHARP if sharp else _SOFT)),
        kvp=int(rng.choice([100, 120, 120, 120, 130, 140])),
        blur_mm=between(rng, 0.3, 0.5) if sharp else between(rng, 0.4, 1.1),
        sharpen=between(rng, 0.4, 1.2) if sharp else (between(rng, 0.0, 0.6) if chance(rng, 0.4) else 0.0),
        noise_hu=(log_between(rng, 4, 10) if sharp else log_between(rng, 1.2, 5.5)) * wide,
        grain_mm=between(rng, 0.3, 0.6) if sharp else between(rng, 0.4, 1.2),
        cupping_hu=between(rng, -3, 4) * wide,
        rim_hu=between(rng, 0, 12) * wide if chance(rng, 0.6) else 0.0,
        streak_hu=between(rng, 0, 12) * wide if chance(rng, 0.6) else 0.0,
        motion_mm=between(rng, 0.5, 3.0) if chance(rng, 0.08 * wide) else 0.0,
        gain=between(rng, 0.97, 1.03),
        offset_hu=between(rng, -1.5, 1.5) * wide,
        table=chance(rng, 0.6),
    )


def acquire(rng: np.random.Generator, s: Scanner, stack: Field, pixel_mm: float) -> Field:
    """The stack as this scanner would have reconstructed it (before noise, see `noisy`)."""
    out = np.empty_like(stack)
    for k, plane in enumerate(stack):
        out[k] = _acquire_plane(rng, s, plane, pixel_mm)
    return out


def _acquire_plane(rng: np.random.Generator, s: Scanner, plane: Field, pixel_mm: float) -> Field:
    if s.motion_mm and chance(rng, 0.5):
        plane = _moved(rng, s, plane, pixel_mm)
    bone = np.asarray((np.clip(plane, 200, 1500) - 200) / 1300, np.float32)
    out = ndimage.gaussian_filter(plane, s.blur_mm / pixel_mm)
    if s.rim_hu:
        out = out + s.rim_hu * np.minimum(ndimage.gaussian_filter(bone, 5.0 / pixel_mm) * 2.2, 1) * (bone < 0.02)
    if s.streak_hu and bone.mean() > 0.02:
        out = out + _streaks(rng, s, bone, pixel_mm)
    if s.sharpen:
        smooth = ndimage.gaussian_filter(np.clip(out, -200, 300), 1.0 / pixel_mm)
        out = out + s.sharpen * (np.clip(out, -200, 300) - smooth)
    return np.asarray(out + _cup(s, out.shape), np.float32)


def _moved(rng: np.random.Generator, s: Scanner, plane: Field, pixel_mm: float) -> Field:
    shift = rng.normal(0, s.motion_mm / pixel_mm, 2)
    other = ndimage.shift(plane, shift, order=1, mode="nearest")
    ghost = between(rng, 0.1, 0.35)
    return np.asarray((1 - ghost) * plane + ghost * other, np.float32)


def _streaks(rng: np.random.Generator, s: Scanner, bone: Field, pixel_mm: float) -> Field:
    """Dark and bright bands along rays through much bone (interpetrous and occipital streaks)."""
    out = np.zeros_like(bone)
    for angle in (rng.normal(0, 6), between(rng, 0, 180)):
        turned = ndimage.rotate(bone[::2, ::2], angle, reshape=False, order=1)
        path = turned.mean(1)
        detail = path - ndimage.gaussian_filter1d(path, 8.0 / pixel_mm / 2)
        spread = np.repeat((detail / (np.abs(detail).max() + 1e-3))[:, None], turned.shape[1], 1)
        band = ndimage.zoom(ndimage.rotate(spread, -angle, reshape=False, order=1), 2, order=1)
        out -= s.streak_hu * band[: bone.shape[0], : bone.shape[1]] * min(1.0, float(path.max()) * 1.5)
    return out


def _cup(s: Scanner, shape: tuple[int, ...]) -> Field:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    return np.asarray(s.cupping_hu * (x * x + y * y - 0.3), np.float32)


def noisy(rng: np.random.Generator, s: Scanner, stack: Field, pixel_mm: float, thickness_mm: float) -> Field:
    """Adds correlated noise (thinner slices: more) and the scanner's calibration error."""
    sigma = s.noise_hu * float(np.clip(np.sqrt(5.0 / thickness_mm), 0.8, 2.5))
    out = np.empty_like(stack)
    for k, plane in enumerate(stack):
        grain = ndimage.gaussian_filter(rng.standard_normal(plane.shape).astype(np.float32), s.grain_mm / pixel_mm)
        body = ndimage.gaussian_filter((plane > -300).astype(np.float32)[::4, ::4], 8.0 / pixel_mm / 4)
        body = ndimage.zoom(body, 4, order=1)[: plane.shape[0], : plane.shape[1]]
        out[k] = plane + grain * (sigma / (grain.std() + 1e-6)) * (0.35 + 0.75 * body)
    return (out * s.gain + s.offset_hu * (out > -500)).astype(np.float32)


def add_table(stack: Field, rng: np.random.Generator) -> Field:
    """A curved head-rest behind the head where there is air."""
    height, width = stack.shape[1:]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    radius = between(rng, 0.42, 0.6) * width
    centre = (between(rng, 0.46, 0.5) * height, width / 2)
    r = np.hypot(y - centre[0], x - centre[1])
    thick = between(rng, 0.004, 0.015) * width
    arc = (np.abs(r - radius) < thick) & (y > centre[0] + 0.45 * radius)
    filler = (r > radius) & (r < radius + 0.04 * width) & (y > centre[0] + 0.45 * radius)
    shell, inner = between(rng, -100, 150), between(rng, -950, -700)
    out = np.where((stack < -500) & filler, inner, stack)
    return np.where((stack < -500) & arc, shell, out).astype(np.float32)
