"""``tocsin read``: the same admission and the same reader, over files."""

import json
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from tocsin.__main__ import app
from triage_models.synthetic import generate
from triage_models.synthetic.dicom import write_series


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    series = generate(7, None, slices=8, thickness_mm=10.0, shape=(128, 128))
    return write_series(series, tmp_path_factory.mktemp("head"))


def read(*paths: Path) -> tuple[int, dict[str, list[dict[str, object]]]]:
    done = CliRunner().invoke(app, ["read", "--json", *map(str, paths)])
    return done.exit_code, json.loads(done.stdout)


def altered(path: Path, folder: Path, **changes: object) -> Path:
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    target = folder / f"{'-'.join(changes)}.dcm"
    dataset.save_as(target)
    return target


def test_a_series_is_read_slice_by_slice(head: list[Path], tmp_path: Path) -> None:
    soft = [altered(path, tmp_path / str(n), ConvolutionKernel="H30s") for n, path in _in_folders(head, tmp_path)]
    status, document = read(*soft)
    assert status == 0
    assert len(document["slices"]) == len(head)
    readable = [s for s in document["slices"] if s["reason"] is None]
    assert readable
    assert all(set(s["probabilities"]) >= {"any", "subdural"} for s in readable)  # type: ignore[call-overload]
    assert [s["position_mm"] for s in document["slices"]] == sorted(s["position_mm"] for s in document["slices"])  # type: ignore[type-var]
    assert len(document["series"]) == 1


def test_a_single_slice_without_geometry_is_read(head: list[Path], tmp_path: Path) -> None:
    single = altered(
        head[4],
        tmp_path,
        ConvolutionKernel="H30s",
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        ImageType=None,
    )
    status, document = read(single)
    assert status == 0
    assert document["slices"][0]["probabilities"]
    assert document["series"][0]["outcome"] in {"positive", "not_assessable"}


def test_what_cannot_be_read_has_its_reason(head: list[Path], tmp_path: Path) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear colleague")
    magnetic = altered(head[4], tmp_path, Modality="MR")
    scout = altered(head[4], tmp_path, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    status, document = read(text, magnetic, scout)
    assert status == 1
    assert {r["reason"] for r in document["refused"]} == {"not_dicom", "not_ct"}
    assert [s["reason"] for s in document["slices"]] == ["localizer"]


def test_a_path_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["read", str(tmp_path / "nowhere")])
    assert done.exit_code == 1
    assert "does not exist" in str(done.exception)


def _in_folders(paths: list[Path], folder: Path) -> list[tuple[int, Path]]:
    for number in range(len(paths)):
        (folder / str(number)).mkdir()
    return list(enumerate(paths))
