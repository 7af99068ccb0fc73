"""``tocsin oncall``, ``tocsin audit`` and ``tocsin feedback`` against a store and against a file."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerts import feedback
from alerts.life import Says
from alerts.store import rotas
from alerts.store.database import Database
from streams.contracts.findings import FindingStatus, Outcome
from tests.unit.alerts.builders import FakeClock, a_desk, a_finding, key
from tocsin.__main__ import app
from tocsin.data_directory import DataDirectory
from tocsin.errors import TocsinError

ROTA = """\
time_zone: Europe/Zurich
rotations:
  nights: {members: [first, second], turn: daily, hand_over: "02:30", start: 2026-01-05}
policies:
  - {name: all, steps: [{notify: [nights]}], fall_back: [second]}
"""
PEOPLE = {
    "recipients": [
        {"name": name, "webhook": {"url": "http://127.0.0.1:1", "secret": "0" * 16}} for name in ("first", "second")
    ]
}


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The store of a node whose folder is the default one."""
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("TOCSIN_ALERTS_RECIPIENTS", json.dumps(PEOPLE))
    monkeypatch.delenv("TOCSIN_ALERTS_DATABASE_URL", raising=False)
    monkeypatch.delenv("TOCSIN_ALERTS_ONCALL_FILE", raising=False)
    database = Database(DataDirectory(tmp_path).database_url)
    database.prepare()
    return database


def run(*arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    if isinstance(done.exception, TocsinError):
        return str(done.exception)
    assert done.exit_code == status, done.output
    return done.output


def on_duty(output: str) -> str:
    return next(line for line in output.splitlines() if "nights" in line).split()[3]


def save(database: Database, text: str = ROTA) -> None:
    with database.writing() as session:
        rotas.save(session, text, "test", datetime.now(UTC), rotas.newest_number(session))


def test_who_is_on_call_in_the_hour_that_comes_twice(node: Database) -> None:
    save(node)
    before = run("oncall", "who", "--at", "2026-10-25T02:29+02:00")
    after = run("oncall", "who", "--at", "2026-10-25T02:45+01:00")
    assert "Sunday 2026-10-25 02:29 CEST" in before
    assert "Sunday 2026-10-25 02:45 CET" in after
    assert on_duty(before) == "first"
    assert on_duty(after) == "second"


def test_without_a_rota_it_says_who_is_rung(node: Database) -> None:
    assert "everybody is rung" in run("oncall", "who")


def test_check_finds_a_gap_and_says_so_in_its_exit_status(node: Database, tmp_path: Path) -> None:
    save(node)
    assert "no problem" in run("oncall", "check")
    file = tmp_path / "rota.yaml"
    file.write_text(ROTA.replace("turn: daily", 'shift: "18:00-08:00"'))
    assert "gap: nobody is on duty at step 1 of policy all" in run("oncall", "check", "--file", str(file), status=1)
    file.write_text(ROTA.replace("first, second", "first, ghost"))
    assert "'ghost'" in run("oncall", "check", "--file", str(file), status=1)
    file.write_text("policies: [")
    assert "cannot be read: it is not YAML in line" in run("oncall", "check", "--file", str(file))


def test_a_calendar_comes_into_force_and_a_stranger_in_it_does_not(node: Database, tmp_path: Path) -> None:
    save(node)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    calendar = tmp_path / "rota.ics"
    calendar.write_text(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Dr Two\r\n"
        f"DTSTART:{tomorrow:%Y%m%dT%H%M%SZ}\r\nDURATION:PT12H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    command = ("oncall", "import", str(calendar), "--rotation", "nights")
    assert "Who is meant by 'Dr Two'?" in run(*command)
    assert "who: second" in run(*command, "--name", "Dr Two=second")
    assert "version 2 is in force" in run(*command, "--name", "Dr Two=second", "--save")
    at = (tomorrow + timedelta(hours=1)).isoformat()
    assert (
        next(line for line in run("oncall", "who", "--at", at).splitlines() if "nights" in line).split()[3] == "second"
    )


def test_the_record_is_verified_and_exported(node: Database) -> None:
    a_desk(node, FakeClock()).take_finding(a_finding())
    assert "the record is whole" in run("audit", "verify")
    assert "read_back" in run("audit", "export").splitlines()[0]


def test_what_doctors_said_is_listed_beside_the_reader_and_exported(node: Database) -> None:
    assert "No doctor has said anything" in run("feedback", "list")
    clock = FakeClock()
    desk = a_desk(node, clock)
    desk.take_finding(a_finding(study="A", score=0.93))
    desk.take_finding(a_finding(study="B", outcome=Outcome.NEGATIVE, score=0.04))
    desk.take_finding(a_finding(FindingStatus.FAILED, study="C"))
    for study, says in (("A", Says.BLEED), ("A", Says.NOT_A_BLEED), ("B", Says.NOT_A_BLEED), ("C", Says.BLEED)):
        feedback.give(node, clock, key(study), says, "Dr Anna")
    listed = run("feedback", "list")
    rows = {study: next(line for line in listed.splitlines() if key(study)[:12] in line) for study in "ABC"}
    assert [word in rows["A"] for word in ("not a bleed", "positive", "0.930")] == [True] * 3
    assert "negative" in rows["B"]
    assert "failed" in rows["C"]
    assert "agree in 1 of 2 that the reader could read" in listed
    exported = run("feedback", "export").splitlines()
    assert exported[0].startswith("study_key,series_key,finding_revision,label")
    assert len(exported) == 5


def test_a_store_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("TOCSIN_ALERTS_DATABASE_URL", raising=False)
    assert "There is no alert store" in run("audit", "verify")
