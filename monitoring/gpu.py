"""What an NVIDIA GPU says of itself, where there is one: how busy, how full, how hot, and whether it makes errors.

By NVIDIA's management library (NVML), which comes with the driver; its Python binding is in the ``gpu`` extra. Looks at
each scrape. A GPU is named by its index on the machine, never by its serial number.
"""

import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

journal = logging.getLogger(__name__)


def watch_gpus(registry: CollectorRegistry) -> bool:
    """Tell of the GPUs of this machine; False where there is none, or no binding to ask it."""
    try:
        import pynvml
    except ImportError:
        return False
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return False  # no driver, or none that answers: the runtimes say what they read on
    if count:
        GpuMetrics(registry, pynvml)
        journal.info("watching GPUs", extra={"count": count})
    return bool(count)


Families = tuple[
    GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily
]


def declared() -> Families:
    """The metrics, still empty: busy, used, size, temperature, power, errors."""
    busy = GaugeMetricFamily("tocsin_gpu_busy_ratio", "Share of the last moment in which a kernel ran.", labels=["gpu"])
    used = GaugeMetricFamily("tocsin_gpu_memory_used_bytes", "Memory in use, by whomever.", labels=["gpu"])
    size = GaugeMetricFamily("tocsin_gpu_memory_size_bytes", "Memory of the device.", labels=["gpu"])
    hot = GaugeMetricFamily("tocsin_gpu_temperature_celsius", "Temperature of the chip.", labels=["gpu"])
    watts = GaugeMetricFamily("tocsin_gpu_power_watts", "Power drawn.", labels=["gpu"])
    errors = CounterMetricFamily(
        "tocsin_gpu_uncorrected_memory_errors",
        "Memory errors since the driver's start that were not corrected.",
        labels=["gpu"],
    )
    return busy, used, size, hot, watts, errors


class GpuMetrics(Collector):
    """Registers itself. ``nvml``: the initialised binding."""

    def __init__(self, registry: CollectorRegistry, nvml: ModuleType | Any) -> None:
        self._nvml = nvml
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        families = busy, used, size, hot, watts, errors = declared()
        nvml = self._nvml
        for index, device in self._devices():
            memory = self._asked(nvml.nvmlDeviceGetMemoryInfo, device)
            rates = self._asked(nvml.nvmlDeviceGetUtilizationRates, device)
            celsius = self._asked(nvml.nvmlDeviceGetTemperature, device, nvml.NVML_TEMPERATURE_GPU)
            milliwatts = self._asked(nvml.nvmlDeviceGetPowerUsage, device)
            wrong = self._asked(
                nvml.nvmlDeviceGetTotalEccErrors,
                device,
                nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                nvml.NVML_VOLATILE_ECC,
            )
            if memory is not None:
                used.add_metric([index], memory.used)
                size.add_metric([index], memory.total)
            if rates is not None:
                busy.add_metric([index], rates.gpu / 100)
            if celsius is not None:
                hot.add_metric([index], celsius)
            if milliwatts is not None:
                watts.add_metric([index], milliwatts / 1000)
            if wrong is not None:
                errors.add_metric([index], wrong)
        yield from families

    def _devices(self) -> Iterator[tuple[str, Any]]:
        for index in range(self._asked(self._nvml.nvmlDeviceGetCount) or 0):
            device = self._asked(self._nvml.nvmlDeviceGetHandleByIndex, index)
            if device is not None:
                yield str(index), device

    def _asked(self, question: Any, *about: Any) -> Any:
        """None for what this device does not tell, or not now: a lost GPU must not take the other metrics with it."""
        try:
            return question(*about)
        except self._nvml.NVMLError:
            return None
