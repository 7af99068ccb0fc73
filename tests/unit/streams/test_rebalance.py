"""While the state of the series is recovered nothing is processed: what is older would be written over it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.app import Wiring, attach
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.series import LedgerKind, SeriesLedgerEntry
from streams.contracts.topics import SERIES
from streams.errors import StateNotDurable
from streams.group_commit import GroupCommit
from streams.progress import Progress

PLACE = TP(SERIES.name, 0)


def a_message(offset: int) -> Any:
    """A ledger entry that tells the offset it lies at."""
    entry = SeriesLedgerEntry(
        kind=LedgerKind.OPENED,
        study_key="a" * 32,
        series_key="b" * 32,
        association="c" * 32,
        calling_ae="CT1",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        frames_accepted=offset,
    )
    return SimpleNamespace(
        topic=PLACE.topic, partition=PLACE.partition, offset=offset, key=b"", value=entry.encode(), headers=()
    )


class Signal:
    def __init__(self) -> None:
        self.send: Callable[[], Awaitable[None]]

    def connect(self, handler: Callable[[], Awaitable[None]], weak: bool) -> None:
        self.send = handler


class Worker:
    """The agents, timers and signals of a worker on a stand-in for Faust, with one ledger partition."""

    def __init__(self) -> None:
        self.agents: dict[str, Callable[[Any], Awaitable[None]]] = {}
        self.assignment = {PLACE}
        self.committed = {PLACE: 0}
        self.processed: list[int] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        app: Any = SimpleNamespace(
            agent=lambda _topic, name, concurrency: lambda function: self.agents.update({name: function}),
            timer=lambda _seconds, name: lambda function: function,
            on_partitions_revoked=Signal(),
            on_rebalance_complete=Signal(),
            consumer=SimpleNamespace(
                assignment=lambda: self.assignment,
                _committed_offset=self.committed,
                _acked_index=defaultdict(set),
                _acked=defaultdict(list),
                _n_acked=0,
            ),
        )
        self.app = app
        self.wiring = object.__new__(Wiring)
        self.wiring.app, self.wiring.progress = app, Progress()
        self.wiring.slices = self.wiring.series = None
        self.wiring.settings = SimpleNamespace(tick_seconds=1.0)  # type: ignore[assignment]
        self.confirmed = asyncio.Event()
        self.confirmed.set()
        self.commit = GroupCommit(self._confirm, "", 20.0, 20.0, lambda _error: None)
        self.wiring.turn = asyncio.Lock()
        self.wiring.tables = SimpleNamespace(  # type: ignore[assignment]
            open_series=lambda _partitions: (), then=self.commit.then, settled=self.commit.settled
        )
        self.acknowledged: list[int] = []
        self.aside: list[tuple[int, DeadLetterReason]] = []
        self.wiring.set_aside = self._set_aside  # type: ignore[method-assign]
        self.malformed: set[int] = set()
        self.failing: dict[int, Exception] = {}
        """What processing the message of an offset ends with."""
        self.refusals: Counter[int] = Counter()
        """How often the broker does not give a message, by its offset."""
        self.wiring.view = SimpleNamespace(message=self._from_broker)  # type: ignore[assignment]
        attach(self.wiring, self._processor(), None, lambda: None)  # type: ignore[arg-type]
        self.running = asyncio.create_task(self.agents["series"](SimpleNamespace(events=self._events)))  # type: ignore[arg-type]

    def _processor(self) -> Any:
        async def ledger_entry(event: SeriesLedgerEntry, _partition: int) -> None:
            await self.go_on.wait()
            if event.frames_accepted in self.failing:
                raise self.failing[event.frames_accepted]
            self.processed.append(event.frames_accepted)
            await self.commit.put([(event.frames_accepted, b"")])

        return SimpleNamespace(
            ledger_entry=ledger_entry, resume=lambda _states: None, forget=lambda _key: None, gallery=None
        )

    async def _set_aside(self, message: Any, reason: DeadLetterReason, _detail: str) -> None:
        self.aside.append((message.offset, reason))

    async def _events(self) -> AsyncIterator[Any]:
        while True:
            message = a_message(await self.events.get())
            if message.offset in self.malformed:
                message.value = b"{"
            yield SimpleNamespace(message=message, ack=partial(self.acknowledged.append, message.offset))

    def _from_broker(self, _topic: str, _partition: int, offset: int) -> Any:
        if self.refusals[offset]:
            self.refusals[offset] -= 1
            return None
        return a_message(offset)

    async def _confirm(self, _writes: Any) -> None:
        await self.confirmed.wait()

    def fetch(self, *offsets: int) -> None:
        for offset in offsets:
            self.events.put_nowait(offset)

    async def settle(self) -> None:
        """Until nothing more happens by itself."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def until_processed(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.processed) < count:
                await asyncio.sleep(0.005)

    async def rebalance(self, committed: int) -> None:
        """Revoked, assigned, recovered, sought."""
        await self.app.on_partitions_revoked.send()
        await self.app.on_rebalance_complete.send()
        self.committed[PLACE] = committed
        self.wiring.progress.begin()


