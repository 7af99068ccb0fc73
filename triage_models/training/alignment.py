"""Domain alignment: the encoder is rewarded for features that do not tell where a slice comes from.

Maximum mean discrepancy (Gretton et al., JMLR 2012) between the features of two sources, with Gaussian kernels of
several widths around the median distance, so that scaling the features down gains nothing. Slices with and without a
bleed are compared apart: the sources differ in how many bleeds they have, and that is not to be unlearnt.
"""

import torch
from torch import Tensor, nn

_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
_LEAST_SLICES = 2
_PRESENT = 0.5


def discrepancy(one: Tensor, other: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of features `[N, F]` and `[M, F]` (biased estimate: 0 or more)."""
    both = torch.cat([one, other])
    squared = torch.cdist(both, both) ** 2
    scale = squared.detach().median().clamp_min(1e-6)
    kernel = torch.stack([torch.exp(-squared / (width * scale)) for width in _WIDTHS]).mean(0)
    n = len(one)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def misalignment(features: Tensor, sources: Tensor, labels: Tensor) -> Tensor:
    """Mean discrepancy between source 0 and source 1, bleeding and clean slices apart.

    `features` `[N, F]`, `sources` `[N]`, `labels` `[N]` 0–1. A class that a source has fewer than two of is left out.
    """
    parts = []
    for chosen in (labels >= _PRESENT, labels < _PRESENT):
        one, other = features[chosen & (sources == 0)], features[chosen & (sources == 1)]
        if min(len(one), len(other)) >= _LEAST_SLICES:
            parts.append(discrepancy(one, other))
    return torch.stack(parts).mean() if parts else features.sum() * 0.0


class Pooled:
    """Watches what reaches a network's `embed`: the encoder's pooled features of the last batch."""

    def __init__(self, embed: nn.Module) -> None:
        self.last: Tensor | None = None
        embed.register_forward_pre_hook(self._keep)

    def _keep(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.last = inputs[0]
