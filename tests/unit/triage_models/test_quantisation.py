"""Networks in other arithmetic answer as the shipped one does."""

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from triage_models.contract import verify
from triage_models.datasets.case import Case
from triage_models.framing import clip_window, cut, head_box
from triage_models.manifest import load_manifest, network_bytes
from triage_models.ports import Array
from triage_models.quantisation import quantise as quantising
from triage_models.quantisation.gate import LEAST_CASES
from triage_models.quantisation.quantise import INT8_FILE, QuantisationRefused, quantise
from triage_models.reader import SHIPPED, HeadSlice
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.synthetic import generate

onnx = pytest.importorskip("onnx")

from triage_models.quantisation.rewriting import (  # noqa: E402 - after the package that it needs
    before_convolutions,
    in_half_precision,
    named,
    quantised_symmetrically,
)
from triage_models.quantisation.static import convolution_depths, last_convolutions, quantised  # noqa: E402 - likewise

NETWORK = network_bytes(SHIPPED, load_manifest(SHIPPED), load_manifest(SHIPPED).network_file)


@pytest.fixture(scope="module")
def heads() -> list[HeadSlice]:
    series = generate(31, "subdural", slices=8, thickness_mm=16.0, shape=(160, 160), averaged=False)
    return [HeadSlice(v.astype(np.float32), series.pixel_spacing_mm, 16.0) for v in series.voxels_hu]


@pytest.fixture(scope="module")
def squares(heads: list[HeadSlice]) -> Array:
    windowed = [clip_window(s.voxels_hu) for s in heads]
    return np.stack([cut(w, head_box(w).grown(0.03), 160) for w in windowed])[:, None]


@pytest.fixture(scope="module")
def int8(squares: Array) -> bytes:
    return quantised(NETWORK, squares, 1)


def answers(network: bytes, squares: Array) -> dict[str, Array]:
    runtime = OnnxCpu(2)
    runtime.load(network)
    return runtime.infer(squares)


def worst(network: bytes, squares: Array, output: str) -> float:
    return float(np.abs(answers(network, squares)[output] - answers(NETWORK, squares)[output]).max())


def test_eight_bits_answer_alike_at_a_third_of_the_size(int8: bytes, squares: Array) -> None:
    assert len(int8) < len(NETWORK) / 3
    assert worst(int8, squares, "logits") < 0.3
    assert worst(int8, squares, "segmentation") < 0.15


def test_windows_first_convolutions_and_heads_stay_in_floating_point(int8: bytes) -> None:
    graph = onnx.load_model_from_string(int8).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    whole = [node for node in convolutions if made_by.get(node.input[0]) != "DequantizeLinear"]
    depths = convolution_depths(named(NETWORK).graph)
    assert sum(depth == 0 for depth in depths.values()) == 2
    assert len(last_convolutions(named(NETWORK).graph)) == 2
    assert len(whole) == 2 + 2
    assert len(convolutions) == len(depths)


def test_tensorrts_form_has_no_zero_points_and_answers_alike(int8: bytes, squares: Array) -> None:
    symmetric = quantised_symmetrically(int8)
    graph = onnx.load_model_from_string(symmetric).graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    scaled = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert scaled
    for node in scaled:
        assert values[node.input[2]].dtype == np.int8
        assert not values[node.input[2]].any()
    assert worst(symmetric, squares, "logits") < 0.5


def test_sixteen_bits_after_the_windows_answer_alike(squares: Array) -> None:
    half = in_half_precision(NETWORK)
    kinds = {each.data_type for each in onnx.load_model_from_string(half).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert len(half) < 0.6 * len(NETWORK)
    assert worst(half, squares, "logits") < 0.02
    assert before_convolutions(named(NETWORK).graph)


def cases(heads: list[HeadSlice], each: int) -> Iterator[Case]:
    """The same few slices as many short series: the gate counts series."""
    for k in range(2 * each):
        labels = np.zeros((2, 6), np.bool_)
        labels[:, 0] = k % 2
        chosen = (heads[k % len(heads)], heads[(k + 3) % len(heads)])
        yield Case(f"case {k}", chosen, np.array([0.0, 16.0]), labels.any(0), labels, 16.0, "H30")


def test_a_quantised_model_keeps_the_contract(heads: list[HeadSlice], squares: Array, tmp_path: Path) -> None:
    manifest = quantise(
        SHIPPED,
        tmp_path / "small",
        lambda: cases(heads, LEAST_CASES),
        "a test",
        threads=2,
        today=date(2026, 1, 1),
        say=lambda text: None,
        squares_of=lambda manifest: squares,
    )
    assert manifest.int8 is not None
    assert load_manifest(tmp_path / "small") == manifest
    assert manifest.files[INT8_FILE] == hashlib.sha256((tmp_path / "small" / INT8_FILE).read_bytes()).hexdigest()
    assert [check.name for check in verify(tmp_path / "small") if not check.passed and check.name != "latency"] == []


def test_a_refusal_writes_nothing(
    heads: list[HeadSlice], squares: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantising, "LADDER", quantising.LADDER[:1])
    with pytest.raises(QuantisationRefused, match="too few"):
        quantise(
            SHIPPED,
            tmp_path / "small",
            lambda: cases(heads, 2),
            "a test",
            threads=2,
            today=date(2026, 1, 1),
            say=lambda text: None,
            squares_of=lambda manifest: squares,
        )
    assert not (tmp_path / "small").exists()


def test_a_manifest_whose_quantised_network_was_made_from_another_is_refused(tmp_path: Path) -> None:
    text = json.loads((SHIPPED / "manifest.json").read_text())
    text["files"][INT8_FILE] = "0" * 64
    text["int8"] = {
        "network_file": INT8_FILE,
        "made_from": "1" * 64,
        "kept_whole": "",
        "calibration": "",
        "evaluation": "",
        "figures": {},
        "bounds": {},
        "made_on": "2026-01-01",
    }
    (tmp_path / "manifest.json").write_text(json.dumps(text))
    from triage_models.errors import ManifestError

    with pytest.raises(ManifestError, match="another network"):
        load_manifest(tmp_path)
