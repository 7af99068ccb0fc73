"""ONNX Runtime on the CPU.

Session creation holds the interpreter lock for a while, `run` does not: load before the service says it is ready.
"""

import onnxruntime

from triage_models.errors import InferenceFailed
from triage_models.ports import Array


class OnnxCpu:
    """One session, deterministic, one caller at a time."""

    def __init__(self, threads: int = 2) -> None:
        self._threads = threads
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def name(self) -> str:
        """`onnx-cpu`."""
        return "onnx-cpu"

    def is_available(self) -> bool:
        """Always: it is a base dependency."""
        return True

    def load(self, network: bytes) -> None:
        """Creates the session."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # boundary: onnxruntime raises bare RuntimeErrors of many kinds
            raise InferenceFailed(f"the network cannot be loaded: {error}") from error

    def infer(self, batch: Array) -> dict[str, Array]:
        """Runs one batch."""
        if self._session is None:
            raise InferenceFailed("no network is loaded")
        names = [output.name for output in self._session.get_outputs()]
        try:
            outputs = self._session.run(names, {self._session.get_inputs()[0].name: batch})
        except Exception as error:  # boundary: as above
            raise InferenceFailed(f"the network failed on a batch of shape {batch.shape}: {error}") from error
        return dict(zip(names, outputs, strict=True))
