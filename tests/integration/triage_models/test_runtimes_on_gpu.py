"""What only a GPU can show: engines are built, answer alike, are fast, and give the slice to the CPU when they fail.

Skipped, by name, where there is no NVIDIA GPU.
"""

import time
from pathlib import Path

import numpy as np
import pytest

from triage_models.manifest import load_manifest
from triage_models.ports import Array
from triage_models.reader import SHIPPED
from triage_models.runtimes.catalogue import Place, make, network_for, open_chain
from triage_models.runtimes.names import RuntimeName
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.runtimes.onnx_cuda import device_present
from triage_models.runtimes.reference_slice import disagreement, reference_batch
from triage_models.runtimes.tensorrt_build import build
from triage_models.runtimes.tensorrt_native import MOST_SLICES
from triage_models.runtimes.torch_reference import TorchReference

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not device_present(), reason="no NVIDIA GPU here")]

MANIFEST = load_manifest(SHIPPED)
BUILT = (RuntimeName.TENSORRT_FP16, RuntimeName.TENSORRT_INT8)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    for name in BUILT:
        if name is RuntimeName.TENSORRT_FP16 or MANIFEST.int8 is not None:
            build(name, network_for(name, SHIPPED, MANIFEST), folder)
    return folder


@pytest.fixture(scope="module")
def expected() -> dict[str, Array]:
    runtime = OnnxCpu(2)
    runtime.load(network_for(RuntimeName.ONNX_CPU, SHIPPED, MANIFEST))
    return runtime.infer(reference_batch(MANIFEST.input.size))


@pytest.mark.parametrize("name", [*BUILT, RuntimeName.ONNX_CUDA])
def test_the_gpu_answers_as_the_cpu_does_at_every_batch(
    name: RuntimeName, engines: Path, expected: dict[str, Array]
) -> None:
    runtime = make(name, Place(2, engines))
    if not runtime.is_available():
        pytest.skip(f"{name} is not to be had here")
    runtime.load(network_for(name, SHIPPED, MANIFEST))
    batch = reference_batch(MANIFEST.input.size)
    for count in (1, 2, 7, MOST_SLICES, MOST_SLICES + 3):
        answer = runtime.infer(np.resize(batch, (count, *batch.shape[1:])))
        wanted = {k: np.resize(v, (count, *v.shape[1:])) for k, v in expected.items()}
        assert disagreement(answer, wanted) is None


def test_one_slice_takes_three_milliseconds_and_a_fifth_of_eager_torch(engines: Path) -> None:
    network = network_for(RuntimeName.TENSORRT_FP16, SHIPPED, MANIFEST)
    native, eager = make(RuntimeName.TENSORRT_FP16, Place(2, engines)), TorchReference(2, "cuda")
    if not eager.is_available():
        pytest.skip("PyTorch is not installed")
    one = reference_batch(MANIFEST.input.size)[:1]
    milliseconds = {}
    for runtime in (native, eager):
        runtime.load(network)
        times = []
        for _ in range(220):
            start = time.perf_counter()
            runtime.infer(one)
            times.append(1000 * (time.perf_counter() - start))
        milliseconds[runtime.name] = np.array(times[20:])
    assert np.quantile(milliseconds["tensorrt-fp16"], 0.99) <= 3.0
    assert np.median(milliseconds["torch"]) >= 5 * np.median(milliseconds["tensorrt-fp16"])


def test_the_engine_is_what_auto_takes(engines: Path) -> None:
    chain = open_chain(SHIPPED, "auto", Place(2, engines))
    assert chain.expected.startswith("tensorrt-")
    assert all(standing.phase.value == "ready" for standing in chain.standings)
