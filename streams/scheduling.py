"""In which order a worker takes the messages that it has fetched: the ledger first, then the oldest slice.

Faust goes round the partitions, one message each; behind a backlog that favours a partition with few series over one
with many, whatever waits there. Here the slice that was published first is read first, as far as one fetch reaches. The
ledger is small and tells which series are complete: it never waits behind slices.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

from faust.types import TP
from faust.types.transports import SchedulingStrategyT

from streams.contracts.topics import SLICES


class OldestFirst(SchedulingStrategyT):  # type: ignore[misc] # Faust is not typed to mypy
    """Keeps the order within each partition."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        for place, messages in records.items():
            if place.topic != SLICES.name:
                yield from ((place, message) for message in messages)
        slices = (
            [(place, message) for message in messages]
            for place, messages in records.items()
            if place.topic == SLICES.name
        )
        yield from heapq.merge(*slices, key=_taken_at)


def _taken_at(placed: tuple[TP, Any]) -> int:
    """Milliseconds since the epoch, when Kafka took the slice."""
    return int(placed[1].timestamp or 0)
