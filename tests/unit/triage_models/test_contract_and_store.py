"""A site's own model enters whole and verified, and switching is one step."""

import json
import shutil
from pathlib import Path

import pytest

from triage_models.contract import verify
from triage_models.errors import ManifestError
from triage_models.reader import SHIPPED
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
    checks = verify(SHIPPED)
    assert [c for c in checks if not c.passed] == []
    assert len(checks) == 6


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
