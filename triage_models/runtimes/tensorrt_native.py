"""TensorRT's own engine on an NVIDIA GPU: built ahead by `tocsin model build`, read from the cache, never built here.

Two optimisation profiles: one slice, for the first slice of a patient, and up to MOST_SLICES. Each has its execution
context, its stream, pinned buffers that stay, and one CUDA graph per batch size, which replays copy, network and copy
back with a single launch.
"""

import hashlib
import importlib.util
import logging
from pathlib import Path
from typing import Any

import numpy as np

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.ports import OUTPUTS, Array
from triage_models.runtimes import engine_cache
from triage_models.runtimes.cuda_device import Buffer, checked, cudart, identity
from triage_models.runtimes.engine_cache import EngineKey
from triage_models.runtimes.onnx_cuda import device_present

logger = logging.getLogger(__name__)

INPUT = "hu"
MOST_SLICES = 32
BATCHES = ((1, 1, 1), (1, 16, MOST_SLICES))
"""(least, best, most) slices of each optimisation profile."""


def tensorrt() -> Any:
    """TensorRT's module. Raises RuntimeUnavailable where it is not installed, or its libraries are not found."""
    try:
        import tensorrt as module
    except (ImportError, OSError) as error:
        raise RuntimeUnavailable(f"TensorRT cannot be imported ({error}): install the `gpu` extra") from error
    return module


def key_of(runtime: str, network: bytes) -> EngineKey:
    """What an engine for this network on this machine is filed under. Raises RuntimeUnavailable without a GPU."""
    return EngineKey(
        runtime=runtime,
        device=identity(),
        tensorrt=tensorrt().__version__,
        network_sha256=hashlib.sha256(network).hexdigest(),
        batches=BATCHES,
    )


def make_log(trt: Any) -> Any:
    """A logger for TensorRT that keeps its last complaints: its calls answer False and tell the reason there only."""

    class Log(trt.ILogger):  # type: ignore[misc]  # TensorRT ships no types
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.complaints: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.complaints = [*self.complaints[-9:], msg]
                logger.error("TensorRT: %s", msg)

        def told(self) -> str:
            """What was complained of since the last time."""
            text, self.complaints = "; ".join(self.complaints), []
            return text or "TensorRT gives no reason"

    return Log()


class TensorRt:
    """`tensorrt-fp16` and `tensorrt-int8`: one caller at a time."""

    def __init__(self, name: str, engines: Path) -> None:
        self._name = name
        self._engines = engines
        self._lanes: list[_Lane] = []

    @property
    def name(self) -> str:
        """For findings, logs and metrics."""
        return self._name

    def is_available(self) -> bool:
        """True where TensorRT is installed, a device file is there and an engine of this kind was built."""
        installed = all(importlib.util.find_spec(name) is not None for name in ("tensorrt", "cuda"))
        return installed and device_present() and engine_cache.any_engine(self._engines, self._name)

    def load(self, network: bytes) -> None:
        """Reads the engine that was built for this network. Raises RuntimeUnavailable when there is none."""
        trt = tensorrt()
        plan = engine_cache.read(self._engines, key_of(self._name, network))
        self._log = make_log(trt)
        self._runtime = trt.Runtime(self._log)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise InferenceFailed(f"the engine cannot be read: {self._log.told()}")
        self._engine = engine
        self._lanes = [_Lane(trt, engine, profile, self._log) for profile in range(len(BATCHES))]

    def infer(self, batch: Array) -> dict[str, Array]:
        """Runs one batch; more than MOST_SLICES in several."""
        if not self._lanes:
            raise InferenceFailed("no engine is loaded")
        if len(batch) > MOST_SLICES:
            parts = [self.infer(batch[k : k + MOST_SLICES]) for k in range(0, len(batch), MOST_SLICES)]
            return {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}
        return self._lanes[0 if len(batch) == 1 else 1].infer(batch)

    def __del__(self) -> None:
        for lane in self._lanes:
            lane.close()


class _Lane:
    """One optimisation profile: context, stream, buffers and captured graphs."""

    def __init__(self, trt: Any, engine: Any, profile: int, log: Any) -> None:
        cuda = cudart()
        self._log = log
        self._buffers: dict[str, Buffer] = {}
        self._graphs: dict[int, Any] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._stream = checked(cuda.cudaStreamCreateWithFlags(cuda.cudaStreamNonBlocking))
        self._context = engine.create_execution_context()
        if self._context is None:
            raise InferenceFailed(f"no execution context: {log.told()}")
        if not self._context.set_optimization_profile_async(profile, int(self._stream)):
            raise InferenceFailed(f"profile {profile} cannot be used: {log.told()}")
        for name in (INPUT, *OUTPUTS):
            if engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
                raise InferenceFailed(f"the engine's {name!r} is not 32-bit floating point")
        most = BATCHES[profile][2]
        self._context.set_input_shape(INPUT, (most, *tuple(engine.get_tensor_shape(INPUT))[1:]))
        for name in (INPUT, *OUTPUTS):
            shape = tuple(self._context.get_tensor_shape(name))
            self._shapes[name] = shape[1:]
            self._buffers[name] = Buffer(int(np.prod(shape)))
            self._context.set_tensor_address(name, self._buffers[name].device)

    def infer(self, batch: Array) -> dict[str, Array]:
        """Replays the graph of this batch size, captured at its first use."""
        cuda, count = cudart(), len(batch)
        if batch.shape[1:] != self._shapes[INPUT]:
            raise InferenceFailed(f"the engine takes slices of {self._shapes[INPUT]}, not {batch.shape[1:]}")
        self._buffers[INPUT].host[: batch.size] = batch.ravel()
        if count not in self._graphs:
            self._graphs[count] = self._captured(count, batch.shape)
        checked(cuda.cudaGraphLaunch(self._graphs[count], self._stream))
        checked(cuda.cudaStreamSynchronize(self._stream))
        return {name: self._answer(name, count) for name in OUTPUTS}

    def _captured(self, count: int, shape: tuple[int, ...]) -> Any:
        """A graph of copy, network and copy back; run once before, as TensorRT asks, to set the context up."""
        cuda = cudart()
        if not self._context.set_input_shape(INPUT, shape):
            raise InferenceFailed(f"the engine refuses a batch of {count}: {self._log.told()}")
        self._enqueue(count)
        checked(cuda.cudaStreamSynchronize(self._stream))
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            self._enqueue(count)
        finally:
            graph = checked(cuda.cudaStreamEndCapture(self._stream))
        executable = checked(cuda.cudaGraphInstantiate(graph, 0))
        checked(cuda.cudaGraphDestroy(graph))
        return executable

    def _enqueue(self, count: int) -> None:
        self._buffers[INPUT].up(count * int(np.prod(self._shapes[INPUT])), self._stream)
        if not self._context.execute_async_v3(int(self._stream)):
            raise InferenceFailed(f"the engine did not run: {self._log.told()}")
        for name in OUTPUTS:
            self._buffers[name].down(count * int(np.prod(self._shapes[name])), self._stream)

    def _answer(self, name: str, count: int) -> Array:
        shape = (count, *self._shapes[name])
        return self._buffers[name].host[: int(np.prod(shape))].reshape(shape).copy()

    def close(self) -> None:
        """Gives memory and stream back."""
        cuda = cudart()
        for graph in self._graphs.values():
            cuda.cudaGraphExecDestroy(graph)
        for buffer in self._buffers.values():
            buffer.free()
        cuda.cudaStreamDestroy(self._stream)
