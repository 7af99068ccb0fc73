"""What the listener put on the topics about a series: its ledger, and its slices between the entries.

Slices are looked for by the time at which Kafka took them, never by the time at which they came from the scanner: after
an outage the two are hours apart. The listener keeps a series' order, so that they lie between its ledger's entries.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.contracts.errors import MalformedEvent
from streams.contracts.series import SeriesLedgerEntry, decode_series_event
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.contracts.topics import SERIES, SLICES
from tocsin.kafka.reading import records

AROUND = timedelta(minutes=5)
"""Slices are looked for so long before the first and after the last entry: two partitions may fill at another pace."""


@dataclass(frozen=True)
class PublishedEntry:
    """An entry of the ledger, in which partition (the slices' too), and when Kafka took it."""

    entry: SeriesLedgerEntry
    partition: int
    taken_at: datetime


@dataclass(frozen=True)
class PublishedSlice:
    """A slice, and when Kafka took it."""

    header: SliceAccepted
    pixels: bytes
    taken_at: datetime


def ledger(servers: str) -> Iterator[PublishedEntry]:
    """Every entry of the ledger that is still on the topic; what cannot be read is left out.

    Raises:
        KafkaUnavailable: the topic cannot be read.
    """
    for record in records(servers, SERIES.name):
        try:
            event = decode_series_event(record.value)
        except MalformedEvent:
            continue
        if isinstance(event, SeriesLedgerEntry):
            yield PublishedEntry(event, record.partition, _time_of(record.timestamp))


def slices_of(servers: str, series_key: str, entries: Iterable[PublishedEntry]) -> Iterator[PublishedSlice]:
    """The slices of a series that has ``entries`` in the ledger, in the order in which they were published.

    Raises:
        KafkaUnavailable: the topic cannot be read.
    """
    own = [entry for entry in entries if entry.entry.series_key == series_key]
    instants = [entry.taken_at for entry in own]
    since, until = min(instants) - AROUND, max(instants) + AROUND
    for record in records(servers, SLICES.name, since=since, until=until, partition=own[0].partition):
        if (record.key or b"") != series_key.encode():
            continue
        try:
            header = SliceAccepted.decode(dict(record.headers)[SLICE_HEADER])
        except (KeyError, MalformedEvent):
            continue
        yield PublishedSlice(header, record.value, _time_of(record.timestamp))


def _time_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
