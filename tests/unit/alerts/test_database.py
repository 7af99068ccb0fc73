"""One thread writes at a time, and who waits in vain is told so."""

from threading import Event, Thread

import pytest

from alerts.errors import StoreUnavailable
from alerts.store import database as module
from alerts.store.database import Database


def test_who_waits_too_long_for_a_turn_is_told_and_the_next_one_gets_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SQLITE_BUSY_SECONDS", 0.05)
    writing, done = Event(), Event()

    def write() -> None:
        with database.writing():
            writing.set()
            done.wait(30)

    other = Thread(target=write)
    other.start()
    assert writing.wait(30)
    with pytest.raises(StoreUnavailable), database.writing():
        pytest.fail("two write at once")
    done.set()
    other.join()
    database.touch()
