"""Writes that gather while Kafka confirms those before them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest

from streams.errors import StateNotDurable
from streams.group_commit import MOST_GATHERED, GroupCommit

Write = tuple[str, int]


class Kafka:
    """Confirms each attempt when it is told to, or fails it."""

    def __init__(self) -> None:
        self.attempts: list[list[Write]] = []
        self.go_on = asyncio.Event()
        self.failures = 0

    async def write(self, writes: Sequence[Write]) -> None:
        self.attempts.append(list(writes))
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        await self.go_on.wait()


def play(
    scenario: Callable[[Kafka, GroupCommit[str, int], list[object]], Awaitable[None]], patience: float = 5
) -> None:
    async def run() -> None:
        kafka, said = Kafka(), list[object]()
        await scenario(kafka, GroupCommit(kafka.write, "state", 5.0, patience, said.append), said)

    asyncio.run(run())


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_the_first_goes_at_once_and_the_others_together() -> None:
    async def scenario(kafka: Kafka, commit: GroupCommit[str, int], said: list[object]) -> None:
        for number in range(4):
            await commit.put([(f"entry{number}", number), ("summary", number)])
            commit.then(partial(said.append, number))
            await settle()
        assert kafka.attempts == [[("entry0", 0), ("summary", 0)]]
        assert said == []
        kafka.go_on.set()
        await commit.settled()
        assert kafka.attempts[1:] == [[("entry1", 1), ("entry2", 2), ("entry3", 3), ("summary", 3)]]
        assert said == [0, 1, 2, 3]

    play(scenario)


def test_what_is_to_be_done_afterwards_waits_for_what_was_put_before() -> None:
    async def scenario(kafka: Kafka, commit: GroupCommit[str, int], said: list[object]) -> None:
        commit.then(partial(said.append, "nothing before"))
        await settle()
        assert said == ["nothing before"]
        await commit.put([("a", 1)])
        await settle()
        commit.then(partial(said.append, "a"))
        await commit.put([("b", 1)])
        await settle()
        assert said == ["nothing before"]
        kafka.go_on.set()
        await commit.settled()
        assert said == ["nothing before", "a"]

    play(scenario)


def test_a_failed_attempt_is_repeated_before_anything_that_came_later() -> None:
    async def scenario(kafka: Kafka, commit: GroupCommit[str, int], said: list[object]) -> None:
        kafka.failures = 1
        await commit.put([("a", 1)])
        commit.then(partial(said.append, "a"))
        await settle()
        await commit.put([("a", 2)])
        kafka.go_on.set()
        await commit.settled()
        assert kafka.attempts == [[("a", 1)], [("a", 1)], [("a", 2)]]
        assert said == ["a"]

    play(scenario)


def test_what_is_never_confirmed_is_said_and_nothing_is_done_or_written_after_it() -> None:
    async def scenario(kafka: Kafka, commit: GroupCommit[str, int], said: list[object]) -> None:
        kafka.failures = 10**6
        await commit.put([("a", 1)])
        commit.then(partial(said.append, "a"))
        with pytest.raises(StateNotDurable, match="ConnectionError"):
            await commit.settled()
        assert [type(one) for one in said] == [StateNotDurable]
        attempts = len(kafka.attempts)
        with pytest.raises(StateNotDurable):
            await commit.put([("b", 1)])
        await settle()
        assert len(kafka.attempts) == attempts

    play(scenario, patience=0.01)


def test_what_fails_afterwards_is_said_and_nobody_waits_for_ever() -> None:
    async def scenario(kafka: Kafka, commit: GroupCommit[str, int], said: list[object]) -> None:
        def fail() -> None:
            raise KeyError

        kafka.go_on.set()
        await commit.put([("a", 1)])
        commit.then(fail)
        with pytest.raises(StateNotDurable, match="KeyError"):
            await commit.settled()
        assert [type(one) for one in said] == [StateNotDurable]

    play(scenario)


def test_more_than_may_gather_wait_before_they_are_taken() -> None:
    async def scenario(kafka: Kafka, commit: GroupCommit[str, int], said: list[object]) -> None:
        for number in range(MOST_GATHERED + 1):
            await commit.put([(str(number), number)])
            await settle()
        one_more = asyncio.ensure_future(commit.put([("one more", 0)]))
        await settle()
        assert not one_more.done()
        kafka.go_on.set()
        await one_more
        await commit.settled()
        assert [write for attempt in kafka.attempts for write in attempt][-1] == ("one more", 0)

    play(scenario)
