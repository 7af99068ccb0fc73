"""Reads what is on a topic now, for commands that look back: from an instant or from the beginning, to the end."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.contracts.topics import MAX_MESSAGE_BYTES
from tocsin.errors import KafkaUnavailable

POLL_MS = 1_000
BOOTSTRAP_MS = 10_000


def records(
    servers: str,
    topic: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    partition: int | None = None,
) -> Iterator[Any]:
    """The records of a topic, or of one partition of it, that were there when reading began.

    Args:
        since, until: of the time that Kafka has for the message; whole topic where absent.

    Raises:
        KafkaUnavailable: the cluster cannot be reached.
    """
    try:
        with closing(_consumer(servers)) as consumer:
            yield from _read(consumer, topic, since, until, partition)
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(f"{topic} cannot be read from {servers}: {type(error).__name__}.") from error


def _consumer(servers: str) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=servers.split(","),
        enable_auto_commit=False,
        allow_auto_create_topics=False,
        max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        bootstrap_timeout_ms=BOOTSTRAP_MS,
    )


def _read(
    consumer: KafkaConsumer, topic: str, since: datetime | None, until: datetime | None, partition: int | None
) -> Iterator[Any]:
    numbers = consumer.partitions_for_topic(topic) or ()
    places = [TopicPartition(topic, n) for n in sorted(numbers) if partition in (None, n)]
    if not places:
        return
    ends = consumer.end_offsets(places)
    if until is not None:
        ends |= _offsets_at(consumer, places, until, ends)
    starts = _offsets_at(consumer, places, since, ends) if since is not None else consumer.beginning_offsets(places)
    waiting = {place for place in places if starts[place] < ends[place]}
    consumer.assign(list(waiting))
    for place in waiting:
        consumer.seek(place, starts[place])
    while waiting:
        for place, batch in consumer.poll(POLL_MS).items():
            yield from (record for record in batch if record.offset < ends[place])
        done = {place for place in waiting if consumer.position(place) >= ends[place]}
        if done:
            waiting -= done
            consumer.pause(*done)


def _offsets_at(
    consumer: KafkaConsumer, places: list[TopicPartition], at: datetime, otherwise: dict[TopicPartition, int]
) -> dict[TopicPartition, int]:
    found = consumer.offsets_for_times(dict.fromkeys(places, int(at.timestamp() * 1000)))
    return {place: found[place].offset if found.get(place) else otherwise[place] for place in places}
