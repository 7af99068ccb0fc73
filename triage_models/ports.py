"""What the reader needs from the outside: something that runs a network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

OUTPUTS = ("logits", "segmentation", "embedding")
"""Names of a network's outputs."""


class Inference(Protocol):
    """Something that has a network and runs it."""

    @property
    def name(self) -> str:
        """Of the back end that ran the last batch, for findings, logs and metrics, e.g. `onnx-cpu`."""
        ...

    def infer(self, batch: Array) -> dict[str, Array]:
        """HU `[N, 1, S, S]` → `logits` `[N, 6]`, `segmentation` 0–1 `[N, 5, s, s]`, `embedding` `[N, E]`."""
        ...


class Runtime(Inference, Protocol):
    """A back end that runs the network of a model folder."""

    def is_available(self) -> bool:
        """True when this machine has what it takes: packages, device, engine. Cheap; no promise that `load` works."""
        ...

    def load(self, network: bytes) -> None:
        """Takes the verified bytes of the network. Raises RuntimeUnavailable or InferenceFailed."""
        ...


def nonsense(outputs: dict[str, Array], count: int) -> str | None:
    """What is wrong with a network's answer to `count` slices; None when it can be used."""
    for name in OUTPUTS:
        value = outputs.get(name)
        if value is None or value.shape[:1] != (count,) or not np.isfinite(value).all():
            return f"the network's output {name!r} is missing, misshapen or not finite"
    return None
