"""A second read of the whole volume, once a series is complete: MONAI's 3-D networks, selectable by name.

They are no part of the shipped model: a site with data and a GPU trains one with `tocsin model train-volume`. Input is
the series resampled to a cube of heads' boxes in the brain window; output are the six labels of the series.
"""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from triage_models.errors import ManifestError
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


@dataclass(frozen=True)
class VolumeNetwork:
    """A trained network; `calibration`: (temperature, bias) per label, empty when it was never calibrated."""

    name: str
    network: nn.Module
    calibration: Mapping[str, tuple[float, float]]

    def probabilities(self, slices: Sequence[HeadSlice]) -> list[float]:
        """By label, of slices from foot to head."""
        with torch.no_grad():
            logits = self.network(torch.from_numpy(volume_of(slices))[None])[0].tolist()
        fits = [self.calibration.get(label, (1.0, 0.0)) for label in LABELS]
        scaled = [value / temperature + bias for value, (temperature, bias) in zip(logits, fits, strict=True)]
        return [float(value) for value in torch.tensor(scaled).sigmoid()]


def read_state(path: Path) -> VolumeNetwork:
    """What `volume_fit` wrote. Raises ManifestError for anything else."""
    try:
        kept = torch.load(path, weights_only=True, map_location="cpu")
        name = kept["network"]
        network = VOLUME_NETWORKS[name]()
        network.load_state_dict(kept["state"])
        calibration = {str(label): (float(t), float(b)) for label, (t, b) in kept.get("calibration", {}).items()}
    except (
        *(OSError, pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError),
        *(RuntimeError, AttributeError, ValueError),
    ) as error:
        raise ManifestError(f"{path} is no state of a 3-D network ({type(error).__name__})") from error
    return VolumeNetwork(name, network.eval(), calibration)
