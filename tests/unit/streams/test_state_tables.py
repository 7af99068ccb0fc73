"""State that is written, found again, and removed when it is not needed any more."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from streams.contracts.findings import ClosedBy
from streams.errors import StateNotDurable
from streams.series_state import Entry, SeriesState, frame_record
from streams.state_tables import SeriesTables
from tests.support.slices import START, STUDY, a_slice, key


class Table:
    """A Faust table as far as it is used: its data, and its changelog."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.log: list[tuple[int, bytes, bytes | None]] = []
        self.failures = 0

    def send_changelog(self, partition: int, key: bytes, value: bytes | None) -> "asyncio.Future[None]":
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failures:
            self.failures -= 1
            sent.set_exception(ConnectionError())
        else:
            self.log.append((partition, key, value))
            sent.set_result(None)
        return sent


class App:
    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def Table(self, name: str, **_: Any) -> Table:
        return self.tables.setdefault(name, Table())


@pytest.fixture
def app() -> App:
    return App()


def tables_of(app: App, patience: float = 5.0) -> SeriesTables:
    return SeriesTables(app, 4, 1.0, patience, lambda _error: None)


def save(tables: SeriesTables, *saved: tuple[SeriesState, Any]) -> None:
    """All of them, and until they are durable."""

    async def run() -> None:
        for state, entries in saved:
            await tables.save(state, entries)
        await tables.settled()

    asyncio.run(run())


def a_state(series: str, closed_hours_ago: float | None = None, partition: int = 2) -> tuple[SeriesState, Any]:
    state = SeriesState.opened(STUDY, key(series), partition, START)
    entries = []
    for number in (1, 2):
        entry = Entry(frame=frame_record(a_slice(number), partition, number, None))
        entries.append((state.append(entry), entry))
    if closed_hours_ago is not None:
        state.change(closed_by=ClosedBy.QUIET, closed_at=START - timedelta(hours=closed_hours_ago))
    return state, entries


def test_what_was_saved_is_found_again_by_the_next_worker(app: App) -> None:
    state, entries = a_state("s")
    save(tables_of(app), (state, entries))
    found = tables_of(app).load(key("s"))
    assert found is not None
    assert found.summary == state.summary
    assert found.frames == state.frames
    assert [s.summary.series_key for s in tables_of(app).open_series({2})] == [key("s")]


def test_a_write_is_tried_again_and_given_up_when_patience_ends(app: App) -> None:
    state, entries = a_state("s")
    tables = tables_of(app)
    app.tables["series"].failures = 1
    save(tables, (state, entries))
    assert (2, key("s").encode(), state.summary.encode()) in app.tables["series"].log
    app.tables["series"].failures = 10**6
    with pytest.raises(StateNotDurable, match="ConnectionError"):
        save(tables_of(app, patience=0.1), (state, entries))


def test_only_old_closed_series_of_own_partitions_are_forgotten(app: App) -> None:
    tables = tables_of(app)
    kept = [("open", None, 2), ("young", 1.0, 2), ("another's", 48.0, 3)]
    save(tables, *(a_state(*one) for one in [("old", 48.0, 2), *kept]))
    count = asyncio.run(tables.forget_closed(START - timedelta(hours=24), {2}))
    assert count == 1
    assert tables.load(key("old")) is None
    assert all(tables.load(key(series)) for series, _, _ in kept)
    assert sum(value is None for _, _, value in app.tables["entries"].log) == 2
    assert app.tables["series"].log[-1] == (2, key("old").encode(), None)
