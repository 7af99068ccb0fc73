"""Kafka, as the alert service uses it: a consumer that comes back by itself, and a producer that waits for the ack.

Laws: an offset is committed after the store has committed what the message said; the defaults that would break the
promise of 30 s are replaced here; nothing waits for Kafka that has work without it.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from alerts.errors import BrokerUnavailable, StoreUnavailable
from alerts.intake import Incoming, Taken
from alerts.metrics import AlertMetrics
from alerts.ports import Clock, Stop
from streams.contracts.deadletters import DEADLETTER_HEADER, MessageSetAside
from streams.contracts.event import Event
from streams.contracts.topics import ALERTS, DEADLETTERS, MAX_MESSAGE_BYTES, Topic

log = logging.getLogger(__name__)

BOOTSTRAP_MS = 2_000
BACK_OFF_MS = 1_000
REQUEST_TIMEOUT_MS = 5_000
MAX_BLOCK_MS = 2_000
DELIVERY_TIMEOUT_MS = 10_000
SESSION_TIMEOUT_MS = 6_000
HEARTBEAT_MS = 2_000
SILENT_SECONDS = 3 * HEARTBEAT_MS / 1000
POLL_MS = 200
JOIN_MS = 2_500
"""Without partitions a poll may take so long: one that ends while the group is being joined leaves kafka-python with
neither partitions nor heartbeat, until it is opened anew. It ends at once when there is something to read."""
POLL_RECORDS = 50
RETRY_SECONDS = 0.5
DEAF_SECONDS = 15.0
"""Without a connection for so long, the consumer is built anew: clients have been seen to stay deaf."""

NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")

Header = tuple[str, bytes]


class Outbound:
    """The producer of this process: made at first use, closed for good on :meth:`close`."""

    def __init__(self, servers: Iterable[str]) -> None:
        self._servers = list(servers)
        self._producer: Any = None
        self._is_away = False

    def publish(self, events: list[tuple[str, Event]]) -> int:
        """Publish (key, event) pairs to ``triage.alerts.v1``; returns how many, from the first on, are confirmed."""
        return self._send([(ALERTS.name, key.encode(), event.encode(), []) for key, event in events])

    def set_aside(self, message: Incoming, why: MessageSetAside) -> None:
        """Put a message into the dead letters, whole.

        Raises:
            BrokerUnavailable: not confirmed.
        """
        headers = [*message.headers, (DEADLETTER_HEADER, why.encode())]
        if not self._send([(DEADLETTERS.name, message.key, message.value, headers)]):
            raise BrokerUnavailable("the dead letters did not take the message")

    def _send(self, messages: list[tuple[str, bytes | None, bytes | None, list[Header]]]) -> int:
        confirmed = 0
        try:
            producer = self._producer or self._open()
            futures = [producer.send(t, key=k, value=v, headers=h) for t, k, v, h in messages]
            for future in futures:
                future.get(timeout=DELIVERY_TIMEOUT_MS / 1000)
                confirmed += 1
        except KafkaError as error:
            if not self._is_away:
                log.warning(
                    "Kafka does not confirm; what it owes is kept and sent again", extra={"error": type(error).__name__}
                )
            self._is_away = True
            self.close()
        else:
            self._is_away = False
        return confirmed

    def _open(self) -> Any:
        self._producer = KafkaProducer(
            bootstrap_servers=self._servers,
            client_id="tocsin-alerts",
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            max_request_size=MAX_MESSAGE_BYTES,
            max_block_ms=MAX_BLOCK_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            reconnect_backoff_max_ms=BACK_OFF_MS,
        )
        return self._producer

    def close(self) -> None:
        """Close; the next message opens a new producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError):
                producer.close(timeout=1)


