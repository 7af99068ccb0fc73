"""The shipped architecture as a plain torch function, for timing."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from triage_models.training.network import Exported, SliceNetwork


def plain_torch(threads: int) -> Callable[[NDArray[np.float32]], object]:
    """`[N, 1, S, S]` HU → the network's outputs, with random weights, on `threads` threads."""
    torch.set_num_threads(threads)
    model = Exported([SliceNetwork(), SliceNetwork()]).eval()

    def forward(batch: NDArray[np.float32]) -> object:
        with torch.no_grad():
            return model(torch.from_numpy(batch))

    return forward
