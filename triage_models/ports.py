"""What the reader needs from the outside: something that runs a network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Runtime(Protocol):
    """A back end that runs the network of a model folder."""

    @property
    def name(self) -> str:
        """For logs, metrics and alerts, e.g. `onnx-cpu`."""
        ...

    def is_available(self) -> bool:
        """True when this machine can run it."""
        ...

    def load(self, network: bytes) -> None:
        """Takes the verified bytes of the network. Raises RuntimeUnavailable or InferenceFailed."""
        ...

    def infer(self, batch: Array) -> dict[str, Array]:
        """HU `[N, 1, S, S]` → `logits` `[N, 6]`, `segmentation` 0–1 `[N, 5, s, s]`, `embedding` `[N, E]`."""
        ...
