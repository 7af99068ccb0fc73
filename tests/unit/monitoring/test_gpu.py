"""GPU metrics: what a device tells is told, and what it does not tell takes nothing else with it."""

from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from monitoring.gpu import GpuMetrics, watch_gpus


class NVMLError(Exception):
    """As NVML's binding has it."""


class Driver:
    """Two devices; the second has fallen off the bus."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = NVML_MEMORY_ERROR_TYPE_UNCORRECTED = NVML_VOLATILE_ECC = 0

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index == 1:
            raise NVMLError
        return "handle"

    def nvmlDeviceGetMemoryInfo(self, _device: str) -> Any:
        return SimpleNamespace(used=3_000, total=80_000)

    def nvmlDeviceGetUtilizationRates(self, _device: str) -> Any:
        return SimpleNamespace(gpu=42, memory=7)

    def nvmlDeviceGetTemperature(self, _device: str, _sensor: int) -> int:
        return 61

    def nvmlDeviceGetPowerUsage(self, _device: str) -> int:
        return 212_500

    def nvmlDeviceGetTotalEccErrors(self, _device: str, _kind: int, _counter: int) -> int:
        raise NVMLError  # a device without ECC


def test_a_device_is_told_by_its_index_and_a_lost_one_is_left_out() -> None:
    registry = CollectorRegistry()
    GpuMetrics(registry, Driver())
    told = {(s.name, s.labels["gpu"]): s.value for family in registry.collect() for s in family.samples}
    assert told == {
        ("tocsin_gpu_busy_ratio", "0"): 0.42,
        ("tocsin_gpu_memory_used_bytes", "0"): 3_000,
        ("tocsin_gpu_memory_size_bytes", "0"): 80_000,
        ("tocsin_gpu_temperature_celsius", "0"): 61,
        ("tocsin_gpu_power_watts", "0"): 212.5,
    }


def test_the_binding_has_what_is_called() -> None:
    pynvml = pytest.importorskip("pynvml")
    for name in vars(Driver):
        if name.startswith(("nvml", "NVML")):
            assert hasattr(pynvml, name), name


def test_without_a_gpu_nothing_is_told() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        registry = CollectorRegistry()
        assert not watch_gpus(registry)
        assert list(registry.collect()) == []
    else:
        pytest.skip("there is one here")
