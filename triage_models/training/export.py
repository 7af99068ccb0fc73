"""From trained weights to a model folder: ONNX file, calibration, thresholds, manifest."""

import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from triage_models.training.fit import Recipe
from triage_models.training.network import Exported, SliceNetwork

OPSET = 17
NETWORK_FILE = "network.onnx.xz"
_TOLERANCE = 1e-3


def load_network(recipe: Recipe, weights: Path) -> SliceNetwork:
    """The averaged weights of a training run."""
    network = SliceNetwork(recipe.widths)
    network.load_state_dict(torch.load(weights, weights_only=True)["state"])
    network.eval()
    return network


def export_onnx(networks: Sequence[SliceNetwork], size: int, folder: Path) -> str:
    """Writes `network.onnx.xz` with a free batch axis, checked against torch; returns its sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "network.partial.onnx"
    model = Exported(networks).eval()
    example = torch.rand(2, 1, size, size) * 80
    names = ["logits", "segmentation", "embedding"]
    axes = {name: {0: "slices"} for name in ["hu", *names]}
    torch.onnx.export(
        model,
        (example,),
        str(path),
        input_names=["hu"],
        output_names=names,
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )
    _compare(model, path, example)
    packed = lzma.compress(path.read_bytes(), preset=9)
    path.unlink()
    (folder / NETWORK_FILE).write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


def _compare(model: Exported, path: Path, example: torch.Tensor) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = model(example)
    for one, other in zip(expected, session.run(None, {"hu": example.numpy()}), strict=True):
        worst = float(np.abs(one.numpy() - other).max())
        if worst > _TOLERANCE:
            raise RuntimeError(f"the exported network differs from torch by {worst}")
