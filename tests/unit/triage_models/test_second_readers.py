"""A second reader is its own program: what it leaves behind becomes volumes, and what it lacks becomes an error."""

import stat
from pathlib import Path

import nibabel
import numpy as np
import pytest

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.reader import HeadSlice
from triage_models.second_readers.opinion import write_nifti
from triage_models.second_readers.programs import BLAST_CT, SECOND_READERS

SLICES = [HeadSlice(np.full((40, 50), 30.0, np.float32), (0.5, 0.4)) for _ in range(6)]


def a_program(folder: Path, body: str) -> None:
    path = folder / "blast-ct"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_not_installed_says_how_and_under_which_licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not BLAST_CT.is_available()
    with pytest.raises(RuntimeUnavailable, match=r"pip install.*Apache"):
        BLAST_CT.read(SLICES, 5.0, tmp_path / "work")


def test_volumes_come_from_the_label_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((50, 40, 6), np.uint8)
    labels[:10, :10, :4], labels[20:25, :10, 0] = 1, 4
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([0.4, 0.5, 5.0, 1.0])), tmp_path / "answer.nii.gz")
    a_program(tmp_path, f'cp "{tmp_path}/answer.nii.gz" "$4"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    opinion = BLAST_CT.read(SLICES, 5.0, tmp_path / "work")
    assert opinion.volumes_ml["intraparenchymal"] == pytest.approx(0.4)
    assert opinion.volumes_ml["intraventricular"] == pytest.approx(0.05)
    assert opinion.volumes_ml["extra-axial"] == 0.0


def test_a_program_that_fails_is_no_opinion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(tmp_path, "echo out of memory >&2; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(InferenceFailed, match="ended with 3: out of memory"):
        BLAST_CT.read(SLICES, 5.0, tmp_path / "work")


def test_a_program_that_leaves_nothing_is_no_opinion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(InferenceFailed, match="left no"):
        BLAST_CT.read(SLICES, 5.0, tmp_path / "work")


def test_volume_is_right_anterior_superior(tmp_path: Path) -> None:
    plane = np.zeros((40, 50), np.float32)
    plane[0, 49] = 70
    write_nifti([HeadSlice(plane, (0.5, 0.4))] * 3, 5.0, tmp_path / "v.nii.gz")
    volume = np.asarray(nibabel.load(tmp_path / "v.nii.gz").dataobj)
    assert volume.shape == (50, 40, 3)
    assert volume[0, 39, 0] == 70


def test_every_second_reader_names_its_terms() -> None:
    assert all("Apache-2.0" in reader.licence and "no" in reader.licence for reader in SECOND_READERS)
