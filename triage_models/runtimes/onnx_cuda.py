"""ONNX Runtime on an NVIDIA GPU: its CUDA execution provider, with outputs bound to memory of the device."""

from pathlib import Path

import onnxruntime

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.ports import OUTPUTS, Array
from triage_models.runtimes.onnx_session import OnnxSession

CUDA = "CUDAExecutionProvider"
DEVICE_FILES = (Path("/dev/nvidia0"), Path("/dev/nvhost-gpu"), Path("/dev/dxg"))
"""A discrete GPU, a Jetson, Windows' subsystem for Linux."""


def device_present() -> bool:
    """Is there an NVIDIA GPU, as far as the operating system knows?"""
    return any(path.exists() for path in DEVICE_FILES)


class OnnxCuda(OnnxSession):
    """`onnx-cuda`: one caller at a time."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        settings = {
            "device_id": "0",
            "cudnn_conv_algo_search": "EXHAUSTIVE",
            "cudnn_conv_use_max_workspace": "1",
            "use_tf32": "1",
        }
        super().__init__("onnx-cuda", [(CUDA, settings)], options)
        self._bound: dict[tuple[int, ...], onnxruntime.IOBinding] = {}

    def is_available(self) -> bool:
        """True where this ONNX Runtime has CUDA and a device file is there."""
        return CUDA in onnxruntime.get_available_providers() and device_present()

    def load(self, network: bytes) -> None:
        """Raises RuntimeUnavailable where ONNX Runtime took the CPU instead, as it does without an error."""
        if CUDA not in onnxruntime.get_available_providers():
            raise RuntimeUnavailable("this ONNX Runtime has no CUDA: install the `gpu` extra")
        self._bound.clear()
        super().load(network)
        if CUDA not in self.session.get_providers():
            self._session = None
            raise RuntimeUnavailable("ONNX Runtime could not start CUDA: driver, CUDA libraries or device are missing")

    def infer(self, batch: Array) -> dict[str, Array]:
        """Copies the batch to the device, runs, copies the answer back."""
        session = self.session
        try:
            binding = self._binding(session, batch)
            session.run_with_iobinding(binding)
            answers = binding.copy_outputs_to_cpu()
        except Exception as error:  # boundary: as in OnnxSession
            self._bound.clear()
            raise InferenceFailed(f"CUDA failed on a batch of shape {batch.shape}: {error}") from error
        return dict(zip(OUTPUTS, answers, strict=True))

    def _binding(self, session: onnxruntime.InferenceSession, batch: Array) -> onnxruntime.IOBinding:
        """One binding per batch size; the outputs of the last batch of that size are its buffers."""
        binding = self._bound.get(batch.shape)
        if binding is None:
            binding = session.io_binding()
            for name in OUTPUTS:
                binding.bind_output(name, "cuda", 0)
            self._bound[batch.shape] = binding
        binding.bind_cpu_input(session.get_inputs()[0].name, batch)
        return binding
