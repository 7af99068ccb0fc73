"""Scanner behaviour, played against a running node: each scenario sends real objects and says what must come of them.

Imaging IT can run it at their site. The studies are synthetic, named SELFTEST, and appear on the worklist; a scenario
that ends as *not assessable* may ring people, as it would for a patient.
"""

import secrets
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from pydicom import dcmread
from pydicom.uid import XRayRadiationDoseSRStorage, generate_uid

from streams.contracts.findings import FindingProduced, FindingReason, Outcome, SliceReason
from streams.contracts.ids import SiteSecret
from tocsin import scanner
from tocsin.errors import ScannerFailed
from tocsin.findings_watch import FindingsWatch
from tocsin.scanner import Destination, DicomFile
from tocsin.synthetic_patients import readable_head, shuffled
from triage_models.synthetic import SyntheticSeries
from triage_models.synthetic.dicom import write_series

SLICES = 26
SIDE = 128
PATIENCE_SECONDS = 90.0
CALLING_AE = "SELFTEST"
READ = (Outcome.NEGATIVE, Outcome.POSITIVE)
"""The series was read to its end; what was seen in a synthetic head is not the question here."""


class ScenarioFailed(Exception):
    """What should have come of a scenario did not."""


@dataclass
class Bench:
    """A running node, and a workshop for studies."""

    to: Destination
    secret: SiteSecret
    bootstrap_servers: str
    folder: Path
    findings: list[FindingProduced] = field(default_factory=list)
    _head: SyntheticSeries | None = None

    def study(self, **attributes: object) -> list[DicomFile]:
        """A new patient's head, foot to vertex; ``attributes`` are set in every object."""
        if self._head is None:
            self._head = readable_head(20262, "none", slices=SLICES, side=SIDE)
        place = self.folder / secrets.token_hex(8)
        write_series(self._head, place, patient_name="SELFTEST^TOCSIN", uid_salt=place.name)
        for path in place.iterdir() if attributes else ():
            change(path, **attributes)
        return scanner.find_files([place])[0]

    def again(self, files: Iterable[DicomFile], *, new_series: bool = True, **attributes: object) -> list[DicomFile]:
        """Copies of objects, by default as another series of the same study."""
        place = self.folder / secrets.token_hex(8)
        place.mkdir()
        series = generate_uid()
        for file in files:
            target = place / file.path.name
            target.write_bytes(file.path.read_bytes())
            if new_series:
                change(target, SeriesInstanceUID=series, SOPInstanceUID=generate_uid())
            change(target, **attributes)
        return scanner.find_files([place])[0]

    def dose_report(self, beside: DicomFile) -> DicomFile:
        """A dose report (PS3.3 A.35.8) of a slice's study, as scanners send it after the images; without content."""
        report = dcmread(beside.path, stop_before_pixels=True)
        group = report.group_dataset(0x0028)
        for element in list(group):
            del report[element.tag]
        report.SOPClassUID, report.Modality, report.ValueType = XRayRadiationDoseSRStorage, "SR", "CONTAINER"
        report.SOPInstanceUID, report.SeriesInstanceUID = generate_uid(), generate_uid()
        report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
        report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
        report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
        path = self.folder / f"{secrets.token_hex(8)}.dcm"
        report.save_as(path)
        return scanner.find_files([path])[0][0]

    def send(self, *groups: Sequence[DicomFile]) -> None:
        """Each group over an association of its own; everything must be accepted."""
        for files in groups:
            outcome = scanner.send(files, self.to, CALLING_AE)
            if outcome.refused:
                raise ScenarioFailed(f"{len(outcome.refused)} objects were refused: 0x{outcome.refused[0][1]:04X}")

    def key(self, files: Sequence[DicomFile]) -> str:
        return self.secret.series_key(files[0].study_instance_uid, files[0].series_instance_uid)

    def final(self, files: Sequence[DicomFile], wanted: Callable[[FindingProduced], bool]) -> FindingProduced:
        """The finding of a complete series that fulfils a wish."""
        deadline, key = time.monotonic() + PATIENCE_SECONDS, self.key(files)
        while time.monotonic() < deadline:
            for finding in list(self.findings):
                if finding.series_key == key and finding.closed_by is not None and wanted(finding):
                    return finding
            time.sleep(0.1)
        seen = [
            f"{f.status} ({', '.join(f.reasons)}), {f.coverage.slices_read} read"
            for f in self.findings
            if f.series_key == key
        ]
        raise ScenarioFailed(f"the series came to: {'; '.join(seen) or 'nothing'}")

    def expect_read(self, files: Sequence[DicomFile], slices: int = SLICES) -> FindingProduced:
        return self.final(files, lambda f: f.outcome in READ and f.coverage.slices_read == slices)


