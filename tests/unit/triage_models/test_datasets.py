"""Each loader reads the public set's real layout, on fixtures made here."""

import csv
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from triage_models.datasets.case import write_case
from triage_models.datasets.formats import cases_of
from triage_models.errors import DatasetError
from triage_models.labels import LABELS
from triage_models.synthetic import SyntheticSeries, generate
from triage_models.synthetic.dicom import write_series


@pytest.fixture(scope="module")
def series() -> SyntheticSeries:
    return generate(3, "subdural", slices=9, thickness_mm=16.0, shape=(64, 64))


def _rows(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _reads(folder: Path) -> None:
    """CQ500's table: two of three readers saw a subdural bleed."""
    names = ("ICH", "IPH", "IVH", "SDH", "EDH", "SAH")
    header = ["name", "Category", *(f"{r}:{n}" for r in ("R1", "R2", "R3") for n in names)]
    votes = [1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    _rows(folder / "reads.csv", header, [["CQ500-CT-7", "B1", *votes], ["CQ500-CT-8", "B1", *votes]])


def test_rsna2019(tmp_path: Path, series: SyntheticSeries) -> None:
    _rsna(tmp_path, series)
    (case,) = cases_of(tmp_path, "rsna2019")
    assert np.array_equal(case.slice_labels, series.labels)
    assert np.allclose(np.diff(case.positions_mm), 16.0, atol=1e-3)
    assert np.array_equal(case.slices[4].voxels_hu, np.clip(series.voxels_hu[4], -1024, 3071))


def test_cq500_takes_the_majority_and_the_thicker_series(tmp_path: Path, series: SyntheticSeries) -> None:
    thin = generate(3, None, slices=10, thickness_mm=1.0, shape=(64, 64))
    home = tmp_path / "CQ500CT7 CQ500CT7" / "Unknown Study"
    write_series(series, home / "CT Plain")
    write_series(thin, home / "CT Plain THIN")
    _reads(tmp_path)
    (case,) = cases_of(tmp_path, "cq500")
    assert case.labels.tolist() == [True, False, False, False, False, True]
    assert case.thickness_mm == 16.0
    assert case.slice_labels is None


def _spoil(path: Path) -> None:
    """Pixels that no decoder takes."""
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[:100]
    dataset.save_as(path)


def _rsna(folder: Path, series: SyntheticSeries) -> list[Path]:
    """The set of one series; its images, foot to head."""
    rows: list[list[object]] = []
    paths = []
    for index, path in enumerate(write_series(series, folder / "stage_2_train")):
        paths.append(path.rename(path.with_name(f"ID_{index:09x}.dcm")))
        rows += [[f"ID_{index:09x}_{name}", int(v)] for name, v in zip(LABELS, series.labels[index], strict=True)]
    _rows(folder / "stage_2_train.csv", ["ID", "Label"], rows[::-1])
    return paths


def test_a_slice_that_cannot_be_read_is_left_out_and_its_label_counts(
    tmp_path: Path, series: SyntheticSeries, caplog: pytest.LogCaptureFixture
) -> None:
    paths = _rsna(tmp_path, series)
    bleeding = np.flatnonzero(series.labels[:, 0])
    for index in bleeding[:-1]:
        _spoil(paths[index])
    paths[bleeding[-1]].write_bytes(b"no DICOM at all")
    (case,) = cases_of(tmp_path, "rsna2019")
    assert len(case.slices) == len(case.positions_mm) == 9 - len(bleeding)
    assert case.slice_labels is not None
    assert not case.slice_labels.any()
    assert case.unreadable == len(bleeding) - 1
    assert case.labels.tolist() == series.labels[bleeding[:-1]].any(0).tolist()
    assert f"{paths[bleeding[0]]} is left out" in caplog.text


def test_a_set_of_which_nothing_can_be_read_is_an_error(tmp_path: Path, series: SyntheticSeries) -> None:
    for path in _rsna(tmp_path, series):
        _spoil(path)
    with pytest.raises(DatasetError, match="no series that can be read"):
        list(cases_of(tmp_path, "rsna2019"))


@pytest.mark.parametrize(
    ("one", "other", "taken"),
    [
        ({"thickness": 16.0, "slices": 9, "kernel": "H70h"}, {"thickness": 5.0, "slices": 30}, 5.0),
        ({"thickness": 10.0, "slices": 8}, {"thickness": 5.0, "slices": 22}, 5.0),
        ({"thickness": 8.0, "slices": 15}, {"thickness": 5.0, "slices": 22}, 8.0),
        ({"thickness": 8.0, "slices": 15, "contrast": "Omnipaque"}, {"thickness": 5.0, "slices": 22}, 5.0),
    ],
)
def test_cq500_takes_the_thickest_that_covers_the_head_on_a_kernel_for_brain(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], taken: float
) -> None:
    for name, asked in (("A", one), ("B", other)):
        series = generate(3, None, slices=asked["slices"], thickness_mm=asked["thickness"], shape=(64, 64))
        for path in write_series(series, tmp_path / "CQ500CT7 CQ500CT7" / name):
            dataset = dcmread(path)
            dataset.ConvolutionKernel = asked.get("kernel", "H30s")
            dataset.ContrastBolusAgent = asked.get("contrast", "")
            dataset.save_as(path)
    _reads(tmp_path)
    (case,) = cases_of(tmp_path, "cq500")
    assert case.thickness_mm == taken


def test_cq500_takes_the_next_series_where_the_best_cannot_be_read(tmp_path: Path, series: SyntheticSeries) -> None:
    home = tmp_path / "CQ500CT7 CQ500CT7"
    for path in write_series(series, home / "A"):
        _spoil(path)
    write_series(generate(3, None, slices=30, thickness_mm=5.0, shape=(64, 64)), home / "B")
    _reads(tmp_path)
    (case,) = cases_of(tmp_path, "cq500")
    assert case.thickness_mm == 5.0


def test_ct_ich(tmp_path: Path) -> None:
    volume = np.zeros((40, 50, 3), np.float32)
    volume[5, 45, 1] = 70
    (tmp_path / "ct_scans").mkdir()
    image = nibabel.Nifti1Image(volume, np.diag([0.5, 0.5, 5.0, 1.0]))
    nibabel.save(image, tmp_path / "ct_scans" / "049.nii")
    header = [
        "PatientNumber",
        "SliceNumber",
        "Intraventricular",
        "Intraparenchymal",
        "Subarachnoid",
        "Epidural",
        "Subdural",
        "No_Hemorrhage",
        "Fracture_Yes_No",
    ]
    _rows(tmp_path / "hemorrhage_diagnosis_raw_ct.csv", header, [[49, 2, 0, 1, 0, 0, 0, 0, 1], [50, 1, *[0] * 7]])
    (case,) = cases_of(tmp_path, "ct-ich")
    assert case.slice_labels is not None
    assert case.slice_labels[:, 0].tolist() == [False, True, False]
    assert case.labels[LABELS.index("intraparenchymal")]
    assert case.slices[1].voxels_hu.shape == (50, 40)
    assert case.slices[1].voxels_hu.max() == 70


def test_synthetic_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_case(tmp_path, 12, "shifted", side=48)
    (case,) = cases_of(tmp_path, "synthetic")
    assert case.slice_labels is not None
    assert np.array_equal(case.labels, case.slice_labels.any(0))
    assert len(case.slices) == len(case.positions_mm)


@pytest.mark.parametrize("name", ["synthetic", "rsna2019", "cq500", "ct-ich"])
def test_another_layout_is_a_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match=r"(has|holds) no"):
        list(cases_of(tmp_path, name))


def test_an_unknown_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none of"):
        cases_of(tmp_path, "brats")
