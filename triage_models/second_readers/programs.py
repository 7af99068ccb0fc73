"""BLAST-CT and TotalSegmentator's cerebral_bleed task, by their command lines."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.reader import HeadSlice
from triage_models.second_readers.opinion import TIME_LIMIT_SECONDS, Opinion, read_volume, write_nifti


@dataclass(frozen=True)
class Program:
    """A second reader that is a program: NIfTI in, label map out.

    `arguments` may hold `{input}`, `{output}` and `{folder}`; `result` is the label map, relative to the work folder;
    `classes` maps its values to names.
    """

    name: str
    licence: str
    command: str
    arguments: tuple[str, ...]
    result: str
    classes: Mapping[int, str]
    install_hint: str

    def is_available(self) -> bool:
        """True when the program is on the PATH."""
        return shutil.which(self.command) is not None

    def read(self, slices: Sequence[HeadSlice], spacing_mm: float, work: Path) -> Opinion:
        """Runs the program on the volume; see `SecondReader.read`."""
        found = shutil.which(self.command)
        if found is None:
            raise RuntimeUnavailable(f"{self.name} is not installed here: {self.install_hint} ({self.licence})")
        work.mkdir(parents=True, exist_ok=True)
        write_nifti(slices, spacing_mm, work / "input.nii.gz")
        self._run(found, work)
        labels, voxel_ml = read_volume(work / self.result)
        volumes = {name: round(float((labels == value).sum()) * voxel_ml, 2) for value, name in self.classes.items()}
        return Opinion(self.name, self.licence, volumes)

    def _run(self, found: str, work: Path) -> None:
        places = {"input": str(work / "input.nii.gz"), "output": str(work / self.result), "folder": str(work)}
        command = [found, *(argument.format(**places) for argument in self.arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False)  # noqa: S603  # a fixed program, no shell
        except subprocess.TimeoutExpired as error:
            raise InferenceFailed(f"{self.name} took longer than {TIME_LIMIT_SECONDS:g} s") from error
        if done.returncode != 0:
            raise InferenceFailed(f"{self.name} ended with {done.returncode}: {done.stderr.strip()[-500:]}")


BLAST_CT = Program(
    name="BLAST-CT",
    licence="Apache-2.0; its authors: not for clinical use",
    command="blast-ct",
    arguments=("--input", "{input}", "--output", "{output}", "--device", "cpu"),
    result="blast-ct.nii.gz",
    classes={1: "intraparenchymal", 2: "extra-axial", 3: "perilesional oedema", 4: "intraventricular"},
    install_hint="pip install blast-ct (it fetches its weights at the first run)",
)
"""Keeps its intermediate files in one fixed folder: run one at a time on a machine."""

TOTAL_SEGMENTATOR = Program(
    name="TotalSegmentator cerebral_bleed",
    licence="Apache-2.0 (program and this task's weights); its authors: no medical device",
    command="TotalSegmentator",
    arguments=("-i", "{input}", "-o", "{folder}", "--task", "cerebral_bleed"),
    result="intracerebral_hemorrhage.nii.gz",
    classes={1: "intracerebral"},
    install_hint="pip install TotalSegmentator (it fetches its weights at the first run)",
)

SECOND_READERS: Mapping[str, Program] = {"blast-ct": BLAST_CT, "totalsegmentator": TOTAL_SEGMENTATOR}
"""By the name under which they are asked for."""