def change(path: Path, **attributes: object) -> None:
    dataset = dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)


# The scenarios


def one_association(bench: Bench) -> None:
    """a study over one association"""
    files = bench.study()
    bench.send(files)
    bench.expect_read(files)


def one_association_per_slice(bench: Bench) -> None:
    """one association per slice"""
    files = bench.study()
    bench.send(*([file] for file in files))
    bench.expect_read(files)


def several_associations(bench: Bench) -> None:
    """several associations for one series"""
    files = bench.study()
    bench.send(files[:9], files[9:20], files[20:])
    bench.expect_read(files)


def reversed_order(bench: Bench) -> None:
    """from vertex to skull base"""
    files = bench.study()
    bench.send(files[::-1])
    bench.expect_read(files)


def shuffled_and_duplicated(bench: Bench) -> None:
    """shuffled, and some slices twice"""
    files = bench.study()
    order = shuffled(files, seed=7)
    bench.send([*order, *order[:6]])
    bench.expect_read(files)


def interleaved(bench: Bench) -> None:
    """two patients interleaved on one association"""
    first, second = bench.study(), bench.study()
    bench.send([file for pair in zip(first, second, strict=True) for file in pair])
    bench.expect_read(first)
    bench.expect_read(second)


def at_the_same_time(bench: Bench) -> None:
    """two scanners at the same time"""
    studies = [bench.study(), bench.study()]
    threads = [Thread(target=bench.send, args=(files,)) for files in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for files in studies:
        bench.expect_read(files)


def other_series_of_the_study(bench: Bench) -> None:
    """a scout, a bone kernel and a coronal reformat beside the axial series"""
    files = bench.study()
    scout = bench.again(files[12:13], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    bone = bench.again(files, ConvolutionKernel="H60s")
    coronal = bench.again(files, ImageOrientationPatient=[1, 0, 0, 0, 0, -1], ImageType=["DERIVED", "SECONDARY", "MPR"])
    bench.send([*scout, *files, *bone, *coronal])
    bench.expect_read(files)
    for series, reason in (
        (scout, SliceReason.LOCALIZER),
        (bone, SliceReason.BONE_KERNEL),
        (coronal, SliceReason.NOT_AXIAL),
    ):
        bench.final(series, lambda f, r=reason: f.outcome is Outcome.NOT_ASSESSABLE and r in f.coverage.unread)  # type: ignore[misc]  # the default argument binds the loop's variable


def dose_report(bench: Bench) -> None:
    """a dose report among the slices is not taken, and they all are"""
    files = bench.study()
    report = bench.dose_report(files[0])
    outcome = scanner.send([*files[:20], report, *files[20:]], bench.to, CALLING_AE)
    if [path for path, _ in outcome.refused] != [report.path]:
        raise ScenarioFailed(f"{outcome.accepted} of {len(files)} slices and a dose report were accepted")
    bench.expect_read(files)


def missing_slice(bench: Bench) -> None:
    """a missing slice is never part of a negative"""
    files = bench.study()
    bench.send(files[:13] + files[14:])
    bench.final(files, lambda f: FindingReason.COVERAGE_GAP in f.reasons or f.outcome is Outcome.POSITIVE)


def aborted_and_sent_again(bench: Bench) -> None:
    """an association aborted in the middle, then everything again"""
    files = bench.study()
    with suppress(ScannerFailed):
        scanner.send(files[:11], bench.to, CALLING_AE, abort=True)
    bench.send(files)
    bench.expect_read(files)


def sent_twice(bench: Bench) -> None:
    """the whole study sent twice"""
    files = bench.study()
    bench.send(files)
    bench.expect_read(files)
    before = len([f for f in bench.findings if f.series_key == bench.key(files)])
    bench.send(files)
    time.sleep(6)
    if len([f for f in bench.findings if f.series_key == bench.key(files)]) > before:
        raise ScenarioFailed("a repetition made a new finding")


def late_slice(bench: Bench) -> None:
    """a late slice after the final result"""
    files = bench.study()
    bench.send(files[:-1])
    bench.expect_read(files, SLICES - 1)
    bench.send(files[-1:])
    bench.final(files, lambda f: FindingReason.LATE_SLICES in f.reasons and f.coverage.slices_read == SLICES)


def same_uid_other_bytes(bench: Bench) -> None:
    """the same UID with other content: both are kept, and it is said"""
    files = bench.study()
    twin = bench.again(files[9:10], new_series=False, KVP="80")
    bench.send([*files, *twin])
    bench.final(files, lambda f: FindingReason.CONFLICTING_INSTANCES in f.reasons)


def same_name(bench: Bench) -> None:
    """two patients of the same name are two studies"""
    first, second = bench.study(PatientName="SELFTEST^TWIN"), bench.study(PatientName="SELFTEST^TWIN")
    bench.send(first, second)
    bench.expect_read(first)
    bench.expect_read(second)


def other_alphabets(bench: Bench) -> None:
    """a name in other alphabets"""
    files = bench.study(SpecificCharacterSet="ISO_IR 192", PatientName="SELFTEST^Jürgen=山田^太郎=やまだ^たろう")
    bench.send(files)
    bench.expect_read(files)


Scenario = Callable[[Bench], None]

SCENARIOS: tuple[Scenario, ...] = (
    one_association,
    one_association_per_slice,
    several_associations,
    reversed_order,
    shuffled_and_duplicated,
    interleaved,
    at_the_same_time,
    other_series_of_the_study,
    dose_report,
    missing_slice,
    aborted_and_sent_again,
    sent_twice,
    late_slice,
    same_uid_other_bytes,
    same_name,
    other_alphabets,
)


@dataclass(frozen=True)
class Result:
    """``problem`` is None where the scenario passed."""

    scenario: str
    seconds: float
    problem: str | None


def play(
    to: Destination, secret: SiteSecret, bootstrap_servers: str, only: str, told: Callable[[Result], None]
) -> list[Result]:
    """Play the scenarios whose name or description contains ``only``, one after the other."""
    results = []
    with tempfile.TemporaryDirectory(prefix="tocsin-selftest-") as folder:
        bench = Bench(to, secret, bootstrap_servers, Path(folder))
        watch = FindingsWatch(bootstrap_servers, bench.findings.append)
        try:
            for scenario in SCENARIOS:
                if only in scenario.__name__ or only in words(scenario):
                    results.append(_played(scenario, bench))
                    told(results[-1])
        finally:
            watch.close()
    return results


def words(scenario: Scenario) -> str:
    return (scenario.__doc__ or scenario.__name__).strip()


def _played(scenario: Scenario, bench: Bench) -> Result:
    started = time.monotonic()
    try:
        scenario(bench)
    except (ScenarioFailed, ScannerFailed) as failure:
        return Result(words(scenario), time.monotonic() - started, str(failure))
    return Result(words(scenario), time.monotonic() - started, None)
