"""The slice network: a small residual encoder, a segmentation head at a quarter of the resolution, and a classifier
that sees both. The windows are made inside, so that a caller hands in Hounsfield units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from triage_models.framing import WINDOW_HU
from triage_models.labels import LABELS, TYPES

_SOFT_LOW_HU, _SOFT_HIGH_HU = 12.0, 72.0
_TOP_CELLS = 6


@dataclass(frozen=True)
class Widths:
    """Channels of the five stages, and residual blocks of the last three."""

    stem: int = 24
    quarter: int = 48
    eighth: int = 96
    sixteenth: int = 144
    blocks: tuple[int, int, int] = (1, 1, 1)
    embedding: int = 24
    mix_style: float = 0.0


class Windows(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """HU `[N, 1, S, S]` → channels: the brain window, the tissue level removed, and the mirror difference."""

    def forward(self, hu: Tensor) -> Tensor:
        """`[N, 3, S, S]`, all within the brain window: a saturated picture and full HU look the same."""
        x = hu.clamp(WINDOW_HU[0], WINDOW_HU[1])
        soft = ((x > _SOFT_LOW_HU) & (x < _SOFT_HIGH_HU)).to(x.dtype)
        level = (x * soft).sum((2, 3), keepdim=True) / (soft.sum((2, 3), keepdim=True) + 1.0)
        centred = ((x - level) / 20.0).clamp(-2.5, 2.5)
        smooth = functional.avg_pool2d(x, 5, stride=1, padding=2)
        mirror = ((smooth - smooth.flip(3)) / 40.0).clamp(-1.0, 1.0)
        return torch.cat([(x - 40.0) / 40.0, centred, mirror], 1)


class MixStyle(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """Mixes channel means and deviations between slices while training: new scanners for free (Zhou, ICLR 2021)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Same shape; the identity when not training."""
        if not self.training or self.share == 0:
            return x
        mean, deviation = x.mean((2, 3), keepdim=True).detach(), (x.var((2, 3), keepdim=True) + 1e-5).sqrt().detach()
        other = torch.randperm(len(x))
        weight = torch.distributions.Beta(0.2, 0.2).sample((len(x), 1, 1, 1)).to(x.dtype)
        weight = torch.where(torch.rand(len(x), 1, 1, 1) < self.share, weight, torch.ones_like(weight))
        new_mean = weight * mean + (1 - weight) * mean[other]
        new_deviation = weight * deviation + (1 - weight) * deviation[other]
        return (x - mean) / deviation * new_deviation + new_mean


class Block(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """Two 3×3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width), nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        return functional.relu(x + self.body(x))


def _conv(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, stride=2), *(Block(outputs) for _ in range(blocks)))


class SliceNetwork(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """HU → (logits `[N, 6]`, segmentation logits `[N, 5, S/4, S/4]`, embedding `[N, E]`)."""

    def __init__(self, widths: Widths | None = None, dropout: float = 0.2) -> None:
        super().__init__()
        w = widths or Widths()
        self.windows = Windows()
        self.stem = nn.Sequential(_conv(3, 16, stride=2), _conv(16, w.stem))
        self.style = MixStyle(w.mix_style)
        self.quarter = _stage(w.stem, w.quarter, w.blocks[0])
        self.eighth = _stage(w.quarter, w.eighth, w.blocks[1])
        self.sixteenth = _stage(w.eighth, w.sixteenth, w.blocks[2])
        self.down16 = nn.Conv2d(w.sixteenth, 64, 1)
        self.down8 = nn.Conv2d(w.eighth, 64, 1)
        self.mix8 = _conv(64, 48)
        self.down4 = nn.Conv2d(w.quarter, 48, 1)
        self.mix4 = _conv(48, 32)
        self.segment = nn.Conv2d(32, len(TYPES), 1)
        self.embed = nn.Sequential(nn.Linear(2 * w.sixteenth, w.embedding), nn.Tanh())
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(2 * w.sixteenth + 2 * len(TYPES), len(LABELS))

    def forward(self, hu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        c4 = self.quarter(self.style(self.stem(self.windows(hu))))
        c8 = self.eighth(self.style(c4))
        c16 = self.sixteenth(c8)
        p8 = self.mix8(self.down8(c8) + functional.interpolate(self.down16(c16), scale_factor=2.0, mode="nearest"))
        p4 = self.mix4(self.down4(c4) + functional.interpolate(p8, scale_factor=2.0, mode="nearest"))
        segmentation = self.segment(p4)
        pooled = torch.cat([c16.mean((2, 3)), c16.amax((2, 3))], 1)
        strongest = segmentation.flatten(2).topk(_TOP_CELLS, dim=2).values
        evidence = torch.cat([strongest[:, :, 0], strongest.mean(2)], 1) / 4.0
        return self.classify(torch.cat([self.drop(pooled), evidence], 1)), segmentation, self.embed(pooled)


class Exported(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """What goes into the ONNX file: a mean over the slice and its mirror image, segmentation as probability.

    One network sees both; of two, the first sees the slice and the second its mirror image, at the same cost.
    Raises ValueError for none and for more than two.
    """

    def __init__(self, networks: Sequence[SliceNetwork]) -> None:
        super().__init__()
        if len(networks) not in (1, 2):
            raise ValueError(f"a slice and its mirror image are seen by one network or two, not {len(networks)}")
        self.networks = nn.ModuleList(networks)

    def forward(self, hu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits, segmentation, embedding), named so in the file."""
        logits, segmentation, embedding = self.networks[0](hu)
        logits2, segmentation2, embedding2 = self.networks[-1](hu.flip(3))
        both = (segmentation.sigmoid() + segmentation2.flip(3).sigmoid()) / 2
        return (logits + logits2) / 2, both, (embedding + embedding2) / 2
