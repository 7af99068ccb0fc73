"""What is committed ends before the first message whose outcome is not durable, whatever Faust takes for done."""

from typing import Any

import pytest
from faust.types import TP

from streams.app import create_app
from streams.committing import commit_in_order
from streams.contracts.topics import FINDINGS, SLICES
from streams.progress import Progress
from streams.settings import StreamsSettings

PLACE = (SLICES.name, 0)
WHERE = TP(*PLACE)


class Partition:
    """One partition as Faust's consumer holds it, the offset 1 being the next to be committed."""

    def __init__(self, committed: int | None = 1, first: int = 0) -> None:
        self.consumer: Any = create_app(StreamsSettings())._new_consumer()
        self.consumer._committed_offset[WHERE] = committed
        self.progress = Progress()
        commit_in_order(self.consumer, (SLICES.name,), self.progress, lambda _place: first)

    def faust_acknowledges(self, *offsets: int) -> None:
        self.consumer._acked[WHERE].extend(offsets)
        self.consumer._acked_index[WHERE].update(offsets)

    def confirm(self, *offsets: int) -> None:
        for offset in offsets:
            self.progress.confirmed(PLACE, offset)

    @property
    def committable(self) -> int | None:
        self.faust_acknowledges(99)
        return self.consumer._new_offset(WHERE)  # type: ignore[no-any-return]  # Faust's


@pytest.mark.parametrize("committed", [None, 0, 1])
def test_one_message_that_was_passed_over_at_the_head_holds_it(committed: int | None) -> None:
    partition, head = Partition(committed), committed or 0
    partition.confirm(head + 1, head + 2)
    assert partition.committable is None
    partition.confirm(head)
    assert partition.committable == head + 3


def test_what_faust_acknowledges_by_itself_does_not_count() -> None:
    partition = Partition()
    partition.confirm(1)
    partition.faust_acknowledges(2, 3)
    partition.consumer._gap[WHERE].addi(2, 4)
    assert partition.committable == 2
    assert partition.consumer._acked[WHERE] == []


def test_a_commit_that_fails_is_made_again() -> None:
    partition = Partition()
    partition.confirm(1, 2)
    assert [partition.committable, partition.committable] == [3, 3]
    partition.consumer._committed_offset[WHERE] = 3
    assert partition.committable is None
    partition.confirm(3)
    assert partition.committable == 4


def test_what_retention_has_removed_is_not_waited_for() -> None:
    partition = Partition(committed=None, first=7)
    partition.confirm(7, 8)
    assert partition.committable == 9


def test_other_topics_are_left_to_faust() -> None:
    partition, where = Partition(), TP(FINDINGS.name, 0)
    partition.consumer._acked[where].extend((0, 1))
    assert partition.consumer._new_offset(where) == 2
