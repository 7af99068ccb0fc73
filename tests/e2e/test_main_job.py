"""The main job: a scanner sends, the doctor is told, and nobody else learns who it was."""

import os
import re
import signal

import pytest

from streams.contracts.topics import working_topics
from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tocsin.samples import samples_at

UID_PATTERN = re.compile(rb"\b[0-2](\.(0|[1-9][0-9]*)){5,}\b")
"""Six components and more: any DICOM UID in use."""


def test_a_bleed_is_alerted_and_a_clean_head_is_not(node: UpNode, patients: Patients) -> None:
    bleeding, clean = patients.admit(bleeding=True), patients.admit(bleeding=False)
    assert node.send(bleeding).accepted == len(bleeding)
    assert node.send(clean).accepted == len(clean)
    alert = node.alert_of(node.study_key(bleeding), seconds=60)
    assert alert["topic"] == "bleed"
    assert node.final_finding(node.study_key(bleeding))["outcome"] == "positive"
    assert node.final_finding(node.study_key(clean))["outcome"] == "negative"
    assert node.alerts_of(node.study_key(clean)) == []


@pytest.mark.parametrize(
    "syntax", ["RLELossless", "JPEGLSLossless", "JPEG2000Lossless", "DeflatedExplicitVRLittleEndian"]
)
def test_every_lossless_syntax_is_read(node: UpNode, patients: Patients, syntax: str) -> None:
    files = patients.admit(bleeding=True, syntax=syntax)
    assert node.send(files).accepted == len(files)
    node.alert_of(node.study_key(files), seconds=60)


def test_no_name_no_id_and_no_uid_is_on_the_working_topics(node: UpNode, patients: Patients) -> None:
    files = patients.admit(bleeding=True, name="UNMISTAKABLE^JANE", patient_id="UNMISTAKABLE-1")
    node.send(files)
    node.alert_of(node.study_key(files), seconds=60)
    looked_at = 0
    for topic in working_topics():
        for record in node.messages(topic.name):
            texts = [record.key or b"", *(value for _, value in record.headers)]
            if topic.name != "ct.slices.v1":  # its value is pixels
                texts.append(record.value or b"")
            for text in texts:
                looked_at += 1
                assert b"UNMISTAKABLE" not in text
                assert not UID_PATTERN.search(text), (topic.name, UID_PATTERN.search(text))
    assert looked_at > len(files)


def test_the_identity_topic_is_sealed(node: UpNode, patients: Patients) -> None:
    files = patients.admit(bleeding=False, name="UNMISTAKABLE^JOHN")
    node.send(files)
    sealed = until(lambda: node.messages("phi.identities.v1"), 20, "an identity")
    assert all(b"UNMISTAKABLE" not in (record.value or b"") for record in sealed)


def test_the_page_shows_the_patient_the_verdict_and_the_picture(node: UpNode, patients: Patients) -> None:
    files = patients.admit(bleeding=True, name="PAGE^PATIENT")
    node.send(files)
    key = node.study_key(files)
    node.alert_of(key, seconds=60)
    until(lambda: "PAGE" in node.page(), 20, "the patient on the worklist")
    study = node.page(f"studies/{key}")
    assert "Acknowledge" in study
    assert "hemorrhage" in study.lower()
    assert ".png" in study


def test_what_waited_for_a_worker_is_read_together_and_judged_the_same(node: UpNode, patients: Patients) -> None:
    files, before = patients.admit(bleeding=True), batches(node)
    pid = node.running.pids["streams"]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        assert node.send(files).accepted == len(files)
    finally:
        os.kill(pid, signal.SIGCONT)
    finding = node.final_finding(node.study_key(files))
    assert finding["outcome"] == "positive"
    assert finding["coverage"]["slices_read"] == len(files)
    calls, slices = (after - start for after, start in zip(batches(node), before, strict=True))
    assert slices == len(files)
    assert calls < slices / 2


def batches(node: UpNode) -> tuple[float, float]:
    """(calls of the reader, slices read) so far."""
    seen = samples_at([node.running.addresses.metrics_ports()["streams"]])
    name = "tocsin_streams_inference_batch_slices"
    return seen.total(f"{name}_count"), seen.total(f"{name}_sum")
