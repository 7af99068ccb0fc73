"""In which order fetched messages are taken."""

from types import SimpleNamespace

from faust.types import TP

from streams.contracts.topics import SERIES, SLICES
from streams.scheduling import OldestFirst


def at(*instants: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(timestamp=instant) for instant in instants]


def order(records: dict[TP, list[SimpleNamespace]]) -> list[tuple[str, int, int]]:
    return [(place.topic, place.partition, message.timestamp) for place, message in OldestFirst().iterate(records)]


def test_the_oldest_slice_of_all_partitions_is_first() -> None:
    fetched = {TP(SLICES.name, 0): at(5, 6, 7), TP(SLICES.name, 1): at(1, 2, 9)}
    assert [instant for *_, instant in order(fetched)] == [1, 2, 5, 6, 7, 9]


def test_the_ledger_is_before_all_slices() -> None:
    fetched = {TP(SLICES.name, 0): at(1), TP(SERIES.name, 0): at(8, 9)}
    assert [topic for topic, *_ in order(fetched)] == [SERIES.name, SERIES.name, SLICES.name]


def test_a_partition_keeps_its_order_although_the_clock_jumped_back() -> None:
    fetched = {TP(SLICES.name, 0): at(5, 3, 4), TP(SLICES.name, 1): at(4)}
    assert [instant for _, partition, instant in order(fetched) if partition == 0] == [5, 3, 4]