class Reception:
    """Whether findings can be received, for the page and the metrics."""

    def __init__(self, clock: Clock, metrics: AlertMetrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self.deaf_since: datetime | None = clock.now()
        """None while connected."""
        self.caught_up = False
        """Whether everything that waited in Kafka when this service started has been read."""

    def hears(self, connected: bool) -> None:
        if connected:
            self.deaf_since = None
        elif self.deaf_since is None:
            self.deaf_since = self._clock.now()
            log.warning("no findings can be received: Kafka is away")
        self._metrics.consumer_connected.set(connected)


class Taker(Protocol):
    """Works messages."""

    def take(self, message: Incoming) -> Taken:
        """Work one message.

        Raises:
            StoreUnavailable, BrokerUnavailable: the same message must be taken again.
        """
        ...


class Inbound:
    """Reads topics from the earliest message on, for ever. Of several instances one reads each partition; the others
    stand by and take over within the session's time-out.

    Args:
        reception: is told whether we hear; None where nobody needs to know.
    """

    def __init__(
        self,
        servers: Iterable[str],
        topics: Sequence[Topic],
        group: str,
        instance: str,
        intake: Taker,
        reception: Reception | None,
        stop: Stop,
    ) -> None:
        self._topics = [topic.name for topic in topics]
        self._servers = list(servers)
        self._group = group
        self._instance = NOT_IN_A_NAME.sub("-", instance)
        self._intake = intake
        self._reception = reception
        self._stop = stop
        self.from_the_beginning = False
        """Set for a new database: whatever Kafka still has is read again, whatever was committed before."""
        self.rewound: Callable[[], None] = lambda: None
        """Called once the broker has it that everything is to be read again."""
        self._rewound: set[TopicPartition] = set()
        self._heard_at = time.monotonic()

    def run(self) -> None:
        """The life of the consumer's thread: ends when ``stop`` is set."""
        while not self._stop.is_set():
            try:
                consumer = self._open()
            except (KafkaError, OSError, ValueError):
                self._hears(False)
                self._stop.wait(RETRY_SECONDS)
                continue
            self._heard_at = time.monotonic()
            try:
                self._consume(consumer)
            except KafkaError as error:
                log.warning("the consumer lost Kafka", extra={"error": type(error).__name__})
                self._hears(False)
                self._stop.wait(RETRY_SECONDS)
            finally:
                with suppress(KafkaError, OSError):
                    consumer.close(autocommit=False, timeout_ms=1000)

    def _open(self) -> Any:
        return KafkaConsumer(
            *self._topics,
            bootstrap_servers=self._servers,
            client_id="tocsin-alerts",
            group_id=self._group,
            group_instance_id=self._instance,  # after a crash the same member is back at once (KIP-345)
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_bytes=MAX_MESSAGE_BYTES,
            max_poll_records=POLL_RECORDS,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            bootstrap_timeout_ms=BOOTSTRAP_MS,
            reconnect_backoff_max_ms=BACK_OFF_MS,
            metadata_max_age_ms=10_000,
        )

    def _consume(self, consumer: Any) -> None:
        while not self._stop.is_set():
            batches = consumer.poll(timeout_ms=POLL_MS if consumer.assignment() else JOIN_MS)
            hears = bool(batches) or connected(consumer, self._topics)
            self._hears(hears)
            if self.from_the_beginning and self._rewind(consumer):
                continue
            if hears and not batches and consumer.assignment() and self._reception:
                self._reception.caught_up = True
            if time.monotonic() - self._heard_at > DEAF_SECONDS:
                raise KafkaError("deaf")
            for partition, records in batches.items():
                self._work(consumer, partition, records)

    def _hears(self, connected: bool) -> None:
        if connected:
            self._heard_at = time.monotonic()
        if self._reception:
            self._reception.hears(connected)

    def _rewind(self, consumer: Any) -> bool:
        new = set(consumer.assignment()) - self._rewound
        if new:
            consumer.seek_to_beginning(*new)
            starts = {place: OffsetAndMetadata(consumer.position(place), "", -1) for place in new}
            consumer.commit(starts, timeout_ms=REQUEST_TIMEOUT_MS)
            self._rewound |= new
            self.rewound()
        return bool(new)

    def _work(self, consumer: Any, partition: TopicPartition, records: list[Any]) -> None:
        done = 0
        for record in records:
            if not until_taken(self._intake, incoming(record), self._stop):
                break
            done = record.offset + 1
        if done:
            try:
                consumer.commit({partition: OffsetAndMetadata(done, "", -1)}, timeout_ms=REQUEST_TIMEOUT_MS)
            except KafkaError as error:  # what was taken will come again, and be known
                log.warning("an offset was not committed", extra={"error": type(error).__name__})


def until_taken(intake: Taker, message: Incoming, stop: Stop, wait: Callable[[float], object] | None = None) -> bool:
    """Take a message, however long the store or the dead letters are away; False when asked to stop before."""
    while not stop.is_set():
        try:
            intake.take(message)
        except (StoreUnavailable, BrokerUnavailable) as error:
            log.warning("a message waits", extra={"topic": message.topic, "error": type(error).__name__})
            (wait or stop.wait)(RETRY_SECONDS)
        else:
            return True
    return False


def incoming(record: Any) -> Incoming:
    return Incoming(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple((name, value or b"") for name, value in record.headers or ()),
        written_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
    )


def connected(consumer: Any, topics: Iterable[str]) -> bool:
    """Whether the consumer has partitions, or stands by while another instance has them all, and has lately sent the
    group's coordinator a heartbeat."""
    metrics = consumer.metrics() or {}
    silent_seconds = metrics.get("consumer-coordinator-metrics", {}).get("last-heartbeat-seconds-ago", float("inf"))
    if not 0 <= silent_seconds < SILENT_SECONDS:
        return False
    return bool(consumer.assignment()) or all(consumer.partitions_for_topic(topic) for topic in topics)
