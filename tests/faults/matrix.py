"""The rows of the fault matrix in which a service dies at one instruction during a study, and nothing may be lost."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError

from tests.faults.checker import Acknowledged, Observed, violations
from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tocsin.errors import ScannerFailed
from tocsin.scanner import SUCCESS, DicomFile

PROMISE_SECONDS = 30.0
"""decisive_slice → alert_delivered with any one service killed."""

RATE_PER_SECOND = 10.0
BROKER_RETURN_SECONDS = 120.0


@dataclass(frozen=True)
class CrashPoint:
    """The n-th call of ``point`` in ``service`` after the arming, before or after it."""

    service: str
    point: str
    when: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.service}: {self.when} {self.point} {self.number}"


POINTS: tuple[CrashPoint, ...] = (
    *(CrashPoint("dicom_listener", point, when, 7) for point in ("fsync", "produce") for when in ("before", "after")),
    *(CrashPoint("streams", point, when, 9) for point in ("produce",) for when in ("before", "after")),
    *(CrashPoint("streams", "commit", when, 1) for when in ("before", "after")),
    *(
        CrashPoint("alerts", point, when)
        for point in ("database_commit", "send", "answer", "commit", "produce")
        for when in ("before", "after")
    ),
)

SHORT = (
    CrashPoint("dicom_listener", "fsync", "after", 7),
    CrashPoint("streams", "produce", "after", 9),
    CrashPoint("alerts", "answer", "after"),
)


@dataclass(frozen=True)
class Row:
    """What came of one fault."""

    fault: str
    fired: bool
    alert_seconds: float | None
    problems: list[str]

    @property
    def passed(self) -> bool:
        in_time = self.alert_seconds is not None and self.alert_seconds <= PROMISE_SECONDS
        return self.fired and in_time and not self.problems


def fault_environment(folder: Path) -> dict[str, str]:
    """What makes the services of a node crashable."""
    crashing = Path(__file__).parent / "crashing"
    return {"FAULT_DIR": str(folder), "PYTHONPATH": f"{crashing}{os.pathsep}{Path(__file__).parents[2]}"}


def play(node: UpNode, patients: Patients, faults: Path, point: CrashPoint) -> Row:
    """Send a bleeding study, crash the service in the middle, and look at everything afterwards."""
    files = patients.admit(bleeding=True)
    study = acknowledged(node, files)
    (faults / "fired").unlink(missing_ok=True)
    (faults / "armed").write_text(f"{point.service} {point.point} {point.when} {point.number}")
    deliver(node, files)
    row = outcome(node, study, str(point), (faults / "fired").exists)
    (faults / "armed").unlink(missing_ok=True)
    return row


def outcome(node: UpNode, study: Acknowledged, fault: str, fired: Callable[[], bool]) -> Row:
    """A study has just been delivered: what comes of it."""
    last_slice = time.monotonic()
    seconds = _until_told(node, study, last_slice)
    _until_final(node, study)
    return Row(fault, fired(), seconds, violations([study], observe(node)))


def acknowledged(node: UpNode, files: list[DicomFile]) -> Acknowledged:
    """What must hold once these files are accepted; every one of them will be."""
    from pydicom import dcmread

    secret = node.secret
    sops = [str(dcmread(file.path, stop_before_pixels=True).SOPInstanceUID) for file in files]
    first = files[0]
    return Acknowledged(
        secret.study_key(first.study_instance_uid),
        secret.series_key(first.study_instance_uid, first.series_instance_uid),
        frozenset(f"{secret.sop_digest(sop)}:1" for sop in sops),
        bleeds=True,
    )


def deliver(node: UpNode, files: list[DicomFile], seconds: float = 60, port: int | None = None) -> None:
    """What a scanner does: when the association breaks, it sends again until everything is accepted.

    Only what was not: a slice that was acknowledged and is lost must not be made good by a repetition.
    """
    deadline, answered = time.monotonic() + seconds, set[DicomFile]()

    def told(file: DicomFile, status: int) -> None:
        if status == SUCCESS:
            answered.add(file)

    while time.monotonic() < deadline:
        try:
            node.send([file for file in files if file not in answered], RATE_PER_SECOND, port, told)
        except ScannerFailed:
            time.sleep(0.5)
        if len(answered) == len(files):
            return
    raise AssertionError("the scanner could not deliver")


def observe(node: UpNode) -> Observed:
    slices: dict[str, set[str]] = {}
    for record in _messages(node, "ct.slices.v1"):
        header = json.loads(dict(record.headers)["slice"])
        slices.setdefault(header["series_key"], set()).add(f"{header['sop_digest']}:{header['frame_number']}")
    return Observed(
        slices={key: frozenset(frames) for key, frames in slices.items()},
        findings=[json.loads(record.value) for record in _messages(node, "triage.findings.v1")],
        told=[(message["study_key"], message["notice_id"]) for _, message in node.doctor.received],
    )


def _messages(node: UpNode, topic: str) -> list[Any]:
    """Everything on a topic, once the broker is there: after some faults it is being started again."""

    def read() -> tuple[list[Any]] | None:
        try:
            return (node.messages(topic),)
        except KafkaError:
            return None

    return list(until(read, BROKER_RETURN_SECONDS, "the broker's answer")[0])


def _until_told(node: UpNode, study: Acknowledged, since: float) -> float | None:
    try:
        until(lambda: node.told_of(study.study_key), PROMISE_SECONDS + 30, "the alert")
    except AssertionError:
        return None
    return max(0.0, time.monotonic() - since)


def _until_final(node: UpNode, study: Acknowledged) -> None:
    """A result that rests on all slices: there may be an earlier one while some still wait in the spool."""

    def final() -> bool:
        findings = [json.loads(record.value) for record in _messages(node, "triage.findings.v1")]
        of_series = [f for f in findings if f["series_key"] == study.series_key and f.get("closed_by")]
        return any(f["coverage"]["slices_read"] >= len(study.frames) for f in of_series)

    try:
        until(final, 60, "the final result")
    except AssertionError:
        return  # the checker says so
