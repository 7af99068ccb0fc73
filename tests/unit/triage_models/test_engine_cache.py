"""An engine is used for exactly what it was built for."""

from dataclasses import replace
from pathlib import Path

import pytest

from triage_models.errors import RuntimeUnavailable, WeightsMismatch
from triage_models.runtimes import engine_cache
from triage_models.runtimes.cuda_device import DeviceIdentity
from triage_models.runtimes.engine_cache import EngineKey

KEY = EngineKey("tensorrt-fp16", DeviceIdentity("NVIDIA H100 80GB HBM3", (9, 0)), "11.4.0", "a" * 64, ((1, 1, 1),))


def test_an_engine_comes_back_as_it_was_built(tmp_path: Path) -> None:
    path = engine_cache.save(tmp_path, KEY, b"plan")
    assert engine_cache.read(tmp_path, KEY) == b"plan"
    assert path.name.startswith("tensorrt-fp16-nvidia-h100-80gb-hbm3-")
    assert engine_cache.any_engine(tmp_path, "tensorrt-fp16")
    assert not engine_cache.any_engine(tmp_path, "tensorrt-int8")


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, device=DeviceIdentity("NVIDIA H200", (9, 0))),
        replace(KEY, device=DeviceIdentity(KEY.device.name, (8, 0))),
        replace(KEY, tensorrt="11.5.0"),
        replace(KEY, network_sha256="b" * 64),
        replace(KEY, batches=((1, 8, 16),)),
        replace(KEY, runtime="tensorrt-int8"),
    ],
)
def test_another_device_version_network_or_shape_is_another_engine(tmp_path: Path, other: EngineKey) -> None:
    engine_cache.save(tmp_path, KEY, b"plan")
    with pytest.raises(RuntimeUnavailable, match="tocsin model build"):
        engine_cache.read(tmp_path, other)


def test_an_engine_that_was_changed_is_never_used(tmp_path: Path) -> None:
    path = engine_cache.save(tmp_path, KEY, b"plan")
    path.write_bytes(b"another")
    with pytest.raises(WeightsMismatch):
        engine_cache.read(tmp_path, KEY)
