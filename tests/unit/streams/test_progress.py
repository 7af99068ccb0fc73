"""A partition that waits behind others is not passed over; and silence is what the broker confirms."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from streams.app import Wiring
from streams.contracts.topics import SERIES, SLICES
from streams.progress import IDLE_LOOKS, STARVED_SECONDS, Delivered, Progress

PLACE = (SLICES.name, 0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def looks(progress: Progress, seconds: int, offset: int = 7, start: int = 0) -> list[int]:
    """At which of so many looks, a second apart, the message at an offset counts as passed over."""
    return [at for at in range(start, start + seconds) if progress.passed_over(PLACE, offset, float(at))]


def test_where_nothing_is_on_its_way_it_was_passed_over() -> None:
    progress = Progress(delivered={SLICES.name: Delivered(buffered=tuple)})
    assert looks(progress, IDLE_LOOKS) == [IDLE_LOOKS - 1]


@pytest.mark.parametrize("kept", [{"buffered": lambda: (1,)}, {"buffered": tuple, "working": True}])
def test_where_others_are_on_their_way_it_waits_its_turn(kept: dict[str, Any]) -> None:
    progress = Progress(delivered={SLICES.name: Delivered(buffered=tuple), SERIES.name: Delivered(**kept)})
    assert looks(progress, int(STARVED_SECONDS) + 2) == [60, 61]


def test_a_partition_that_moves_was_not_passed_over() -> None:
    progress = Progress(delivered={SLICES.name: Delivered(buffered=tuple)})
    assert not any(looks(progress, 1, offset=at, start=at) for at in range(200))


def test_a_message_is_in_hand_until_it_is_done() -> None:
    delivered = Delivered(buffered=tuple)
    with delivered.in_hand():
        assert not delivered.idle
    assert delivered.idle
    with pytest.raises(RuntimeError), delivered.in_hand():
        raise RuntimeError
    assert delivered.idle


def heard(next_offset: int, **known: Any) -> datetime | None:
    progress = Progress()
    progress.begin()
    progress.told({PLACE: (0, 10)}, NOW)
    for name, value in known.items():
        setattr(progress, name, value)
    wiring = SimpleNamespace(progress=progress, next_offset=lambda _place: next_offset)
    return Wiring.heard_until(wiring, 0)  # type: ignore[arg-type]  # what it asks for


def test_a_partition_read_to_its_end_is_heard_until_the_broker_was_asked_and_not_until_now() -> None:
    assert heard(10) == NOW
    assert heard(10, heard={0: NOW - timedelta(hours=8)}) == NOW


def test_behind_a_backlog_it_is_heard_as_far_as_it_was_read() -> None:
    earlier = NOW - timedelta(seconds=90)
    assert heard(9, heard={0: earlier}) == earlier
    assert heard(9) is None


def test_an_old_answer_does_not_hide_what_has_come_since() -> None:
    assert heard(12, heard={0: NOW + timedelta(seconds=5)}) == NOW + timedelta(seconds=5)


def test_where_the_broker_does_not_answer_nothing_is_heard() -> None:
    assert heard(10, ranges={}) is None
