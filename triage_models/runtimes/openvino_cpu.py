"""OpenVINO on the CPU: in 32-bit floating point, or the quantised form of a network. An alternative to ONNX Runtime."""

import importlib.util
from typing import Any

import numpy as np

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.ports import OUTPUTS, Array
from triage_models.runtimes.onnx_cpu import multiplies_8_bit


class OpenVinoCpu:
    """`openvino` and `openvino-int8`: one caller at a time."""

    def __init__(self, threads: int = 2, *, int8: bool = False) -> None:
        self._int8 = int8
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        self._request: Any = None

    @property
    def name(self) -> str:
        """For findings, logs and metrics."""
        return "openvino-int8" if self._int8 else "openvino"

    def is_available(self) -> bool:
        """True where OpenVINO is installed, and for the quantised form the processor has the instructions."""
        return importlib.util.find_spec("openvino") is not None and (not self._int8 or multiplies_8_bit())

    def load(self, network: bytes) -> None:
        """Compiles the network; seconds."""
        try:
            import openvino
        except ImportError as error:
            raise RuntimeUnavailable("OpenVINO is not installed: install the `openvino` extra") from error
        try:
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(network), "CPU", self._settings)
            self._request = compiled.create_infer_request()
        except Exception as error:  # boundary: OpenVINO raises bare RuntimeErrors
            raise InferenceFailed(f"the network cannot be loaded: {error}") from error

    def infer(self, batch: Array) -> dict[str, Array]:
        """Runs one batch."""
        if self._request is None:
            raise InferenceFailed("no network is loaded")
        try:
            self._request.infer([batch])
            return {name: np.array(self._request.get_tensor(name).data) for name in OUTPUTS}
        except Exception as error:  # boundary: as above
            raise InferenceFailed(f"the network failed on a batch of shape {batch.shape}: {error}") from error
