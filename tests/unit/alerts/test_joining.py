"""A patient is scanned again: one alert, and nobody is kept in the dark."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from alerts.audit import audit
from alerts.decision import Policy, Verdict
from alerts.desk import alert_id_of
from alerts.worklist import Urgency, study_of_alert
from streams.contracts.findings import FindingStatus, Outcome, Side
from streams.contracts.identities import StudyIdentity
from tests.unit.alerts.builders import CIPHER, a_finding, key

PROVISIONAL, RETRACTED, FAILED = FindingStatus.PROVISIONAL, FindingStatus.RETRACTED, FindingStatus.FAILED


def arrive(ward: Any, study: str, patient: str = "p1", **changed: str) -> None:
    """A study's identity comes in, as it does with its first slice."""
    facts = {"PatientName": "Miller^Grace", "PatientID": patient, "PatientBirthDate": "19500203"} | changed
    identity = StudyIdentity(study_key=key(study), patient_key=key(patient), StudyInstanceUID="1.2", **facts)
    envelope = CIPHER.seal(identity, key(study), os.urandom(12))
    ward.desk.take_study_identity(key(study), envelope, ward.clock.now())


def test_a_bleed_that_is_scanned_again_is_one_alert_and_who_was_told_is_told(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A"))
    [first] = ward.expects("first", "hemorrhage")
    ward.acknowledge("A", by="Dr First")
    ward.wait(minutes=10)
    arrive(ward, "B")
    ward.send(a_finding(study="B", at=ward.clock.now()))
    [second] = ward.expects("first", "same patient, scanned again: possible intracranial hemorrhage")
    assert second.alert_id == first.alert_id == alert_id_of(key("A"))
    assert second.study_key == key("B")
    assert key("B") in second.link
    assert ward.alert("A") == ward.alert("B")
    assert not ward.alert("B").waits_for_a_human, "it was answered, and rings no more"
    assert ward.study("B").urgency is Urgency.BLEED_ANSWERED
    ward.wait(minutes=20)
    ward.silent("first")


def test_an_unanswered_alert_goes_on_and_one_answer_ends_it(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A"))
    arrive(ward, "B")
    ward.send(a_finding(study="B"))
    assert len(ward.news("first")) == 2
    ward.wait(minutes=5)
    ward.expects("first", "not answered yet")
    ward.acknowledge("A")
    ward.wait(minutes=20)
    ward.silent("first")


def test_the_second_scan_shows_a_bleed_that_the_first_did_not(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A", outcome=Outcome.NEGATIVE))
    ward.silent("first")
    arrive(ward, "B")
    ward.send(a_finding(PROVISIONAL, study="B"))
    ward.expects("first", "possible intracranial hemorrhage")
    assert ward.study("A").verdict is Verdict.CLEAR
    assert ward.study("A").alert is None, "the alert is not about the first scan"
    assert ward.alert("B").waits_for_a_human
    assert ward.study("B").urgency is Urgency.BLEED_WAITING


def test_a_negative_second_scan_takes_nothing_back(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A"))
    arrive(ward, "B")
    ward.news("first")
    ward.send(a_finding(study="B", outcome=Outcome.NEGATIVE))
    ward.silent("first")
    assert ward.study("A").verdict is Verdict.BLEED
    assert ward.study("B").verdict is Verdict.CLEAR
    assert ward.study("B").headline == "No bleed found"


def test_what_is_taken_back_in_one_of_two_scans_is_said(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A", side=Side.RIGHT))
    arrive(ward, "B")
    ward.send(a_finding(PROVISIONAL, study="B", side=Side.RIGHT))
    ward.news("first")
    ward.send(a_finding(RETRACTED, study="B", revision=2))
    ward.expects("first", "correction", "another still does")
    ward.send(a_finding(RETRACTED, study="A", revision=2))
    ward.expects("first", "withdrawn")


def test_a_second_scan_that_cannot_be_read_is_not_hidden_behind_a_clean_first(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A", outcome=Outcome.NEGATIVE))
    arrive(ward, "B")
    ward.send(a_finding(FAILED, study="B"))
    ward.expects("first", "not analysed", "read the images yourself")
    assert ward.study("A").verdict is Verdict.CLEAR


def test_a_second_scan_of_which_no_result_comes_is_missed(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A", outcome=Outcome.NEGATIVE))
    arrive(ward, "B")
    ward.wait(minutes=9)
    ward.silent("first")
    ward.wait(minutes=2)
    ward.expects("first", "no result came in time")
    assert ward.study("A").headline == "No bleed found"


def test_after_a_while_it_is_another_case(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A"))
    ward.acknowledge("A")
    ward.news("first")
    ward.clock.advance(minutes=31)
    arrive(ward, "B")
    ward.send(a_finding(study="B", at=ward.clock.now()))
    ward.expects("first", "possible intracranial hemorrhage")
    assert ward.alert("B").waits_for_a_human


@pytest.mark.parametrize(
    "changed",
    [
        {"PatientName": "Unknown^B", "PatientBirthDate": "19500203"},
        {"PatientBirthDate": ""},
        {"PatientName": ""},
        {"patient": "p2"},
    ],
)
def test_two_patients_are_never_one_for_a_number_that_means_unknown(ward: Any, changed: dict[str, str]) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A"))
    ward.acknowledge("A")
    ward.news("first")
    arrive(ward, "B", **changed)
    ward.send(a_finding(study="B"))
    ward.expects("first", "possible intracranial hemorrhage")
    assert ward.alert("B").waits_for_a_human


def test_an_identity_that_comes_after_the_alert_joins_nothing_and_silences_nothing(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A"))
    ward.send(a_finding(study="B"))
    assert len(ward.news("first")) == 2
    arrive(ward, "B")
    assert ward.alert("A").alert_id != ward.alert("B").alert_id


def test_three_scans_are_one_case_and_the_auditor_agrees(ward: Any) -> None:
    for study in "ABC":
        arrive(ward, study)
        ward.send(a_finding(study=study))
        ward.wait(minutes=2)
    assert len({ward.alert(study).alert_id for study in "ABC"}) == 1
    with ward.database.reading() as session:
        assert audit(session, ward.clock.now() + timedelta(minutes=1)) == []


def test_a_site_may_want_an_alert_for_every_study(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(Policy(join_within=timedelta(0)))
    arrive(ward, "A")
    arrive(ward, "B")
    for study in "AB":
        ward.send(a_finding(study=study))
    assert ward.alert("A").alert_id != ward.alert("B").alert_id


def test_the_page_behind_the_link_shows_the_scan_that_the_alert_is_about(ward: Any) -> None:
    arrive(ward, "A")
    ward.send(a_finding(study="A", outcome=Outcome.NEGATIVE))
    arrive(ward, "B")
    ward.send(a_finding(study="B"))
    with ward.database.reading() as session:
        assert study_of_alert(session, alert_id_of(key("A"))).study_key == key("B")
