"""A worker that stands still while messages wait ends, to be started again; and says how long they wait."""

import asyncio
from datetime import UTC, datetime, timedelta
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from streams.__main__ import watch_over
from streams.app import Wiring
from streams.contracts.topics import SLICES
from streams.progress import Progress
from streams.reading import PixelWork
from streams.series_state import frame_record
from streams.standstill import Standstill
from tests.support.slices import a_slice
from tests.support.stream_worker import Worker
from triage_models.errors import ModelError

LOOK_SECONDS = 1.0


def a_worker(*, behind: int, idle_seconds: float, ready: bool = True) -> Any:
    progress = Progress()
    if ready:
        progress.begin()
    progress.ranges = {(SLICES.name, 0): (0, 100)}
    progress.last_progress = datetime.now(UTC) - timedelta(seconds=idle_seconds)
    return SimpleNamespace(progress=progress, settings=SimpleNamespace(stall_seconds=20.0), behind=lambda: behind)


def ends(worker: Any) -> bool:
    async def watch() -> bool:
        try:
            await asyncio.wait_for(watch_over(worker, lambda: False), 1.5 * LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    return asyncio.run(watch())


def test_it_ends_when_messages_wait_and_nothing_moves() -> None:
    assert ends(a_worker(behind=3, idle_seconds=30))


@pytest.mark.parametrize(
    "worker",
    [
        {"behind": 0, "idle_seconds": 30},
        {"behind": 3, "idle_seconds": 5},
        {"behind": 3, "idle_seconds": 30, "ready": False},
    ],
)
def test_it_goes_on_otherwise(worker: dict[str, Any]) -> None:
    assert not ends(a_worker(**worker))


def test_the_oldest_waiting_slice_is_as_old_as_the_one_that_was_read_before_it() -> None:
    progress = Progress()
    progress.begin()
    progress.heard = {
        0: datetime.now(UTC) - timedelta(seconds=40),
        1: datetime.now(UTC) - timedelta(seconds=90),
    }
    waiting = {0: 3, 1: 0}
    wiring = SimpleNamespace(progress=progress, partitions=lambda: {0, 1}, waiting=lambda place: waiting[place[1]])
    assert 40 <= Wiring.oldest_waiting_seconds(wiring) < 45  # type: ignore[arg-type]  # what it asks for
    waiting[0] = 0
    assert Wiring.oldest_waiting_seconds(wiring) == 0.0  # type: ignore[arg-type]


def test_the_first_slice_after_a_quiet_night_has_not_waited_all_night() -> None:
    progress = Progress()
    progress.begin()
    progress.heard = {0: datetime.now(UTC) - timedelta(hours=8)}
    waiting = {0: 0}
    wiring = SimpleNamespace(progress=progress, partitions=lambda: {0}, waiting=lambda place: waiting[place[1]])
    assert Wiring.oldest_waiting_seconds(wiring) == 0.0  # type: ignore[arg-type]  # what it asks for
    waiting[0] = 1
    assert Wiring.oldest_waiting_seconds(wiring) < 5  # type: ignore[arg-type]


def test_many_slow_parts_of_one_message_are_no_standstill() -> None:
    """Frames that hang the decoder one after the other, or hundreds of thin slices that are read again at the end."""
    heard: list[None] = []
    worker = Worker()
    pixels = PixelWork(worker, moved=lambda: heard.append(None))
    pixels.look(a_slice(), b"too short")
    assert len(heard) == 1
    worker.send(a_slice(1))
    model = worker.models.in_use()
    pixels.read(model, [frame_record(a_slice(1), 0, 0, None)])
    assert len(heard) == 3
    worker.reader.fails = True
    with pytest.raises(ModelError):
        pixels.read(model, [frame_record(a_slice(1), 0, 0, None)])
    assert len(heard) == 5


def test_a_process_that_stood_still_for_its_session_ends_before_it_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ended = [100.0], list[float]()
    monkeypatch.setattr("streams.standstill.now_seconds", lambda: now[0])
    standstill = Standstill(6.0, lambda: ended.append(now[0]))
    now[0] += 6
    standstill.look()
    assert ended == []
    now[0] += 1
    standstill.look()
    assert ended == [107]


def test_the_watch_notices_by_itself() -> None:
    ended = Event()
    standstill = Standstill(-1.0, ended.set)
    standstill.start()
    assert ended.wait(10)
