"""The runtimes by name, as settings, metrics and findings write them."""

from enum import StrEnum

from triage_models.errors import RuntimeUnavailable

AUTO = "auto"


class RuntimeName(StrEnum):
    """Best first as far as `auto` considers them, the others after them."""

    TENSORRT_INT8 = "tensorrt-int8"
    TENSORRT_FP16 = "tensorrt-fp16"
    ONNX_CUDA = "onnx-cuda"
    ONNX_CPU_INT8 = "onnx-cpu-int8"
    ONNX_CPU = "onnx-cpu"
    OPENVINO_INT8 = "openvino-int8"
    OPENVINO = "openvino"
    TORCH = "torch"


AUTOMATIC = (
    RuntimeName.TENSORRT_INT8,
    RuntimeName.TENSORRT_FP16,
    RuntimeName.ONNX_CUDA,
    RuntimeName.ONNX_CPU_INT8,
    RuntimeName.ONNX_CPU,
)
"""What `auto` considers."""


def named(runtimes: str) -> list[RuntimeName]:
    """The names in a setting: `auto`, or names separated by commas. Raises RuntimeUnavailable for an unknown one."""
    names = [name.strip() for name in runtimes.split(",") if name.strip()]
    if names == [AUTO]:
        return list(AUTOMATIC)
    unknown = [name for name in names if name not in set(RuntimeName)]
    if unknown or not names:
        known = ", ".join(RuntimeName)
        raise RuntimeUnavailable(f"{', '.join(unknown) or 'nothing'} is no runtime; there are {known}")
    return [RuntimeName(name) for name in names]
