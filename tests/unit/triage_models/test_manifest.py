"""Weights are used only when they are the ones that the manifest describes."""

import hashlib
import json
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from triage_models.errors import ManifestError, WeightsMismatch
from triage_models.labels import LABELS
from triage_models.manifest import (
    Calibration,
    InputContract,
    Manifest,
    Quantiles,
    SeriesHead,
    Threshold,
    Thresholds,
    load_manifest,
    save_manifest,
    verified_bytes,
)

WEIGHTS = b"weights"


def a_manifest(**changes: object) -> Manifest:
    threshold = Threshold(value=0.5, alpha=0.1, n_negative=1, n_positive=1, chosen_on=date(2026, 1, 1), method="test")
    values: dict[str, object] = {
        "name": "test",
        "version": "1",
        "files": {"network.onnx": hashlib.sha256(WEIGHTS).hexdigest()},
        "network_file": "network.onnx",
        "opset": 17,
        "input": InputContract(size=64, low_hu=0, high_hu=80, margin=0.03),
        "embedding_size": 24,
        "calibration": {name: Calibration(temperature=1.0) for name in LABELS},
        "series": {name: SeriesHead(weights=(0.0, 1.0, 0.0, 0.0), bias=0.0) for name in LABELS},
        "thresholds": Thresholds(provisional=threshold, final=threshold, slice=threshold),
        "training_data": "none",
        "intended_use": "tests",
        "not_intended_for": "anything else",
        "metrics": {},
        "reference_scores": Quantiles(negative=(), positive=()),
        "code_version": "0",
        "trained_on": date(2026, 1, 1),
        "training_hardware": "none",
        "license": "Apache-2.0",
    }
    return Manifest.model_validate(values | changes)


def test_comes_back_from_disk(tmp_path: Path) -> None:
    save_manifest(tmp_path, a_manifest())
    assert load_manifest(tmp_path) == a_manifest()


def test_the_right_weights_are_handed_out(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(WEIGHTS)
    assert verified_bytes(tmp_path, a_manifest(), "network.onnx") == WEIGHTS


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(b"tampered")
    with pytest.raises(WeightsMismatch, match="sha256"):
        verified_bytes(tmp_path, a_manifest(), "network.onnx")


def test_missing_weights_are_a_manifest_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="lacks"):
        verified_bytes(tmp_path, a_manifest(), "network.onnx")


def test_a_folder_without_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no manifest\.json"):
        load_manifest(tmp_path)


def test_broken_json_says_where(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ManifestError, match="name"):
        load_manifest(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ("any",)},
        {"calibration": {}},
        {"network_file": "other.onnx"},
        {"files": {"../network.onnx": "0" * 64}, "network_file": "../network.onnx"},
        {"surprise": 1},
        {"input": {"size": 64, "low_hu": -50, "high_hu": 100, "margin": 0.03}},
        {"series": {name: {"weights": (0.0, 1.0, 0.0), "bias": 0.0} for name in LABELS}},
    ],
)
def test_an_invalid_manifest_does_not_exist(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        a_manifest(**changes)


def test_another_window_than_the_readers_is_named(tmp_path: Path) -> None:
    told = json.loads(a_manifest().model_dump_json())
    told["input"] |= {"low_hu": -50, "high_hu": 100}
    (tmp_path / "manifest.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ManifestError, match="shows a network 0 to 80 HU, not -50 to 100 HU"):
        load_manifest(tmp_path)
