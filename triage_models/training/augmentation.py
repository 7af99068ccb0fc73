"""Domain randomisation on a batch: what happens to a head between the scanner and whoever hands it to us.

Geometry (pose, aspect ratio, tight and cut crops), intensity (window, gamma, bias field), texture (noise, blur,
sharpening, coarse grey levels) and mixing. Law: the labels follow the pixels; a bleed cropped away is no bleed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from triage_models.labels import TYPES

_LEAST_PIXELS = 10.0


@dataclass(frozen=True)
class Strength:
    """How far a batch may be pushed: 1.0 in training, more for the shifted validation set, 0 for none."""

    geometry: float = 1.0
    intensity: float = 1.0
    texture: float = 1.0
    mixing: float = 0.3


@dataclass(frozen=True)
class Batch:
    """`hu` `[N, 1, S, S]`, `fractions` `[N, 5, S/4, S/4]`, `labels` `[N, 6]`, all float32."""

    hu: Tensor
    fractions: Tensor
    labels: Tensor


def frame(
    images_hu: Tensor, masks: Tensor, boxes: Tensor, size: int, margin: float, s: Strength, g: torch.Generator
) -> Batch:
    """Cuts the heads' boxes (`[N, 4]` top, bottom, left, right) out of `[N, H, W]` images, with random pose."""
    grid = _grid(boxes, images_hu.shape[1:], size, margin, s, g)
    hu = functional.grid_sample(images_hu[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    outside = (grid.abs() > 1).any(3)[:, None]
    hu = hu.masked_fill(outside, 0.0)
    code = functional.grid_sample(
        masks[:, None].float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    onehot = torch.cat([(code == k).float() for k in range(1, len(TYPES) + 1)], 1)
    types = (onehot.sum((2, 3)) > _LEAST_PIXELS).float()
    labels = torch.cat([types.amax(1, keepdim=True), types], 1)
    return Batch(hu, functional.avg_pool2d(onehot, 4), labels)


def _grid(boxes: Tensor, shape: torch.Size, size: int, margin: float, s: Strength, g: torch.Generator) -> Tensor:
    n, k = len(boxes), s.geometry
    middle = torch.stack([boxes[:, 0] + boxes[:, 1], boxes[:, 2] + boxes[:, 3]], 1) / 2
    half = torch.stack([boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]], 1) / 2
    angle = (torch.randn(n, generator=g) * 7 * k).clamp(-25, 25) * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    turned = torch.stack(
        [
            ((half[:, 0] * cos) ** 2 + (half[:, 1] * sin) ** 2).sqrt(),
            ((half[:, 1] * cos) ** 2 + (half[:, 0] * sin) ** 2).sqrt(),
        ],
        1,
    )
    extent = turned * (1 + 2 * margin) * (1 + _uniform(g, (n, 2), -0.06, 0.08) * k)
    cropped = (torch.rand(n, 1, generator=g) < 0.15 * k).float()
    extent = extent * (1 - cropped * _uniform(g, (n, 2), 0, 0.2))
    middle = middle + turned * (_uniform(g, (n, 2), -0.05, 0.05) * k + cropped * _uniform(g, (n, 2), -0.1, 0.1))
    line = (torch.arange(size) + 0.5) / size * 2 - 1
    v, u = torch.meshgrid(line, line, indexing="ij")
    flip = torch.where(torch.rand(n, generator=g) < 0.5 * min(1.0, k), -1.0, 1.0)
    dy, dx = v[None] * extent[:, 0, None, None], u[None] * (extent[:, 1] * flip)[:, None, None]
    c, d = cos[:, None, None], sin[:, None, None]
    y = middle[:, 0, None, None] + dy * c + dx * d
    x = middle[:, 1, None, None] - dy * d + dx * c
    return torch.stack([x / shape[1] * 2 - 1, y / shape[0] * 2 - 1], 3)


def _uniform(g: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.rand(shape, generator=g) * (high - low) + low


def distort(hu: Tensor, s: Strength, g: torch.Generator) -> Tensor:
    """Texture, then intensity, then the window, then what storing a picture does: `[N, 1, S, S]` HU in, 0–80 out."""
    hu = _texture(hu.clamp(-24, 103), s.texture, g) if s.texture else hu
    hu = _intensity(hu, s.intensity, g) if s.intensity else hu
    hu = hu.clamp(0, 80)
    return _stored(hu, s.texture, g).clamp(0, 80) if s.texture else hu


def _stored(hu: Tensor, k: float, g: torch.Generator) -> Tensor:
    """A small picture enlarged again, a lossy picture, writing in the corners: each for some of the batch."""
    n, size = len(hu), hu.shape[-1]
    small = int(_uniform(g, (1,), 0.4, 0.8) * size)
    rough = functional.interpolate(hu, size=(small, small), mode="bilinear", antialias=True)
    rough = functional.interpolate(rough, size=(size, size), mode="bilinear")
    hu = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.15 * k, rough, hu)
    hu = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.2 * k, _lossy(hu, g), hu)
    return torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.08 * k, _written_on(hu, g), hu)


def _cosines() -> Tensor:
    """The 64 basis pictures of the 8×8 cosine transform, `[64, 1, 8, 8]`, orthonormal."""
    k = torch.arange(8.0)
    basis = torch.cos((2 * k[None, :] + 1) * k[:, None] * math.pi / 16) * 0.5
    basis[0] /= math.sqrt(2)
    return torch.einsum("ui,vj->uvij", basis, basis).reshape(64, 1, 8, 8)


