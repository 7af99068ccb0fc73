"""Studies to send: synthetic heads on which the shipped model is right."""

from pathlib import Path

from tocsin.scanner import DicomFile, find_files
from tocsin.synthetic_patients import readable_head
from triage_models.reader import HeadSlice, Reader
from triage_models.synthetic import SyntheticSeries
from triage_models.synthetic.dicom import write_series

SIDE = 256
SLICES = 28


def a_head(bleeding: bool) -> SyntheticSeries:
    """A head on which the shipped model is right with a margin: these tests are about the path, not about the model."""
    reader = Reader.open()
    final = reader.manifest.thresholds.final.value
    for seed in range(20261, 20281):
        series = readable_head(seed, "intraparenchymal" if bleeding else "none", slices=SLICES, side=SIDE)
        heads = [HeadSlice(plane.astype("float32"), series.pixel_spacing_mm, 5.0) for plane in series.voxels_hu]
        readings = [reading for reading, _ in reader.read(heads)]
        score = reader.score(list(zip(series.positions_mm.tolist(), readings, strict=True))).any
        if score > 1 - (1 - final) / 2 if bleeding else score < final / 2:
            return series
    raise AssertionError("the shipped model is wrong on twenty heads in a row")


class Patients:
    """Makes studies: each call is another patient, with or without a bleed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heads = {bleeding: a_head(bleeding) for bleeding in (True, False)}
        self._made = 0

    def admit(
        self,
        *,
        bleeding: bool,
        name: str = "NOMEN^NESCIO",
        patient_id: str = "PID-4711",
        syntax: str = "ExplicitVRLittleEndian",
    ) -> list[DicomFile]:
        self._made += 1
        folder = self._folder / str(self._made)
        write_series(
            self._heads[bleeding],
            folder,
            syntax=syntax,
            patient_name=name,
            patient_id=patient_id,
            uid_salt=f"{self._folder}{self._made}",
        )
        return find_files([folder])[0]
