"""The opset is read from the ONNX file itself."""

import pytest

from triage_models.errors import ManifestError
from triage_models.manifest import load_manifest, network_bytes
from triage_models.opset import opset_of
from triage_models.reader import SHIPPED

ONNX_17 = b"\x42\x04\x0a\x00\x10\x11"
ML_3 = b"\x42\x0e\x0a\x0aai.onnx.ml\x10\x03"


def test_the_shipped_network() -> None:
    manifest = load_manifest(SHIPPED)
    assert opset_of(network_bytes(SHIPPED, manifest, manifest.network_file)) == manifest.opset == 17


def test_as_the_onnx_package_writes_it() -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "empty", [], [])
    imports = [onnx.helper.make_opsetid("ai.onnx.ml", 3), onnx.helper.make_opsetid("", 300)]
    assert opset_of(onnx.helper.make_model(graph, opset_imports=imports).SerializeToString()) == 300


def test_the_operators_of_others_do_not_count() -> None:
    assert opset_of(ML_3 + ONNX_17) == 17


@pytest.mark.parametrize("network", [b"", b"weights", ML_3, ONNX_17[:-2], b"\x42", b"\x40\x07", b"\x0f", b"\xff" * 9])
def test_other_bytes_are_no_network(network: bytes) -> None:
    with pytest.raises(ManifestError, match="no ONNX file"):
        opset_of(network)
