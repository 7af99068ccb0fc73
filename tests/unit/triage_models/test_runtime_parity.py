"""Every runtime that this machine has answers alike on the same slices; what it does not have is skipped by name."""

import numpy as np
import pytest

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.framing import clip_window, cut, head_box
from triage_models.manifest import load_manifest
from triage_models.ports import Array
from triage_models.reader import SHIPPED
from triage_models.runtimes.catalogue import CATALOGUE, Place, available, make, network_for, open_chain
from triage_models.runtimes.engine_cache import default_folder
from triage_models.runtimes.names import RuntimeName
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.runtimes.onnx_cuda import OnnxCuda, device_present
from triage_models.runtimes.tensorrt_native import TensorRt
from triage_models.runtimes.trial import trial_in_child
from triage_models.synthetic import generate

PLACE = Place(2, default_folder())
MANIFEST = load_manifest(SHIPPED)
LOGITS_APART = {True: 0.3, False: 0.02}
"""Quantised or not; TF32 and 16 bits round to about 0.01."""


@pytest.fixture(scope="module")
def squares() -> Array:
    series = generate(32, "intraparenchymal", slices=6, thickness_mm=20.0, shape=(160, 160), averaged=False)
    windowed = [clip_window(v.astype(np.float32)) for v in series.voxels_hu]
    return np.stack([cut(w, head_box(w).grown(0.03), MANIFEST.input.size) for w in windowed])[:, None]


@pytest.fixture(scope="module")
def expected(squares: Array) -> dict[str, Array]:
    runtime = OnnxCpu(2)
    runtime.load(network_for(RuntimeName.ONNX_CPU, SHIPPED, MANIFEST))
    return runtime.infer(squares)


@pytest.mark.parametrize("name", list(RuntimeName))
def test_it_answers_as_the_plain_runtime_does(name: RuntimeName, squares: Array, expected: dict[str, Array]) -> None:
    if name not in available(name.value, MANIFEST, PLACE):
        pytest.skip(f"{name} is not to be had here")
    runtime = make(name, PLACE)
    runtime.load(network_for(name, SHIPPED, MANIFEST))
    for count in (1, len(squares)):
        answer = runtime.infer(squares[:count])
        assert np.abs(answer["logits"] - expected["logits"][:count]).max() < LOGITS_APART[CATALOGUE[name].int8]
        assert np.abs(answer["segmentation"] - expected["segmentation"][:count]).max() < 0.15
        assert answer["embedding"].dtype == np.float32


@pytest.mark.parametrize("name", list(RuntimeName))
def test_nothing_loaded_is_an_error_of_ours(name: RuntimeName, squares: Array) -> None:
    with pytest.raises(InferenceFailed):
        make(name, PLACE).infer(squares[:1])


@pytest.mark.skipif(device_present(), reason="there is a GPU here")
def test_without_a_gpu_its_runtimes_say_so() -> None:
    network = network_for(RuntimeName.ONNX_CPU, SHIPPED, MANIFEST)
    for runtime in (OnnxCuda(), TensorRt("tensorrt-fp16", default_folder())):
        assert not runtime.is_available()
        with pytest.raises(RuntimeUnavailable):
            runtime.load(network)


@pytest.mark.skipif(device_present(), reason="there is a GPU here")
def test_a_gpu_that_was_asked_for_and_is_not_there_makes_the_cpu_degraded() -> None:
    chain = open_chain(SHIPPED, "onnx-cuda,onnx-cpu", PLACE)
    assert chain.expected == "onnx-cuda"
    assert [standing.phase.value for standing in chain.standings] == ["resting", "ready"]


def test_a_child_tries_a_runtime_for_real() -> None:
    assert trial_in_child("onnx-cpu", SHIPPED, 1, default_folder()) is None
    if not device_present():
        fault = trial_in_child("onnx-cuda", SHIPPED, 1, default_folder())
        assert fault is not None
        assert fault.value == "unavailable"
