"""The little of CUDA's runtime that the native TensorRT engine needs: device, stream, memory, graphs.

By NVIDIA's `cuda-bindings`; imported late, for it is in the `gpu` extra.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage_models.errors import InferenceFailed, RuntimeUnavailable

FLOAT_BYTES = 4


@dataclass(frozen=True)
class DeviceIdentity:
    """What an engine is made for."""

    name: str
    compute_capability: tuple[int, int]


def cudart() -> Any:
    """The runtime's module. Raises RuntimeUnavailable where it is not installed."""
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise RuntimeUnavailable("CUDA's bindings are not installed: install the `gpu` extra") from error
    return runtime


def checked(answer: tuple[Any, ...]) -> Any:
    """The value in a CUDA answer `(error, value…)`. Raises InferenceFailed with CUDA's own name of the error."""
    error, *values = answer
    if error.value != 0:
        raise InferenceFailed(f"CUDA: {error.name}")
    return values[0] if len(values) == 1 else tuple(values)


def identity() -> DeviceIdentity:
    """The first device. Raises RuntimeUnavailable where there is none, or the driver does not fit."""
    cuda = cudart()
    try:
        if checked(cuda.cudaGetDeviceCount()) < 1:
            raise RuntimeUnavailable("there is no CUDA device")
        properties = checked(cuda.cudaGetDeviceProperties(0))
    except InferenceFailed as error:
        raise RuntimeUnavailable(f"no CUDA device can be used: {error}") from error
    return DeviceIdentity(properties.name.decode(errors="replace").rstrip("\0"), (properties.major, properties.minor))


class Buffer:
    """Floats in pinned memory of the host and on the device, at addresses that stay."""

    def __init__(self, floats: int) -> None:
        cuda = cudart()
        self.bytes = floats * FLOAT_BYTES
        self.device = int(checked(cuda.cudaMalloc(self.bytes)))
        self._host = int(checked(cuda.cudaMallocHost(self.bytes)))
        self.host: NDArray[np.float32] = np.ctypeslib.as_array((ctypes.c_float * floats).from_address(self._host))

    def up(self, floats: int, stream: Any) -> None:
        """Queues the copy of the first floats to the device."""
        cuda = cudart()
        kind = cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        checked(cuda.cudaMemcpyAsync(self.device, self._host, floats * FLOAT_BYTES, kind, stream))

    def down(self, floats: int, stream: Any) -> None:
        """Queues the copy of the first floats from the device."""
        cuda = cudart()
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        checked(cuda.cudaMemcpyAsync(self._host, self.device, floats * FLOAT_BYTES, kind, stream))

    def free(self) -> None:
        """Gives both back; what a lost device answers does not matter any more."""
        cuda = cudart()
        cuda.cudaFree(self.device)
        cuda.cudaFreeHost(self._host)
