"""A second reader is its own program: what it leaves behind becomes volumes, and what it lacks becomes an error."""

import stat
from pathlib import Path

import nibabel
import numpy as np
import pytest

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.reader import HeadSlice
from triage_models.second_readers.opinion import write_nifti
from triage_models.second_readers.programs import BLAST_CT, SECOND_READERS, TOTAL_SEGMENTATOR

SLICES = [HeadSlice(np.full((40, 50), 30.0, np.float32), (0.5, 0.4)) for _ in range(6)]


def a_program(folder: Path, body: str, name: str = "blast-ct") -> None:
    path = folder / name
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


def test_total_segmentator_leaves_one_file_per_class_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As TotalSegmentator 2.18: `-i FILE -o FOLDER --task cerebral_bleed`, class 1 `intracerebral_hemorrhage`."""
    labels = np.zeros((50, 40, 6), np.uint8)
    labels[:10, :10, :2] = 1
    nibabel.save(nibabel.Nifti1Image(labels, np.diag([0.4, 0.5, 5.0, 1.0])), tmp_path / "answer.nii.gz")
    body = f"""[ "$1 $3 $5 $6" = "-i -o --task cerebral_bleed" ] && [ -f "$2" ] || exit 2
cp "{tmp_path}/answer.nii.gz" "$4/intracerebral_hemorrhage.nii.gz\""""
    a_program(tmp_path, body, "TotalSegmentator")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    opinion = TOTAL_SEGMENTATOR.read(SLICES, 5.0, tmp_path / "work")
    assert opinion.volumes_ml == {"intracerebral": pytest.approx(0.2)}


def test_blast_ct_is_called_as_its_command_line_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As blast-ct 2.1: `--input FILE.nii.gz --output FILE.nii.gz --device cpu`; anything else it refuses."""
    nibabel.save(nibabel.Nifti1Image(np.zeros((50, 40, 6), np.uint8), np.eye(4)), tmp_path / "answer.nii.gz")
    body = f"""[ "$1 $3 $5 $6" = "--input --output --device cpu" ] && [ -f "$2" ] || exit 2
case "$2 $4" in *.nii.gz\\ *.nii.gz) ;; *) exit 2 ;; esac
cp "{tmp_path}/answer.nii.gz" "$4\""""
    a_program(tmp_path, body)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert BLAST_CT.read(SLICES, 5.0, tmp_path / "work").volumes_ml["extra-axial"] == 0.0


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
    assert all("Apache-2.0" in reader.licence and "no" in reader.licence for reader in SECOND_READERS.values())
