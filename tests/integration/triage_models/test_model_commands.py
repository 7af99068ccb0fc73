"""``tocsin model …``, ``calibrate`` and ``evaluate`` from a labelled set to a site's own model in use."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from tocsin.__main__ import app
from tocsin.errors import TocsinError
from triage_models.datasets.case import write_case
from triage_models.labels import LABELS, TYPES
from triage_models.manifest import load_manifest
from triage_models.reader import SHIPPED

VERSION = load_manifest(SHIPPED).version


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.exception or done.output
    return " ".join(done.output.split())


def problem(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert isinstance(done.exception, TocsinError)
    return str(done.exception)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four series with a bleed and four without."""
    folder = tmp_path_factory.mktemp("ward")
    for seed in range(8):
        write_case(folder, seed, "shifted", bleed_share=float(seed % 2), side=64)
    return folder


@pytest.fixture(scope="module")
def own(labelled: Path) -> Path:
    folder = labelled.parent / "own"
    run("calibrate", "--data", labelled, "--out", folder)
    return folder


def test_calibrate_says_what_it_made(labelled: Path, own: Path, tmp_path: Path) -> None:
    manifest = load_manifest(own)
    today = datetime.now(UTC).date()
    assert manifest.version.startswith(f"{VERSION}+")
    assert f"Recalibrated after that on {labelled.name} (synthetic), 8 series, " in manifest.training_data
    assert manifest.metrics == {}
    said = run("calibrate", "--data", labelled, "--model", own, "--out", tmp_path / "again", "--version", "ward-2")
    assert "59 series without a bleed are needed, and there are 4." in said
    assert load_manifest(tmp_path / "again").version == "ward-2"
    assert load_manifest(tmp_path / "again").thresholds.final.chosen_on >= today


def test_evaluate_writes_figures_and_a_page(labelled: Path, own: Path, tmp_path: Path) -> None:
    model = shutil.copytree(own, tmp_path / "model")
    figures, html = tmp_path / "figures.json", tmp_path / "page.html"
    run("evaluate", "--data", labelled, "--model", model, "--json", figures, "--html", html, "--pictures", "--record")
    told = json.loads(figures.read_text(encoding="utf-8"))
    assert told["cases"] == 8
    assert told["pictures"]["n"] > 0
    assert "Brain-windowed pictures" in html.read_text(encoding="utf-8")
    assert load_manifest(model).metrics["evaluation_series"] == 8


def test_the_shipped_model_records_nothing(labelled: Path) -> None:
    assert "stays as it is" in problem("evaluate", "--data", labelled, "--record")
    assert "stays as it is" in problem("evaluate", "--data", labelled, "--record", "--model", SHIPPED)


def test_a_recalibrated_model_is_taken_in_and_used(own: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    key = run("model", "add", own, *store).split()[1].rstrip(".")
    assert key.startswith(f"tocsin-slice-{VERSION}-")
    run("model", "use", key, *store)
    assert "●" in run("model", "list", *store).partition("shipped")[2]
    assert "FAILED" not in run("model", "verify", key, *store)
    assert "Recalibrated after that on" in " ".join(run("model", "card", "--model", own).split())


def test_make_set(tmp_path: Path) -> None:
    run("model", "make-set", "--out", tmp_path, "--cases", "1", "--first-seed", "77")
    assert [path.name for path in tmp_path.iterdir()] == ["case-00000077.npz"]


def test_a_set_without_bleeds_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path, 1, "shifted", bleed_share=0.0, side=64)
    assert "0 series with a bleed and 1 without" in problem("calibrate", "--data", tmp_path, "--out", tmp_path / "own")


def test_the_truth_of_a_synthetic_series_is_that_of_its_files(tmp_path: Path) -> None:
    study, truth = tmp_path / "study", tmp_path / "truth.npz"
    run("synth", study, "--bleed", "subdural", "--slices", "12", "--thickness", "12", "--size", "64", "--truth", truth)
    images = [dcmread(path) for path in sorted(study.iterdir())]
    with np.load(truth) as told:
        assert told["sop_instance_uids"].tolist() == [image.SOPInstanceUID for image in images]
        assert told["masks"].shape == (12, 64, 64)
        assert told["masks"].dtype == np.uint8
        assert tuple(told["label_names"]) == LABELS
        assert tuple(told["mask_names"]) == TYPES
        there = told["slice_labels"][:, LABELS.index("subdural")]
        assert there.any()
        assert ((told["masks"] == 1 + TYPES.index("subdural")).any((1, 2)) >= there).all()
        assert told["positions_mm"].tolist() == pytest.approx([float(image.SliceLocation) for image in images])
        assert told["pixel_spacing_mm"].tolist() == pytest.approx([float(v) for v in images[0].PixelSpacing], abs=1e-5)


def test_a_truth_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    truth = tmp_path / "nowhere" / "truth.npz"
    said = problem("synth", tmp_path / "study", "--slices", "1", "--size", "64", "--truth", truth)
    assert f"{truth} cannot be written" in said
