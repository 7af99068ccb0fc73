"""What doctors say of a finding, and who has it when one gives it to another."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta

import pytest

from alerts import feedback
from alerts.desk import alert_id_of
from alerts.errors import ChannelUnreachable, HandOverRefused, UnknownStudy
from alerts.escalation import RingByPolicy
from alerts.life import Says
from alerts.messages import Purpose
from alerts.oncall import OnCall
from alerts.store.record import verify
from streams.contracts.findings import FindingStatus, Outcome
from tests.unit.alerts.builders import RECIPIENTS, a_finding, key
from tests.unit.alerts.conftest import Ward


def rows(ward: Ward) -> list[dict[str, str]]:
    out = io.StringIO()
    with ward.database.reading() as session:
        feedback.export(session, out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def says(ward: Ward, what: Says, by: str, study: str = "A") -> None:
    feedback.give(ward.database, ward.clock, key(study), what, by)


def test_feedback_is_exported_with_what_the_reader_had_said(ward: Ward) -> None:
    ward.send(a_finding(FindingStatus.PROVISIONAL, score=0.7))
    ward.send(a_finding(revision=2, score=0.93))
    says(ward, Says.NOT_A_BLEED, "Dr Anna")
    [row] = rows(ward)
    assert (row["label"], row["counts"], row["by"]) == ("0", "1", "Dr Anna")
    assert (row["finding_revision"], row["score"], row["outcome"]) == ("2", "0.93", "positive")
    assert (row["model"], row["model_version"], row["subdural"]) == ("ich-small", "1.0.0", "0.9")
    assert row["study_key"] == key("A")


def test_of_each_doctor_the_last_word_counts_and_none_is_lost(ward: Ward) -> None:
    ward.send(a_finding(outcome=Outcome.NEGATIVE))
    says(ward, Says.BLEED, "Dr Anna")
    says(ward, Says.NOT_A_BLEED, "Dr Ben")
    says(ward, Says.NOT_A_BLEED, "Dr Anna")
    assert [(row["by"], row["label"], row["counts"]) for row in rows(ward)] == [
        ("Dr Anna", "1", "0"),
        ("Dr Ben", "0", "1"),
        ("Dr Anna", "0", "1"),
    ]
    with ward.database.reading() as session:
        assert {(o.by, o.says) for o in feedback.opinions_of(session, key("A"))} == {
            ("Dr Anna", Says.NOT_A_BLEED),
            ("Dr Ben", Says.NOT_A_BLEED),
        }
        assert verify(session).broken_at is None


def test_feedback_changes_no_alert(ward: Ward) -> None:
    ward.send(a_finding())
    before = ward.alert()
    says(ward, Says.NOT_A_BLEED, "Dr Anna")
    assert ward.alert() == before


def test_feedback_on_an_unknown_study_is_refused(ward: Ward) -> None:
    with pytest.raises(UnknownStudy):
        says(ward, Says.BLEED, "Dr Anna", "nowhere")


def hand_over(ward: Ward, to: str, by: str = "first") -> None:
    ward.desk.hand_over(alert_id_of(key("A")), by, to)
    ward.settle()


def test_who_is_handed_an_alert_is_told_at_once_by_whom_and_nobody_else_is(ward: Ward) -> None:
    ward.send(a_finding())
    ward.acknowledge(by="first")
    ward.news("first"), ward.news("second")
    hand_over(ward, "second")
    [message] = ward.expects("second", "Handed over to you by first", "right")
    assert message.purpose is Purpose.HANDED_OVER
    ward.silent("first")
    assert ward.alert().waits_for_a_human
    assert ward.alert().acknowledged_by is None
    assert ward.states()[-3:] == ["handed_over", "sent", "delivered"]


def test_if_the_new_person_does_not_answer_it_rings_on(ward: Ward) -> None:
    ward.send(a_finding())
    ward.acknowledge(by="first")
    hand_over(ward, "second")
    ward.news("first"), ward.news("second")
    ward.wait(minutes=6)
    ward.expects("second", "Not answered yet")
    ward.expects("first", "Not answered yet")
    ward.acknowledge(by="second")
    ward.news("first"), ward.news("second")
    ward.wait(minutes=30)
    ward.silent("first", "second")


def test_a_hand_over_skips_no_step_of_the_escalation_and_stays_with_the_person(
    a_ward: Callable[..., Ward],
) -> None:
    names = [{"name": name, "email": f"{name}@hospital.example"} for name in ("first", "second", "third", "other")]
    recipients = RECIPIENTS.model_validate({"recipients": names})
    document = {
        "policies": [
            {
                "name": "all",
                "steps": [
                    {"notify": ["first"], "wait_minutes": 5},
                    {"notify": ["second"], "wait_minutes": 5},
                    {"notify": ["third"], "wait_minutes": 5},
                ],
                "fall_back": ["third"],
            }
        ],
    }
    on_call = OnCall.model_validate(document)
    ward = a_ward(recipients=recipients, escalation=RingByPolicy(on_call, recipients.names))
    ward.send(a_finding())
    ward.expects("first")
    hand_over(ward, "other")
    ward.expects("other", "Handed over to you by first")
    ward.wait(minutes=5.2)
    ward.expects("second", "Not answered yet")
    ward.expects("other", "Not answered yet")
    ward.silent("first", "third")


def test_it_can_be_handed_back_and_forth(ward: Ward) -> None:
    ward.send(a_finding())
    ward.news("first"), ward.news("second")
    for to, by in (("second", "first"), ("first", "second"), ("second", "first")):
        hand_over(ward, to, by)
        ward.expects(to, f"Handed over to you by {by}")


def test_if_the_new_person_cannot_be_reached_nobody_waits_for_the_clock(ward: Ward) -> None:
    ward.send(a_finding())
    ward.acknowledge(by="first")
    ward.news("first"), ward.news("second")
    ward.fail("second", *[ChannelUnreachable("no route")] * 40)
    hand_over(ward, "second")
    ward.wait(minutes=3)
    ward.expects("first", "Not answered yet")


def test_nothing_is_handed_to_nobody_or_when_there_is_nothing_to_answer(ward: Ward) -> None:
    ward.send(a_finding())
    with pytest.raises(HandOverRefused, match="nobody cannot be told"):
        hand_over(ward, "nobody")
    ward.send(a_finding(FindingStatus.RETRACTED, revision=2))
    with pytest.raises(HandOverRefused, match="no answer any more"):
        hand_over(ward, "second")


def test_a_new_claim_takes_it_back_to_who_is_on_call(ward: Ward) -> None:
    ward.send(a_finding())
    hand_over(ward, "second")
    ward.send(a_finding(FindingStatus.RETRACTED, revision=2))
    ward.clock.advance(minutes=1)
    ward.send(a_finding(revision=3))
    assert ward.alert().handed_to is None
    assert ward.alert().round == 0
    assert timedelta() <= ward.clock.now() - ward.alert().raised_at < timedelta(minutes=1)