def _lossy(hu: Tensor, g: torch.Generator) -> Tensor:
    """JPEG in essence: cosine coefficients of 8×8 blocks rounded, high frequencies more."""
    basis = _cosines()
    order = (torch.arange(8)[:, None] + torch.arange(8)[None, :]).reshape(1, 64, 1, 1).float()
    step = _uniform(g, (len(hu), 1, 1, 1), 0.5, 4.0) * (1 + 0.6 * order)
    coefficients = functional.conv2d(hu, basis, stride=8)
    return functional.conv_transpose2d((coefficients / step).round() * step, basis, stride=8)


def _written_on(hu: Tensor, g: torch.Generator) -> Tensor:
    """Bright specks in rows near a corner, like a scale or a name that was not removed."""
    n, size = len(hu), hu.shape[-1]
    cells = size // 4
    marks = (torch.rand(n, 1, cells, cells, generator=g) < 0.35).float()
    line = torch.arange(size).float() / size - 0.5
    corner = ((line[:, None].abs() > 0.36) & (line[None, :].abs() > 0.3)).float()[None, None]
    rows = (torch.arange(size) // 6 % 2 == 0).float()[None, None, :, None]
    writing = functional.interpolate(marks, size=(size, size), mode="nearest") * corner * rows
    return torch.maximum(hu, writing * _uniform(g, (n, 1, 1, 1), 40, 80))


def _texture(hu: Tensor, k: float, g: torch.Generator) -> Tensor:
    n, size = len(hu), hu.shape[-1]
    soft = functional.avg_pool2d(hu, 3, 1, 1)
    amount = _uniform(g, (n, 1, 1, 1), -0.9, 0.9) * k * (torch.rand(n, 1, 1, 1, generator=g) < 0.5)
    hu = hu + amount.clamp(-1, 1.5) * (soft - hu)
    head = (soft > 8).float()
    white = torch.randn(n, 1, size, size, generator=g)
    coarse = functional.interpolate(
        torch.randn(n, 1, size // 3, size // 3, generator=g), size=(size, size), mode="bilinear"
    )
    hu = hu + head * white * (torch.rand(n, 1, 1, 1, generator=g) ** 2 * 5 * k)
    return hu + head * coarse * (torch.rand(n, 1, 1, 1, generator=g) ** 2 * 3.5 * k)


def _intensity(hu: Tensor, k: float, g: torch.Generator) -> Tensor:
    n, size = len(hu), hu.shape[-1]
    bias = functional.interpolate(torch.randn(n, 1, 4, 4, generator=g), size=(size, size), mode="bicubic")
    hu = hu + bias * (torch.rand(n, 1, 1, 1, generator=g) ** 2 * 4 * k) * (hu > 6)
    gain = torch.exp(torch.randn(n, 1, 1, 1, generator=g) * 0.16 * k)
    shift = torch.randn(n, 1, 1, 1, generator=g) * 4.5 * k
    hu = (hu - 34) * gain + 34 + shift
    gamma = torch.exp(torch.randn(n, 1, 1, 1, generator=g) * 0.15 * k)
    curved = 80 * (hu.clamp(0, 80) / 80).clamp(min=1e-4) ** gamma
    hu = torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.3, curved, hu)
    step = _uniform(g, (n, 1, 1, 1), 0.3, 4.0)
    coarse = (hu / step).round() * step
    return torch.where(torch.rand(n, 1, 1, 1, generator=g) < 0.2, coarse, hu)


def mixed(batch: Batch, s: Strength, g: torch.Generator) -> Batch:
    """Mixup for a share of the batch, then CutMix for half that share: images, fractions and labels alike."""
    return _cutmix(_mixup(batch, s, g), s, g)


def _cutmix(batch: Batch, s: Strength, g: torch.Generator) -> Batch:
    """A rectangle from another slice; where a rectangle went in, the labels are read off the pixels again."""
    n, cells = len(batch.hu), batch.fractions.shape[-1]
    other = torch.randperm(n, generator=g)
    line = torch.arange(cells).float() / cells
    start, length = _uniform(g, (2, n, 1), 0.0, 0.7), _uniform(g, (2, n, 1), 0.2, 0.55)
    down, across = ((line[None] >= start[i]) & (line[None] < start[i] + length[i]) for i in (0, 1))
    chosen = (torch.rand(n, 1, 1, generator=g) < s.mixing / 2).float()
    patch = (down[:, :, None] & across[:, None, :]).float() * chosen
    fine = functional.interpolate(patch[:, None], scale_factor=4.0, mode="nearest")
    fractions = torch.where(patch[:, None] > 0, batch.fractions[other], batch.fractions)
    types = (fractions.sum((2, 3)) * 16 > _LEAST_PIXELS).float()
    labels = torch.cat([types.amax(1, keepdim=True), types], 1)
    labels = torch.where(chosen[:, :, 0] > 0, labels, batch.labels)
    return Batch(torch.where(fine > 0, batch.hu[other], batch.hu), fractions, labels)


def _mixup(batch: Batch, s: Strength, g: torch.Generator) -> Batch:
    n = len(batch.hu)
    chosen = (torch.rand(n, generator=g) < s.mixing).float()
    weight = 1 - chosen * _uniform(g, (n,), 0.0, 0.4)
    other = torch.randperm(n, generator=g)
    w4, w2 = weight[:, None, None, None], weight[:, None]
    return Batch(
        w4 * batch.hu + (1 - w4) * batch.hu[other],
        w4 * batch.fractions + (1 - w4) * batch.fractions[other],
        w2 * batch.labels + (1 - w2) * batch.labels[other],
    )
