"""The alert store is copied while it is written to, and comes back whole or not at all."""

import sqlite3
import threading
from pathlib import Path

import pytest

from alerts.store.database import Database
from alerts.store.schema import Study
from alerts.store.studies import add_finding, lock_study
from tests.unit.alerts.builders import START, a_finding, key
from tocsin.alert_backup import back_up, examine, restore, sqlite_file
from tocsin.errors import BackupRefused, BadRequest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    file = tmp_path / "alerts.sqlite"
    database = opened(file)
    keep(database, 1)
    database.close()
    return file


def opened(file: Path) -> Database:
    database = Database(f"sqlite:///{file}")
    database.prepare()
    return database


def keep(database: Database, number: int) -> None:
    finding = a_finding(study=f"s{number}", series=f"x{number}")
    with database.writing() as session:
        lock_study(session, finding.study_key, START)
        add_finding(session, finding, START)


def test_a_backup_holds_what_was_there_and_is_its_owner_s_alone(store: Path, tmp_path: Path) -> None:
    summary = back_up(store, tmp_path / "copy")
    assert (summary.studies, summary.findings) == (1, 1)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*.partial*"))


def test_a_backup_taken_while_the_service_writes_is_one_moment(store: Path, tmp_path: Path) -> None:
    database, stop = opened(store), threading.Event()

    def write() -> None:
        number = 2
        while not stop.is_set():
            keep(database, number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [back_up(store, tmp_path / f"copy-{n}") for n in range(3)]
    finally:
        stop.set()
        writer.join()
        database.close()
    assert all(copy.studies == copy.findings for copy in copies), "a study and its finding come in one transaction"
    assert [copy.studies for copy in copies] == sorted(copy.studies for copy in copies)


def test_what_was_there_is_kept_and_the_service_reads_kafka_again(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "copy")
    database = opened(store)
    keep(database, 2)
    database.close()
    summary, kept = restore(tmp_path / "copy", store)
    assert summary.studies == 1
    assert kept is not None
    assert examine(kept).studies == 2
    database = opened(store)
    assert database.was_restored()
    database.forget_restored()
    assert not database.was_restored()
    with database.reading() as session:
        assert [study.study_key for study in session.query(Study)] == [key("s1")]
    database.close()


def test_a_damaged_backup_is_refused_and_the_store_stays(store: Path, tmp_path: Path) -> None:
    back_up(store, tmp_path / "copy")
    data = bytearray((tmp_path / "copy").read_bytes())
    data[4096:20000] = b"\xff" * (20000 - 4096)
    (tmp_path / "copy").write_bytes(data)
    with pytest.raises(BackupRefused, match="damaged"):
        restore(tmp_path / "copy", store)
    assert examine(store).studies == 1


def test_another_database_is_refused(store: Path, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE meta (name TEXT)")
    other.commit()
    other.close()
    with pytest.raises(BackupRefused, match="no alert store"):
        restore(tmp_path / "other", store)
    (tmp_path / "text").write_text("not a database at all, but long enough to look at" * 50)
    with pytest.raises(BackupRefused):
        restore(tmp_path / "text", store)


def test_a_backup_replaces_nothing(store: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("dear")
    with pytest.raises(BadRequest, match="already"):
        back_up(store, tmp_path / "there")
    with pytest.raises(BadRequest, match="no alert store"):
        back_up(tmp_path / "missing", tmp_path / "copy")


def test_postgresql_is_left_to_its_own_tools() -> None:
    with pytest.raises(BadRequest, match="own tools"):
        sqlite_file("postgresql+psycopg://tocsin@db/tocsin")