def play(scenario: Callable[[Worker], Awaitable[None]]) -> None:
    async def run() -> None:
        worker = Worker()
        try:
            await scenario(worker)
        finally:
            worker.running.cancel()

    asyncio.run(run())


def test_nothing_is_processed_before_the_state_is_there() -> None:
    async def scenario(worker: Worker) -> None:
        worker.fetch(0)
        await worker.settle()
        assert worker.processed == []
        await worker.rebalance(committed=0)
        await worker.until_processed(1)

    play(scenario)


def test_what_is_under_way_is_saved_before_the_state_is_recovered() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.go_on.clear()
        worker.fetch(0)
        await worker.settle()
        revoked = asyncio.ensure_future(worker.app.on_partitions_revoked.send())
        await worker.settle()
        assert not revoked.done()
        worker.go_on.set()
        await revoked
        assert worker.processed == [0]

    play(scenario)


def test_a_message_is_acknowledged_when_what_came_of_it_is_durable_and_the_next_do_not_wait_for_that() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.confirmed.clear()
        worker.fetch(0, 1, 2)
        await worker.until_processed(3)
        await worker.settle()
        assert worker.acknowledged == []
        worker.confirmed.set()
        await worker.commit.settled()
        assert worker.acknowledged == [0, 1, 2]

    play(scenario)


def test_what_cannot_be_processed_is_set_aside_and_the_partition_goes_on() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.malformed.add(1)
        worker.failing[2] = RuntimeError("a fault of ours")
        worker.fetch(0, 1, 2, 3)
        await worker.until_processed(2)
        await worker.settle()
        assert worker.processed == [0, 3]
        assert worker.aside == [(1, DeadLetterReason.MALFORMED_MESSAGE), (2, DeadLetterReason.INTERNAL_ERROR)]
        assert worker.acknowledged == [0, 1, 2, 3]
        assert worker.wiring.progress.durable_until(PLACE, 0) == 4

    play(scenario)


def test_where_kafka_does_not_confirm_the_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended(Exception):
        """The process would be gone."""

    def end() -> None:
        raise Ended

    monkeypatch.setattr("streams.app.end_process", end)

    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.failing[0] = StateNotDurable("planned")
        worker.fetch(0, 1)
        with pytest.raises(Ended):
            await worker.running
        assert (worker.processed, worker.aside, worker.acknowledged) == ([], [], [])

    play(scenario)


def test_partitions_are_given_up_when_what_came_of_their_messages_is_durable() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.confirmed.clear()
        worker.fetch(0, 1)
        await worker.until_processed(2)
        revoked = asyncio.ensure_future(worker.app.on_partitions_revoked.send())
        worker.fetch(2)
        await worker.settle()
        assert not revoked.done()
        worker.confirmed.set()
        await revoked
        assert worker.processed == worker.acknowledged == [0, 1]

    play(scenario)


def test_what_was_fetched_before_waits_and_does_not_hide_what_was_passed_over() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.fetch(0)
        await worker.until_processed(1)
        await worker.app.on_partitions_revoked.send()
        worker.fetch(3)
        await worker.settle()
        assert worker.processed == [0]
        await worker.rebalance(committed=1)
        await worker.until_processed(4)
        assert worker.processed == [0, 1, 2, 3]

    play(scenario)


def test_what_was_passed_over_is_asked_for_until_the_broker_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.app.FETCH_AGAIN_SECONDS", 0.01)

    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.refusals[1] = 3
        worker.fetch(0, 2)
        await worker.until_processed(3)
        assert worker.processed == [0, 1, 2]
        await worker.commit.settled()
        assert worker.wiring.progress.durable_until(PLACE, 0) == 3

    play(scenario)


def test_what_the_broker_does_not_keep_any_more_is_not_waited_for() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.wiring.progress.ranges = {PLACE: (2, 4)}
        worker.fetch(3)
        await worker.until_processed(2)
        assert worker.processed == [2, 3]

    play(scenario)


def test_what_was_fetched_directly_is_not_processed_again_when_it_is_delivered() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        worker.fetch(2, 0, 1, 2, 3)
        await worker.until_processed(4)
        await worker.settle()
        assert worker.processed == [0, 1, 2, 3]

    play(scenario)


def test_what_belongs_to_another_worker_now_is_left_to_it() -> None:
    async def scenario(worker: Worker) -> None:
        await worker.rebalance(committed=0)
        await worker.app.on_partitions_revoked.send()
        worker.fetch(0)
        await worker.settle()
        worker.assignment.clear()
        await worker.rebalance(committed=0)
        await worker.settle()
        assert worker.processed == []

    play(scenario)
