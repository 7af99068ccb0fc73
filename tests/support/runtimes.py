"""Runtimes that fail as devices do, for tests only."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from triage_models.errors import InferenceFailed
from triage_models.manifest import load_manifest, network_bytes
from triage_models.ports import Array, Runtime
from triage_models.reader import SHIPPED, Reader
from triage_models.runtimes.chain import Member, RuntimeChain
from triage_models.runtimes.faults import RuntimeFault
from triage_models.runtimes.onnx_cpu import OnnxCpu

LOST = "CUDA: cudaErrorIllegalAddress"
FULL = "CUDA: cudaErrorMemoryAllocation"


class Device:
    """A device that can be pulled out: `trouble` is what it raises, or `nan`.

    Args:
        network: what it runs while it works; without one it answers the same to every slice.
    """

    def __init__(self, name: str = "onnx-cuda", network: OnnxCpu | None = None) -> None:
        self.name = name
        self.network = network
        self.trouble: str | None = None
        self.batches = 0

    def is_available(self) -> bool:
        return True

    def load(self, network: bytes) -> None:
        self._raise()
        if self.network:
            self.network.load(network)

    def infer(self, batch: Array) -> dict[str, Array]:
        self._raise()
        self.batches += 1
        answer = self.network.infer(batch) if self.network else _the_same(len(batch))
        return {k: v * np.float32("nan") for k, v in answer.items()} if self.trouble == "nan" else answer

    def _raise(self) -> None:
        if self.trouble not in (None, "nan"):
            raise InferenceFailed(str(self.trouble))


def _the_same(count: int) -> dict[str, Array]:
    shapes = {"logits": (count, 6), "segmentation": (count, 5, 40, 40), "embedding": (count, 24)}
    return {name: np.full(shape, 0.25, np.float32) for name, shape in shapes.items()}


def member(runtime: Runtime, trial: Callable[[], RuntimeFault | None] = lambda: None, model: Path = SHIPPED) -> Member:
    manifest = load_manifest(model)
    network = network_bytes(model, manifest, manifest.network_file)
    return Member(runtime.name, lambda: runtime, lambda: network, trial)


def reader_on(chain: RuntimeChain, model: Path = SHIPPED) -> Reader:
    return Reader(load_manifest(model), chain, chain.expected)
