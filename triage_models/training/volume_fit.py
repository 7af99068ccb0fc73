"""Trains a 3-D network on whole series, chosen and calibrated on series that it did not learn from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from triage_models.datasets.case import Case
from triage_models.errors import DatasetError
from triage_models.labels import LABELS
from triage_models.reader import HeadSlice
from triage_models.training.calibration import fit_calibration
from triage_models.training.measures import auc
from triage_models.training.volume_networks import DEPTH, SIDE, VOLUME_NETWORKS, volume_of

_LOOKS = 20
_EVERY = 5


@dataclass(frozen=True)
class VolumeFit:
    """What came of a training: the loss of every step, how many series were held out, and the best AUC of `any` on
    them (None where they are not of both kinds)."""

    losses: list[float]
    held_out: int
    auc: float | None


def fit_volumes(
    name: str,
    cases: Iterable[Case],
    out: Path,
    *,
    steps: int,
    validation: Iterable[Case] | None = None,
    batch: int = 4,
    seed: int = 0,
    device: str = "cpu",
) -> VolumeFit:
    """Trains the named network on whole series with mirroring and window jitter; writes its state to `out`.

    Twenty times on the way it is looked at on `validation`, or without one on a fifth of the series of either kind;
    the best state is written, calibrated on the same series (temperature and bias per label). Where the held-out
    series do not have and lack a bleed, the last state is written as it is. Of the cases only the volumes are kept.
    Raises KeyError for an unknown name, DatasetError without any case to learn from.
    """
    torch.manual_seed(seed)
    network = VOLUME_NETWORKS[name]().to(device)
    learned, held_out = _stacked(cases), None if validation is None else _stacked(validation)
    if held_out is None:
        learned, held_out = _split(*learned)
    if not len(learned[0]):
        raise DatasetError("there is no series to learn from")
    best = _Best(network, *held_out, device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=0.02)
    losses = []
    for step in range(1, steps + 1):
        network.train()
        chosen = torch.randint(len(learned[0]), (batch,))
        volumes, labels = _jittered(learned[0][chosen]).to(device), learned[1][chosen].to(device)
        loss = functional.binary_cross_entropy_with_logits(network(volumes), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if step % max(1, steps // _LOOKS) == 0 or step == steps:
            best.look()
    torch.save({"network": name, "state": best.state(), "calibration": best.calibration()}, out)
    return VolumeFit(losses, len(held_out[0]), best.auc)


Stack = tuple[Tensor, Tensor]
"""Volumes `[N, 1, DEPTH, SIDE, SIDE]` and labels `[N, 6]`."""


def _stacked(cases: Iterable[Case]) -> Stack:
    pairs = [(volume_of(_foot_to_head(case)), case.labels) for case in cases]
    if not pairs:
        return torch.empty((0, 1, DEPTH, SIDE, SIDE)), torch.empty((0, len(LABELS)))
    volumes, labels = (np.stack(part) for part in zip(*pairs, strict=True))
    return torch.from_numpy(volumes), torch.from_numpy(labels).float()


def _split(volumes: Tensor, labels: Tensor) -> tuple[Stack, Stack]:
    """(to learn from, held out): of the series with a bleed and of those without every fifth is held out."""
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for there in (True, False):
        of_kind = torch.nonzero((labels[:, 0] > 0.5) == there).flatten()
        held_out[of_kind[_EVERY - 1 :: _EVERY]] = True
    return (volumes[~held_out], labels[~held_out]), (volumes[held_out], labels[held_out])


class _Best:
    """The state with the highest AUC on held-out series, and what they answer there."""

    def __init__(self, network: nn.Module, volumes: Tensor, labels: Tensor, device: str) -> None:
        self._network, self._volumes, self._device = network, volumes, device
        self._truth = labels.numpy() > 0.5
        self._kept: dict[str, Tensor] | None = None
        self._logits: NDArray[np.float64] | None = None
        self.auc: float | None = None

    def look(self) -> None:
        """Measures the network as it is now."""
        if len(set(self._truth[:, 0].tolist())) < 2:
            return
        self._network.eval()
        with torch.no_grad():
            parts = [self._network(part.to(self._device)).cpu() for part in self._volumes.split(4)]
        logits = torch.cat(parts).double().numpy()
        value = auc(self._truth[:, 0].astype(float), logits[:, 0])
        if self.auc is None or value > self.auc:
            self.auc, self._logits, self._kept = value, logits, self._now()

    def _now(self) -> dict[str, Tensor]:
        return {key: tensor.detach().cpu().clone() for key, tensor in self._network.state_dict().items()}

    def state(self) -> dict[str, Tensor]:
        """The best; the last where there was nothing to compare by."""
        return self._now() if self._kept is None else self._kept

    def calibration(self) -> dict[str, tuple[float, float]]:
        """(temperature, bias) per label; empty where there is nothing to calibrate on."""
        if self._logits is None:
            return {}
        fitted = fit_calibration(self._logits, self._truth)
        return {name: (one.temperature, one.bias) for name, one in fitted.items()}


def _foot_to_head(case: Case) -> list[HeadSlice]:
    return [case.slices[k] for k in np.argsort(case.positions_mm)]


def _jittered(volumes: Tensor) -> Tensor:
    shape = (len(volumes), 1, 1, 1, 1)
    mirrored = torch.where(torch.rand(shape) < 0.5, volumes.flip(4), volumes)
    return (mirrored * torch.exp(0.15 * torch.randn(shape)) + 0.1 * torch.randn(shape)).clamp(-1, 1)
