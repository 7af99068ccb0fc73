"""A site's own model enters whole and verified, and switching is one step."""

import hashlib
import json
import lzma
import shutil
from pathlib import Path

import pytest

from triage_models.contract import verify
from triage_models.errors import ManifestError
from triage_models.ports import Array
from triage_models.reader import SHIPPED
from triage_models.runtimes.onnx_cpu import OnnxCpu
from triage_models.store import ModelStore


@pytest.fixture
def own_model(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    shutil.copytree(SHIPPED, folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["name"], manifest["version"] = "site", "1.0"
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def test_the_shipped_model_keeps_the_contract() -> None:
    checks = verify(SHIPPED, OnnxCpu())
    assert [c for c in checks if not c.passed] == []
    assert [c.name for c in checks[6:]] == [
        "quantised network: shapes",
        "quantised network: finite outputs",
        "quantised network: determinism",
        "quantised network: independence of the batch",
        "quantised network: nearness",
    ]


class Away(OnnxCpu):
    """A processor that gets numbers wrong."""

    def infer(self, batch: Array) -> dict[str, Array]:
        outputs = super().infer(batch)
        return {**outputs, "logits": outputs["logits"] + 5}


def test_a_quantised_network_far_from_the_whole_one_fails() -> None:
    (check,) = (c for c in verify(SHIPPED, Away()) if not c.passed)
    assert check.name == "quantised network: nearness"


def test_a_processor_that_cannot_run_the_quantised_network_is_not_asked_to() -> None:
    class Old(OnnxCpu):
        def is_available(self) -> bool:
            return False

    assert len(verify(SHIPPED, Old())) == 6


def changed(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_another_opset_than_the_files_fails(own_model: Path) -> None:
    changed(own_model, opset=13)
    (check,) = verify(own_model)
    assert not check.passed
    assert check.detail == "the network asks for opset 17, its manifest says 13"


def test_a_quantised_network_that_is_none_fails(own_model: Path) -> None:
    spoiled = lzma.compress(b"no network")
    (own_model / "network.int8.onnx.xz").write_bytes(spoiled)
    files = json.loads((own_model / "manifest.json").read_text(encoding="utf-8"))["files"]
    changed(own_model, files=files | {"network.int8.onnx.xz": hashlib.sha256(spoiled).hexdigest()})
    assert [c.name for c in verify(own_model, OnnxCpu()) if not c.passed] == ["quantised network"]


def test_tampered_weights_fail(own_model: Path) -> None:
    with (own_model / "network.onnx.xz").open("ab") as file:
        file.write(b"x")
    (check,) = verify(own_model)
    assert not check.passed
    assert "sha256" in check.detail


def test_add_use_and_back(own_model: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    assert store.in_use() == SHIPPED
    key = store.add(own_model)
    assert store.in_use() == SHIPPED
    store.use(key)
    assert store.in_use() == tmp_path / "store" / key
    assert [m.key for m in store.models() if m.in_use] == [key]
    store.use("shipped")
    assert store.in_use() == SHIPPED


def test_a_broken_model_never_enters(own_model: Path, tmp_path: Path) -> None:
    (own_model / "network.onnx.xz").write_bytes(b"nothing")
    store = ModelStore(tmp_path / "store")
    with pytest.raises(ManifestError):
        store.add(own_model)
    assert [m.key for m in store.models()] == ["shipped"]


def test_a_version_is_added_once(own_model: Path, tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "store")
    store.add(own_model)
    with pytest.raises(ManifestError, match="already"):
        store.add(own_model)


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no model"):
        ModelStore(tmp_path).use("../elsewhere")
