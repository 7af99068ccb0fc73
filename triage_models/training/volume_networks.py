"""A second read of the whole volume, once a series is complete: MONAI's 3-D networks, selectable by name.

They are no part of the shipped model: a site with data and a GPU trains one with `tocsin model train-volume`. Input is
the series resampled to a cube of heads' boxes in the brain window; output are the six labels of the series.
"""

import pickle
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from triage_models.datasets.case import Case
from triage_models.errors import DatasetError, ManifestError
from triage_models.framing import WINDOW_HU, clip_window, cut, head_box
from triage_models.labels import LABELS
from triage_models.reader import HeadSlice

DEPTH, SIDE = 32, 96
"""Slices and pixels of the volume that the networks see."""

_MARGIN = 0.03


def _resnet() -> nn.Module:
    from monai.networks.nets import resnet18

    return resnet18(spatial_dims=3, n_input_channels=1, num_classes=len(LABELS))


def _densenet() -> nn.Module:
    from monai.networks.nets import DenseNet121

    return DenseNet121(spatial_dims=3, in_channels=1, out_channels=len(LABELS))


def _vit() -> nn.Module:
    from monai.networks.nets import ViT

    vit = ViT(
        in_channels=1,
        img_size=(DEPTH, SIDE, SIDE),
        patch_size=(8, 16, 16),
        hidden_size=192,
        mlp_dim=768,
        num_layers=6,
        num_heads=6,
        classification=True,
        num_classes=len(LABELS),
        post_activation="none",
    )
    return _First(vit)


class _First(nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
    """MONAI's ViT answers with hidden states as well: only the logits are wanted."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, volume: Tensor) -> Tensor:
        """`[N, 6]`."""
        logits: Tensor = self.inner(volume)[0]
        return logits


VOLUME_NETWORKS: dict[str, Callable[[], nn.Module]] = {"resnet3d": _resnet, "densenet3d": _densenet, "vit3d": _vit}


def volume_of(slices: Sequence[HeadSlice]) -> NDArray[np.float32]:
    """`[1, DEPTH, SIDE, SIDE]`, −1 to 1, of slices from foot to head; each framed as the slice network frames it."""
    planes = []
    for one in slices:
        windowed = clip_window(one.voxels_hu)
        planes.append(cut(windowed, head_box(windowed).grown(_MARGIN), SIDE))
    stack = np.stack(planes)
    resampled = ndimage.zoom(stack, (DEPTH / len(stack), 1, 1), order=1, grid_mode=True, mode="nearest")
    middle = (WINDOW_HU[0] + WINDOW_HU[1]) / 2
    return np.asarray((resampled[None] - middle) / middle, np.float32)


def fit_volumes(
    name: str, cases: Iterable[Case], out: Path, *, steps: int, batch: int = 4, seed: int = 0
) -> list[float]:
    """Trains the named network on whole series with mirroring and window jitter; writes its state to `out`.

    Returns the loss of every step. Of the cases only the volumes are kept. Raises KeyError for an unknown name,
    DatasetError without any case.
    """
    torch.manual_seed(seed)
    network = VOLUME_NETWORKS[name]()
    pairs = [(volume_of(_foot_to_head(case)), case.labels) for case in cases]
    if not pairs:
        raise DatasetError("there is no series to learn from")
    volumes = torch.from_numpy(np.stack([volume for volume, _ in pairs]))
    labels = torch.from_numpy(np.stack([told for _, told in pairs])).float()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=0.02)
    losses = []
    network.train()
    for _ in range(steps):
        chosen = torch.randint(len(volumes), (batch,))
        loss = functional.binary_cross_entropy_with_logits(network(_jittered(volumes[chosen])), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    torch.save({"network": name, "state": network.state_dict()}, out)
    return losses


def _foot_to_head(case: Case) -> list[HeadSlice]:
    return [case.slices[k] for k in np.argsort(case.positions_mm)]


def read_state(path: Path) -> tuple[str, nn.Module]:
    """(name, network) of what `fit_volumes` wrote. Raises ManifestError for anything else."""
    try:
        kept = torch.load(path, weights_only=True)
        name = kept["network"]
        network = VOLUME_NETWORKS[name]()
        network.load_state_dict(kept["state"])
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise ManifestError(f"{path} is no state of a 3-D network ({type(error).__name__})") from error
    return name, network.eval()


def volume_probabilities(network: nn.Module, slices: Sequence[HeadSlice]) -> list[float]:
    """By label, of slices from foot to head; as the network gives them, not calibrated."""
    with torch.no_grad():
        logits: Tensor = network(torch.from_numpy(volume_of(slices))[None])
    return [float(value) for value in logits[0].sigmoid()]


def _jittered(volumes: Tensor) -> Tensor:
    shape = (len(volumes), 1, 1, 1, 1)
    mirrored = torch.where(torch.rand(shape) < 0.5, volumes.flip(4), volumes)
    return (mirrored * torch.exp(0.15 * torch.randn(shape)) + 0.1 * torch.randn(shape)).clamp(-1, 1)
