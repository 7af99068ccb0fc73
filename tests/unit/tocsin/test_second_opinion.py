"""``tocsin second-read``: a series in files becomes one upright volume for somebody else's program, or says why not."""

import json
import os
import stat
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from tocsin.__main__ import app
from triage_models.synthetic import generate
from triage_models.synthetic.dicom import write_series


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    series = generate(7, None, slices=8, thickness_mm=10.0, shape=(256, 256))
    files = write_series(series, tmp_path_factory.mktemp("head"))
    for path in files:
        change(path, ConvolutionKernel="H30s")
    return files


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for BLAST-CT: keeps its input, and finds 2 mL where the volume is brightest."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "blast-ct"
    path.write_text(
        f"""#!/bin/sh
cp "$2" "{tmp_path}/kept.nii.gz"
"{sys.executable}" - "$2" "$4" <<'PY'
import sys, nibabel, numpy as np
image = nibabel.load(sys.argv[1])
labels = np.zeros(image.shape, np.uint8)
labels.flat[: round(2000 / np.prod(image.header.get_zooms()))] = 1
nibabel.save(nibabel.Nifti1Image(labels, image.affine), sys.argv[2])
PY
"""
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "kept.nii.gz"


def change(path: Path, target: Path | None = None, **changes: object) -> Path:
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(target or path)
    return target or path


def second_read(*arguments: object) -> tuple[int, list[dict[str, object]]]:
    done = CliRunner().invoke(app, ["second-read", "--reader", "blast-ct", "--json", *map(str, arguments)])
    return done.exit_code, json.loads(done.stdout)


def test_the_volume_is_the_series_from_foot_to_head(head: list[Path], program: Path) -> None:
    status, (series,) = second_read(*reversed(head))
    assert status == 0
    assert series["volumes_ml"] == pytest.approx(
        {"intraparenchymal": 2.0, "extra-axial": 0, "perilesional oedema": 0, "intraventricular": 0}, abs=0.02
    )
    assert "Apache-2.0" in str(series["licence"])
    image = nibabel.load(program)
    dataset = pydicom.dcmread(head[3])
    expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    shown = np.asarray(image.dataobj)[::-1, ::-1, 3].T  # columns to the left, rows to the back
    assert series["slices"] == image.shape[2] == 8
    assert image.header.get_zooms()[2] == pytest.approx(10.0, abs=0.1)
    assert np.abs(shown - expected).max() <= 1


def test_a_series_that_is_upside_down_is_turned(head: list[Path], program: Path, tmp_path: Path) -> None:
    second_read(*head)
    upright = np.asarray(nibabel.load(program).dataobj)
    turned = []
    for n, path in enumerate(head):
        dataset = pydicom.dcmread(path)
        row, column = dataset.ImageOrientationPatient[:3], dataset.ImageOrientationPatient[3:]
        dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[::-1, ::-1]).tobytes()
        dataset.ImageOrientationPatient = [-float(v) for v in (*row, *column)]
        dataset.SeriesInstanceUID = "1.2.3.4"
        dataset.save_as(tmp_path / f"{n}.dcm")
        turned.append(tmp_path / f"{n}.dcm")
    status, _ = second_read(*turned)
    assert status == 0
    assert np.array_equal(np.asarray(nibabel.load(program).dataobj), upright)


def test_what_makes_no_volume_is_said_and_does_not_stop_the_others(
    head: list[Path], program: Path, tmp_path: Path
) -> None:
    few = [change(p, tmp_path / f"few{n}.dcm", SeriesInstanceUID="1.2.5") for n, p in enumerate(head[:2])]
    gap = [change(p, tmp_path / f"gap{n}.dcm", SeriesInstanceUID="1.2.6") for n, p in enumerate([*head[:3], *head[4:]])]
    status, found = second_read(*few, *gap, *head)
    assert status == 1
    reasons = [str(series.get("reason", "")) for series in found]
    assert "only 2 slices" in reasons[0]
    assert "apart: a volume has one spacing" in reasons[1]
    assert found[2]["volumes_ml"]


def test_a_reader_that_is_not_known_or_not_installed_is_one_sentence(head: list[Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["second-read", "--reader", "nobody", str(head[0])])
    assert "'nobody' is none of blast-ct, totalsegmentator, and no file." in str(done.exception)
    done = CliRunner().invoke(app, ["second-read", "--reader", "totalsegmentator", *map(str, head)], env={"PATH": ""})
    assert done.exit_code == 1
    assert "pip install TotalSegmentator" in done.stdout
