"""ONNX Runtime on the CPU, in 32-bit floating point or in the quantised form of a network."""

import platform
from functools import cache
from pathlib import Path

import onnxruntime

from triage_models.runtimes.onnx_session import OnnxSession

_INT8_INSTRUCTIONS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""x86-64 VNNI and ARM64 dot product. Older x86 multiplies 8-bit numbers into 16 bits that overflow silently:
https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html, "reduce_range"."""

_INT8_SYSTEMS = frozenset({("Darwin", "arm64")})
"""Every Apple processor of this kind has the dot product; there is no /proc to ask."""


class OnnxCpu(OnnxSession):
    """`onnx-cpu` and `onnx-cpu-int8`: deterministic, one caller at a time."""

    def __init__(self, threads: int = 2, *, int8: bool = False) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        super().__init__("onnx-cpu-int8" if int8 else "onnx-cpu", ["CPUExecutionProvider"], options)
        self._int8 = int8

    def is_available(self) -> bool:
        """Always in floating point; quantised where the processor multiplies 8-bit numbers without overflow."""
        return not self._int8 or multiplies_8_bit()


@cache
def multiplies_8_bit() -> bool:
    """Has this processor an exact 8-bit dot product?"""
    if (platform.system(), platform.machine()) in _INT8_SYSTEMS:
        return True
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return not _INT8_INSTRUCTIONS.isdisjoint(told.split())
