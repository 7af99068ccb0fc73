"""Series state in Faust tables: one for the summaries, one for the journals' lines.

Both are compacted Kafka topics with a copy in memory. A write counts only when Kafka has it: the table's own
``table[key] = value`` does not tell, so its two halves are called one after the other here. What is saved is in memory
at once, and in Kafka together with what is saved meanwhile (:mod:`streams.group_commit`).
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from functools import partial

import faust

from streams.durably import durably
from streams.errors import StateNotDurable
from streams.group_commit import GroupCommit
from streams.series_state import Entry, SeriesState, SeriesSummary

_SUMMARIES, _ENTRIES = "series", "entries"

_Key = tuple[str, int, bytes]
"""Name of the table, partition of its changelog, key."""


class SeriesTables:
    """The :class:`streams.ports.StateStore` of the worker.

    Args:
        attempt_seconds: an attempt to write that Kafka has not confirmed within this time has failed.
        patience_seconds: attempts are made for this long.
        lost: told when what was saved cannot be made durable.
        before_write: called before each write.
    """

    def __init__(
        self,
        app: faust.App,
        partitions: int,
        attempt_seconds: float,
        patience_seconds: float,
        lost: Callable[[StateNotDurable], None],
        before_write: Callable[[], None] = lambda: None,
    ) -> None:
        raw = {"key_type": bytes, "value_type": bytes}  # bytes are stored as they are
        self._tables = {name: app.Table(name, partitions=partitions, **raw) for name in (_SUMMARIES, _ENTRIES)}
        self._summaries, self._entries = self._tables[_SUMMARIES], self._tables[_ENTRIES]
        self._before_write = before_write
        self._limits = (attempt_seconds, patience_seconds)
        self._commit: GroupCommit[_Key, bytes] = GroupCommit(self._log, "series state", *self._limits, lost)

    def load(self, series_key: str) -> SeriesState | None:
        encoded = self._summaries.data.get(series_key.encode())
        if encoded is None:
            return None
        summary = SeriesSummary.model_validate_json(encoded)
        return SeriesState.rebuilt(summary, self._journal(summary))

    def open_series(self, partitions: Collection[int]) -> Iterator[SeriesState]:
        """The series of these partitions that are not closed; copies are kept of others, too."""
        return self.such(partitions, lambda summary: summary.closed_by is None)

    def such(self, partitions: Collection[int], that: Callable[[SeriesSummary], bool]) -> Iterator[SeriesState]:
        """The series of these partitions whose summary is like that."""
        for encoded in list(self._summaries.data.values()):
            summary = SeriesSummary.model_validate_json(encoded)
            if summary.partition in partitions and that(summary):
                yield SeriesState.rebuilt(summary, self._journal(summary))

    async def save(self, state: SeriesState, entries: Sequence[tuple[int, Entry]]) -> None:
        summary = state.summary
        records: list[tuple[_Key, bytes]] = [
            ((_ENTRIES, summary.partition, _entry_key(summary.series_key, ordinal)), entry.encode())
            for ordinal, entry in entries
        ]
        records.append(((_SUMMARIES, summary.partition, summary.series_key.encode()), summary.encode()))
        for (table, _, key), value in records:
            self._tables[table].data[key] = value
        await self._commit.put(records)

    def then(self, do: Callable[[], object]) -> None:
        """Do something once everything that was saved until now is durable."""
        self._commit.then(do)

    async def settled(self) -> None:
        """Everything that was saved is durable.

        Raises:
            StateNotDurable: it is not.
        """
        await self._commit.settled()

    async def _log(self, records: Sequence[tuple[_Key, bytes | None]]) -> None:
        """Write to the changelogs; None is a tombstone."""
        self._before_write()
        await asyncio.gather(
            *(self._tables[table].send_changelog(partition, key, value) for (table, partition, key), value in records)
        )

    async def forget_closed(self, before: datetime, partitions: Collection[int]) -> int:
        """Remove the state of series that were closed before an instant; returns how many.

        Only partitions whose active worker this is may be named: the copies of others are not ours to change. A slice
        that comes later still begins a new series.
        """
        old = []
        for encoded in list(self._summaries.data.values()):
            summary = SeriesSummary.model_validate_json(encoded)
            if summary.partition in partitions and summary.closed_at is not None and summary.closed_at < before:
                old.append(summary)
        await self.settled()
        for summary in old:
            keys = [_entry_key(summary.series_key, ordinal) for ordinal in range(summary.entries)]
            removals = [((_ENTRIES, summary.partition, key), None) for key in keys]
            await durably(partial(self._log, removals), "removal of state", *self._limits)
            last = [((_SUMMARIES, summary.partition, summary.series_key.encode()), None)]
            await durably(partial(self._log, last), "removal of state", *self._limits)
            for key in keys:
                self._entries.data.pop(key, None)
            self._summaries.data.pop(summary.series_key.encode(), None)
        return len(old)

    def _journal(self, summary: SeriesSummary) -> Iterator[Entry]:
        for ordinal in range(summary.entries):
            encoded = self._entries.data.get(_entry_key(summary.series_key, ordinal))
            if encoded is not None:
                yield Entry.model_validate_json(encoded)


def _entry_key(series_key: str, ordinal: int) -> bytes:
    return f"{series_key}:{ordinal}".encode()
