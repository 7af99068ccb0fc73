"""What can be wrong with a runtime, told from the words of what it raised: back ends raise bare errors of many kinds.

The words are those of cudaError_t, of ONNX Runtime's CUDA execution provider and of TensorRT's logger.
"""

from enum import StrEnum

from triage_models.errors import RuntimeUnavailable


class RuntimeFault(StrEnum):
    """Why a runtime did not do its work."""

    OUT_OF_MEMORY = "out_of_memory"
    DEVICE_LOST = "device_lost"
    DRIVER_MISMATCH = "driver_mismatch"
    NONSENSE = "nonsense"
    """Its answer is missing, misshapen, not finite, or far from what the other runtimes answer."""
    UNAVAILABLE = "unavailable"
    """A package, a device or an engine is not there."""
    OTHER = "other"


_WORDS: tuple[tuple[RuntimeFault, tuple[str, ...]], ...] = (
    (
        RuntimeFault.DRIVER_MISMATCH,
        (
            "insufficientdriver",
            "driver version is insufficient",
            "version mismatch",
            "drivermismatch",
            "incompatibledriver",
            "callrequiresnewerdriver",
        ),
    ),
    (
        RuntimeFault.OUT_OF_MEMORY,
        ("out of memory", "memoryallocation", "mem_alloc_failed", "bad_alloc", "failed to allocate", "bfcarena"),
    ),
    (
        RuntimeFault.DEVICE_LOST,
        (
            "illegaladdress",
            "illegal memory access",
            "launchfailure",
            "unspecified launch failure",
            "launchtimeout",
            "eccuncorrectable",
            "uncorrectable ecc",
            "contextisdestroyed",
            "devicesunavailable",
            "nodevice",
            "no cuda-capable device",
            "device lost",
            "fallen off the bus",
            "systemnotready",
            "deviceuninitialized",
            "cudaerrorcontained",
            "invalidresourcehandle",
        ),
    ),
)
"""The first line with a word that occurs decides."""


def fault_of(error: BaseException) -> RuntimeFault:
    """The fault behind an error and what caused it."""
    if isinstance(error, MemoryError):
        return RuntimeFault.OUT_OF_MEMORY
    told = _told(error)
    for fault, words in _WORDS:
        if any(word in told for word in words):
            return fault
    return RuntimeFault.UNAVAILABLE if isinstance(error, RuntimeUnavailable) else RuntimeFault.OTHER


def _told(error: BaseException | None) -> str:
    parts = []
    while error is not None:
        parts.append(f"{type(error).__name__} {error}")
        error = error.__cause__
    return " ".join(parts).lower()
