"""Each loader reads the public set's real layout, on fixtures made here."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest

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


def test_rsna2019(tmp_path: Path, series: SyntheticSeries) -> None:
    images = tmp_path / "stage_2_train"
    rows: list[list[object]] = []
    for index, path in enumerate(write_series(series, images)):
        path.rename(images / f"ID_{index:09x}.dcm")
        rows += [[f"ID_{index:09x}_{name}", int(v)] for name, v in zip(LABELS, series.labels[index], strict=True)]
    _rows(tmp_path / "stage_2_train.csv", ["ID", "Label"], rows[::-1])
    (case,) = cases_of(tmp_path, "rsna2019")
    assert np.array_equal(case.slice_labels, series.labels)
    assert np.allclose(np.diff(case.positions_mm), 16.0, atol=1e-3)
    assert np.array_equal(case.slices[4].voxels_hu, np.clip(series.voxels_hu[4], -1024, 3071))


def test_cq500_takes_the_majority_and_the_thicker_series(tmp_path: Path, series: SyntheticSeries) -> None:
    thin = generate(3, None, slices=10, thickness_mm=1.0, shape=(64, 64))
    home = tmp_path / "CQ500CT7 CQ500CT7" / "Unknown Study"
    write_series(series, home / "CT Plain")
    write_series(thin, home / "CT Plain THIN")
    names = ("ICH", "IPH", "IVH", "SDH", "EDH", "SAH")
    header = ["name", "Category", *(f"{r}:{n}" for r in ("R1", "R2", "R3") for n in names)]
    votes = [1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    _rows(tmp_path / "reads.csv", header, [["CQ500-CT-7", "B1", *votes], ["CQ500-CT-8", "B1", *votes]])
    (case,) = cases_of(tmp_path, "cq500")
    assert case.labels.tolist() == [True, False, False, False, False, True]
    assert case.thickness_mm == 16.0
    assert case.slice_labels is None


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
