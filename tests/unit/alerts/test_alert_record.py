"""The record and the auditor: what was done can be shown, and what was not is found."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy import delete, update

from alerts.audit import EXPORT_COLUMNS, Violation, audit, export
from alerts.desk import alert_id_of
from alerts.errors import ChannelUnreachable
from alerts.store.record import head_of, verify
from alerts.store.schema import Alert, Entry, Notice, RecordHead
from streams.contracts.findings import FindingStatus, Outcome
from tests.unit.alerts.builders import a_finding, key


@pytest.fixture
def night(ward: Any) -> Any:
    ward.send(a_finding(FindingStatus.PROVISIONAL))
    ward.send(a_finding(study="B", outcome=Outcome.NEGATIVE))
    ward.wait(minutes=6)
    ward.acknowledge(by="Dr First")
    return ward


def verified(night: Any) -> int | None:
    with night.database.reading() as session:
        return verify(session).broken_at


def test_an_untouched_record_verifies_and_holds_decisions_and_answers(night: Any) -> None:
    assert verified(night) is None
    with night.database.reading() as session:
        bodies = [e.body for e in session.query(Entry).order_by(Entry.number)]
        assert head_of(session)[0] == len(bodies)
    assert any('"verdict":"clear"' in body and '"sha256":' in body and '"threshold":0.5' in body for body in bodies)
    assert any('"state":"acknowledged"' in body and "Dr First" in body for body in bodies)
    assert not any("image_png" in body for body in bodies)


@pytest.mark.parametrize(
    "forgery",
    [
        update(Entry).where(Entry.number == 3).values(body="{}"),
        update(Entry).where(Entry.number == 3).values(study_key=key("Z")),
        delete(Entry).where(Entry.number == 3),
        update(RecordHead).values(number=2),
    ],
)
def test_a_changed_removed_or_forgotten_entry_shows(night: Any, forgery: Any) -> None:
    with night.database.writing() as session:
        session.execute(forgery)
    assert verified(night) is not None


def test_a_record_cut_short_shows(night: Any) -> None:
    with night.database.writing() as session:
        number, _ = head_of(session)
        session.execute(delete(Entry).where(Entry.number == number))
    assert verified(night) == number


def test_the_export_has_a_row_per_message_with_who_and_when(night: Any) -> None:
    out = io.StringIO()
    with night.database.reading() as session:
        count = export(session, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert count == len(rows) == 4
    assert tuple(rows[0]) == EXPORT_COLUMNS
    assert {row["receiver"] for row in rows} == {"first", "second"}
    assert all(row["acknowledged_by"] == "Dr First" and row["received_at"] for row in rows)


def test_a_name_is_no_formula(ward: Any) -> None:
    ward.send(a_finding())
    ward.acknowledge(by="=HYPERLINK(1)")
    out = io.StringIO()
    with ward.database.reading() as session:
        export(session, out)
    assert ",'=HYPERLINK(1)" in out.getvalue()


def violations(ward: Any) -> set[Violation]:
    with ward.database.reading() as session:
        return {breach.violation for breach in audit(session, ward.clock.now())}


def test_a_good_night_has_no_breach(night: Any) -> None:
    night.clock.advance(minutes=2)
    assert violations(night) == set()


def test_a_positive_whose_alert_is_gone_is_found_and_put_right(ward: Any) -> None:
    ward.desk.take_finding(a_finding())
    with ward.database.writing() as session:
        session.execute(delete(Notice))
        session.execute(delete(Alert))
    ward.clock.advance(seconds=40)
    assert violations(ward) == {Violation.POSITIVE_WITHOUT_ALERT}
    ward.desk.decide_again(key("A"))
    ward.settle()
    ward.expects("first", "hemorrhage")
    assert violations(ward) == set()


def test_an_alert_that_reaches_nobody_is_found(ward: Any) -> None:
    for name in ("first", "second"):
        ward.fail(name, *[ChannelUnreachable("gone")] * 50)
    ward.send(a_finding())
    ward.wait(seconds=40)
    assert violations(ward) == {Violation.NOT_DELIVERED}


def test_a_bell_that_stopped_ringing_is_found(ward: Any) -> None:
    ward.send(a_finding())
    ward.clock.advance(minutes=6)
    assert violations(ward) == {Violation.RING_OVERDUE}


def test_an_answered_alert_closes_after_a_day_and_may_reopen(ward: Any) -> None:
    ward.send(a_finding(FindingStatus.PROVISIONAL))
    ward.acknowledge()
    ward.clock.advance(hours=25)
    assert ward.desk.close_old() == 1
    assert ward.alert().answer == "closed"
    ward.send(a_finding(FindingStatus.RETRACTED, revision=2))
    ward.news("first")
    ward.send(a_finding(revision=3, at=ward.clock.now()))
    ward.expects("first", "possible bleed after all")
    assert ward.alert().waits_for_a_human
    assert alert_id_of(key("A")) == ward.alert().alert_id
