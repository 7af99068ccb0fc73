"""``tocsin read``: the same admission and the same reader, over files."""

import csv
import gc
import io
import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner

from tocsin import offline
from tocsin.__main__ import app
from triage_models.reader import Reader
from triage_models.synthetic import generate
from triage_models.synthetic.dicom import write_series


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    series = generate(7, None, slices=8, thickness_mm=10.0, shape=(256, 256))
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


def grey_of(path: Path) -> np.ndarray:
    """A slice as somebody's viewer shows it: the brain window in 8 bits."""
    dataset = pydicom.dcmread(path)
    hu = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    return np.asarray(np.rint(np.clip(hu / 80, 0, 1) * 255), np.uint8)


def test_a_picture_says_what_the_slice_it_was_made_of_says(head: list[Path], tmp_path: Path) -> None:
    grey = Image.fromarray(grey_of(head[4]))
    grey.save(tmp_path / "grey.png")
    grey.convert("RGB").save(tmp_path / "colour-model.png")
    grey.convert("RGBA").save(tmp_path / "transparent.png")
    grey.save(tmp_path / "lossy.jpg", quality=95)
    grey.resize((190, 128)).save(tmp_path / "wide.png")
    Image.fromarray(grey_of(head[4]).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    _, original = read(altered(head[4], tmp_path, ConvolutionKernel="H30s"))
    expected = original["slices"][0]["probabilities"]["any"]  # type: ignore[index]
    (tmp_path / "ConvolutionKernel.dcm").unlink()
    status, document = read(tmp_path)
    assert status == 0
    assert [s["reason"] for s in document["slices"]] == [None] * 6
    for slice_ in document["slices"]:
        assert slice_["probabilities"]["any"] == pytest.approx(expected, abs=0.1), slice_["path"]  # type: ignore[index]
    assert {series["outcome"] for series in document["series"]} <= {"not_assessable", "positive"}
    assert len(document["series"]) == 6


def test_hostile_and_unusual_files_have_a_reason_each(head: list[Path], tmp_path: Path) -> None:
    grey = Image.fromarray(grey_of(head[4]))
    grey.save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").unlink()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "cut.dcm").write_bytes(head[4].read_bytes()[:3000])
    (tmp_path / "named.png").write_text("not a picture")
    noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photograph.png")
    Image.fromarray(np.zeros((8192, 4096), np.uint8)).save(tmp_path / "bomb.png")
    Image.fromarray(grey_of(head[4])[:40, :40]).save(tmp_path / "thumbnail.png")
    status, document = read(tmp_path)
    assert status == 1
    reasons = {Path(str(r["path"])).name: r["reason"] for r in document["refused"]}
    reasons |= {Path(str(s["path"])).name: s["reason"] for s in document["slices"]}
    assert set(reasons) == {path.name for path in tmp_path.iterdir()}
    assert reasons["photograph.png"] == reasons["bomb.png"] == reasons["cut.png"] == "not_a_slice"
    assert reasons["named.png"] == reasons["empty.dcm"] == "not_dicom"
    assert reasons["thumbnail.png"] == "too_small"
    assert all(reasons.values())
    comments = {Path(str(r["path"])).name: str(r["comment"]) for r in document["refused"]}
    assert "neither DICOM nor a picture" in comments["named.png"]
    assert comments["empty.dcm"] == "the file is empty"
    assert "pixels are too many" in comments["bomb.png"]


def test_a_pipe_and_a_broken_link_are_refused_and_stop_nothing(head: list[Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "link.dcm").symlink_to(tmp_path / "gone")
    altered(head[4], tmp_path, ConvolutionKernel="H30s")
    status, document = read(tmp_path)
    assert status == 0
    assert {Path(str(r["path"])).name for r in document["refused"]} == {"pipe.dcm", "link.dcm"}


def test_the_lines_say_why_in_words_and_which_files_a_series_is(head: list[Path], tmp_path: Path) -> None:
    for number, path in enumerate(head[3:5]):
        dataset = pydicom.dcmread(path)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        dataset.save_as(tmp_path / f"{number}.dcm")
    lines = CliRunner().invoke(app, ["read", str(tmp_path)]).stdout
    assert lines.count("not read: localizer (a localizer (scout) image)") == 2
    assert "(0.dcm and 1 more): NOT ASSESSABLE" in lines


def test_a_file_name_stays_on_its_line(tmp_path: Path) -> None:
    (tmp_path / "one\n\x1b[31mtwo.txt").write_text("x")
    lines = CliRunner().invoke(app, ["read", str(tmp_path)]).stdout.splitlines()
    assert len(lines) == 1
    assert "\x1b" not in lines[0]


def test_a_picture_has_no_scale_and_is_not_measured(head: list[Path], tmp_path: Path) -> None:
    series = generate(7, "epidural", slices=8, thickness_mm=10.0, shape=(128, 128))
    worst = int((series.masks > 0).sum((1, 2)).argmax())
    grey = np.asarray(np.rint(np.clip(series.voxels_hu[worst] / 80, 0, 1) * 255), np.uint8)
    Image.fromarray(grey).save(tmp_path / "epidural.png")
    _, document = read(tmp_path)
    assert document["series"][0]["outcome"] == "positive"
    assert document["series"][0]["measurements"] is None


def test_grey_values_are_not_taken_for_hounsfield_units(head: list[Path], tmp_path: Path) -> None:
    dataset = pydicom.dcmread(head[4])
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        delattr(dataset, keyword)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.ConvolutionKernel = "H30s"
    dataset.PixelData = grey_of(head[4]).tobytes()
    dataset.save_as(tmp_path / "grey.dcm")
    status, document = read(tmp_path)
    assert (status, document["slices"][0]["reason"]) == (1, "no_rescale")
    dataset.PixelData = np.rint(grey_of(head[4]) / 255 * 80).astype(np.uint8).tobytes()
    dataset.save_as(tmp_path / "grey.dcm")
    assert read(tmp_path)[0] == 0


def test_an_inverted_display_does_not_change_the_reading(head: list[Path], tmp_path: Path) -> None:
    soft = altered(head[4], tmp_path, ConvolutionKernel="H30s")
    inverted = altered(soft, tmp_path, PhotometricInterpretation="MONOCHROME1")
    one, other = (read(path)[1]["slices"][0]["probabilities"] for path in (soft, inverted))
    assert one == other


def test_the_table_has_a_row_per_slice_and_per_refused_file(head: list[Path], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    soft = altered(head[4], tmp_path, ConvolutionKernel="H30s")
    done = CliRunner().invoke(app, ["read", "--csv", str(tmp_path)])
    rows = {Path(row["path"]).name: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert done.exit_code == 0
    assert 0 <= float(rows[soft.name]["any"]) <= 1
    assert rows[soft.name]["positive"] in {"True", "False"}
    assert (rows["letter.txt"]["reason"], rows["letter.txt"]["any"]) == ("not_dicom", "")


@pytest.mark.parametrize("options", [["--json", "--csv"], ["--window", "80", "0"]])
def test_a_command_line_that_makes_no_sense_is_refused(options: list[str], tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["read", *options, str(tmp_path)]).exit_code == 2


def test_a_path_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["read", str(tmp_path / "nowhere")])
    assert done.exit_code == 1
    assert "does not exist" in str(done.exception)


def lines_of(path: Path) -> tuple[int, dict[str, str]]:
    """Exit status, and the line of each file by its name."""
    done = CliRunner().invoke(app, ["read", str(path)])
    lines = done.stdout.splitlines()
    return done.exit_code, {
        name: next(line for line in lines if f"/{name}  " in line) for name in (p.name for p in path.iterdir())
    }


def test_what_shows_no_brain_is_never_called_no_bleed(head: list[Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (256, 256), np.uint8)
    rows, columns = np.mgrid[:256, :256]
    landscape = np.asarray(120 + 60 * np.sin(columns / 40) + 40 * (rows > 150) + rng.normal(0, 8, (256, 256)), np.uint8)
    pictures = {
        "noise.png": Image.fromarray(noise),
        "noise.jpg": Image.fromarray(noise),
        "smooth-noise.png": Image.fromarray(np.asarray(rng.normal(110, 25, (256, 256)).clip(0, 255), np.uint8)),
        "deep-noise.png": Image.fromarray(rng.integers(0, 65535, (256, 256), np.uint16)),
        "transparent-noise.png": Image.fromarray(noise).convert("RGBA"),
        "landscape.jpg": Image.fromarray(landscape),
        "grey.png": Image.fromarray(np.full((256, 256), 90, np.uint8)),
        "black.png": Image.fromarray(np.zeros((256, 256), np.uint8)),
        "white.png": Image.fromarray(np.full((256, 256), 255, np.uint8)),
    }
    for name, picture in pictures.items():
        picture.save(tmp_path / name)
    _, lines = lines_of(tmp_path)
    assert set(lines) == set(pictures)
    for name, line in lines.items():
        assert "no bleed" not in line.lower(), line
        assert "not read" in line or "no brain seen" in line.lower() or name == "landscape.jpg", name
    for name in ("black.png", "white.png"):
        assert "not read: implausible_hu (no soft tissue to be seen" in lines[name]
    _, document = read(tmp_path)
    assert all(slice_.get("positive") is not False for slice_ in document["slices"])
    assert {series["outcome"] for series in document["series"]} <= {"not_assessable", "positive"}


def test_a_slice_of_something_else_is_not_called_no_bleed(head: list[Path], tmp_path: Path) -> None:
    dataset = pydicom.dcmread(head[4])
    dataset.ConvolutionKernel = "H30s"
    rows, columns = np.mgrid[: dataset.Rows, : dataset.Columns]
    across = np.hypot(rows - dataset.Rows / 2, columns - dataset.Columns / 2)
    noise = np.random.default_rng(1).normal(0, 5, across.shape)
    things = {
        "air.dcm": np.full(across.shape, -1000.0),
        "water.dcm": np.where(across < 0.4 * dataset.Rows, 10 + noise, -1000),  # a phantom for quality assurance
        "noise.dcm": 40 + 4 * noise,
    }
    for name, voxels_hu in things.items():
        stored = (voxels_hu - float(dataset.RescaleIntercept)) / float(dataset.RescaleSlope)
        low, high = (np.iinfo(np.int16).min, np.iinfo(np.int16).max) if dataset.PixelRepresentation else (0, 65535)
        dataset.PixelData = np.rint(stored).clip(low, high).astype(np.int16 if low else np.uint16).tobytes()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.save_as(tmp_path / name)
    _, lines = lines_of(tmp_path)
    assert "not read: implausible_hu" in lines["air.dcm"]
    for name in ("water.dcm", "noise.dcm"):
        assert "no brain seen" in lines[name].lower(), lines[name]


def test_a_slice_of_a_head_shows_brain(head: list[Path], tmp_path: Path) -> None:
    altered(head[4], tmp_path, ConvolutionKernel="H30s")
    _, lines = lines_of(tmp_path)
    (line,) = lines.values()
    assert "no brain seen" not in line.lower()


@pytest.mark.parametrize("share", [0.06, 0.1, 0.2, 0.25])
def test_a_picture_that_cuts_the_head_shows_brain(head: list[Path], tmp_path: Path, share: float) -> None:
    grey = grey_of(head[4])
    rows, columns = (np.flatnonzero((grey > 40).any(axis)) for axis in (1, 0))
    down, across = (np.quantile(extent, [share, 1 - share]).astype(int) for extent in (rows, columns))
    cropped = Image.fromarray(grey[down[0] : down[1], across[0] : across[1]])
    cropped.resize((231, 187)).save(tmp_path / "cropped.png")
    _, lines = lines_of(tmp_path)
    assert "no brain seen" not in lines["cropped.png"].lower()


def test_one_good_file_among_all_kinds_of_bad_ones_is_read_and_nothing_is_lost(
    head: list[Path], tmp_path: Path
) -> None:
    grey = Image.fromarray(grey_of(head[4]))
    grey.save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "whole.jpg").unlink()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("Dear colleague")
    (tmp_path / "cut.dcm").write_bytes(head[3].read_bytes()[:-5000])
    good = altered(head[4], tmp_path, ConvolutionKernel="H30s")
    (tmp_path / "deeper").mkdir()
    grey.save(tmp_path / "deeper" / "good.png")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "deeper", target_is_directory=True)
    status, document = read(tmp_path)
    assert status == 0
    refused = {Path(str(r["path"])).name: str(r["comment"]) for r in document["refused"]}
    assert set(refused) == {"cut.jpg", "empty.png", "notes.txt", "cut.dcm", "elsewhere"}
    assert "damaged picture" in refused["cut.jpg"]
    assert refused["empty.png"] == "the file is empty"
    assert "not looked into" in refused["elsewhere"]
    assert [Path(str(s["path"])).name for s in document["slices"]] == [good.name, "good.png"]
    assert all(s["reason"] is None for s in document["slices"])


def test_a_refused_file_is_missed_in_its_series(head: list[Path], tmp_path: Path) -> None:
    for number, path in enumerate(head):
        dataset = pydicom.dcmread(path)
        dataset.ConvolutionKernel = "H30s"
        dataset.save_as(tmp_path / f"{number}.dcm")
    _, document = read(tmp_path)
    assert "slices_refused" not in document["series"][0]["reasons"]  # type: ignore[operator]
    last = tmp_path / f"{len(head) - 1}.dcm"
    last.write_bytes(last.read_bytes()[:-5000])
    _, document = read(tmp_path)
    assert [Path(str(r["path"])).name for r in document["refused"]] == [last.name]
    assert "slices_refused" in document["series"][0]["reasons"]  # type: ignore[operator]
    assert document["series"][0]["outcome"] != "negative"


def test_a_file_that_changes_while_it_is_read_is_said(head: list[Path], tmp_path: Path) -> None:
    one, other = (
        altered(head[n], tmp_path / str(n), ConvolutionKernel="H30s") for n, _ in _in_folders(head[:2], tmp_path)
    )
    found = list(offline.read(_vanishing([one, other]), Reader.open()))
    assert [(r.path, r.reason) for r in found if isinstance(r, offline.Refusal)] == [(other, "not_dicom")]
    (series,) = (r for r in found if isinstance(r, offline.SeriesResult))
    assert "slices_refused" in series.finding.reasons


def _vanishing(paths: list[Path]) -> Iterator[Path]:
    yield from paths
    paths[-1].unlink()


def test_pixels_are_kept_of_one_file_at_a_time(head: list[Path], tmp_path: Path) -> None:
    few, many = (_scouts(head[4], tmp_path / str(count), count) for count in (10, 50))
    reader = Reader.open()
    list(offline.read(few, reader))  # what is loaded once
    assert _peak_bytes(many, reader) - _peak_bytes(few, reader) < 10 * SCOUT_BYTES


SCOUT_BYTES = 512 * 512 * 2


def _scouts(like: Path, folder: Path, count: int) -> list[Path]:
    """Files with pixels that nothing but the memory looks at."""
    folder.mkdir()
    dataset = pydicom.dcmread(like)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.Rows = dataset.Columns = 512
    dataset.PixelData = bytes(SCOUT_BYTES)
    paths = [folder / f"{number:03}.dcm" for number in range(count)]
    for path in paths:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.save_as(path)
    return paths


def _peak_bytes(paths: list[Path], reader: Reader) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        (result,) = offline.read(paths, reader)
        assert isinstance(result, offline.SeriesResult)
        assert len(result.slices) == len(paths)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _in_folders(paths: list[Path], folder: Path) -> list[tuple[int, Path]]:
    for number in range(len(paths)):
        (folder / str(number)).mkdir()
    return list(enumerate(paths))
