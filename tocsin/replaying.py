"""Plays a case again: what the listener said of it, into another cluster, at the pace at which it came or faster.

Laws: never into the cluster that it came from, so that nobody is alerted twice; instants are moved to now and keep
their distances; pixels and headers are those of the case.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from streams.contracts.series import SeriesLedgerEntry
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.contracts.topics import MAX_MESSAGE_BYTES, SERIES, SLICES
from tocsin import published
from tocsin.errors import BadRequest, KafkaUnavailable
from tocsin.published import PublishedEntry

REQUEST_TIMEOUT_MS = 10_000
SEND_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Played:
    """A message of the case. ``event`` carries its instant; ``pixels`` are a slice's."""

    at: datetime
    event: SeriesLedgerEntry | SliceAccepted
    pixels: bytes = b""


def messages_of(servers: str, study_key: str) -> Iterator[Played]:
    """The listener's messages of a study, in the order of their instants.

    Raises:
        KafkaUnavailable: the topics cannot be read.
    """
    entries = [one for one in published.ledger(servers) if one.entry.study_key == study_key]
    ledger = sorted((Played(one.entry.at, one.entry) for one in entries), key=lambda played: played.at)
    arrivals = [_slices(servers, key, entries) for key in dict.fromkeys(one.entry.series_key for one in entries)]
    return heapq.merge(ledger, *arrivals, key=lambda played: played.at)


def _slices(servers: str, series_key: str, entries: Iterable[PublishedEntry]) -> Iterator[Played]:
    for one in published.slices_of(servers, series_key, entries):
        yield Played(one.header.accepted_at, one.header, one.pixels)


def play(
    played: Iterator[Played],
    into: str,
    speed: float,
    progress: Callable[[Played], None] = lambda _played: None,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Put the messages on another cluster; returns how many slices.

    Raises:
        KafkaUnavailable: it does not take them.
    """
    producer = _producer(into)
    count, start, first = 0, datetime.now(UTC), None
    try:
        for one in played:
            first = first or one.at
            due = start + (one.at - first) / speed
            sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
            _send(producer, one, due)
            count += isinstance(one.event, SliceAccepted)
            progress(one)
    except KafkaError as error:
        raise KafkaUnavailable(f"{into} did not take a message: {type(error).__name__}.") from error
    finally:
        producer.close()
    return count


def _send(producer: Any, one: Played, at: datetime) -> None:
    key = one.event.series_key.encode()
    if isinstance(one.event, SliceAccepted):
        header = one.event.model_copy(update={"accepted_at": at}).encode()
        sent = producer.send(SLICES.name, one.pixels, key=key, headers=[(SLICE_HEADER, header)])
    else:
        sent = producer.send(SERIES.name, one.event.model_copy(update={"at": at}).encode(), key=key)
    sent.get(timeout=SEND_TIMEOUT_SECONDS)


def demand_another_cluster(servers: str, into: str) -> None:
    """Raises BadRequest where both are the same cluster, by whatever names: its alerts would ring for real."""
    if _cluster_id(servers) == _cluster_id(into):
        raise BadRequest(
            f"{into} is the cluster that the case came from: its doctors would be alerted again. "
            "Start a scratch node (tocsin up --data-dir …) and name its Kafka."
        )


def _cluster_id(servers: str) -> str:
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=servers.split(","),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            return str(admin.describe_cluster()["cluster_id"])
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(f"No Kafka answers at {servers}: {type(error).__name__}.") from error


def _producer(servers: str) -> KafkaProducer:
    try:
        return KafkaProducer(
            bootstrap_servers=servers.split(","),
            acks="all",
            max_request_size=MAX_MESSAGE_BYTES,
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
        )
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(f"No Kafka answers at {servers}: {type(error).__name__}.") from error
