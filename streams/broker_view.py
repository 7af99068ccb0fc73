"""How far the slice partitions reach, asked of the broker itself.

A consumer that has stopped silently (Faust's can, after a broker's restart) knows nothing of what it does not fetch:
its own idea of the end of a partition stands still with it. This one asks on a connection of its own.
"""

from threading import RLock
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.contracts.topics import SERIES, SLICES

REQUEST_TIMEOUT_MS = 5_000
FETCH_TIMEOUT_MS = 5_000

FETCH_BYTES = 1024 * 1024
"""Asked for at a time; a larger message comes whole all the same (KIP-74), and no neighbours with it."""

Place = tuple[str, int]
"""(topic, partition)."""


class BrokerView:
    """Asks for offsets and single messages; connected at first use; safe to use from several threads."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._consumer: KafkaConsumer | None = None
        self._turn = RLock()

    def ranges(self) -> dict[Place, tuple[int, int]]:
        """(first, end) offset of each partition of slices and ledger; empty while no broker answers. Blocks."""
        with self._turn:
            return self._ranges()

    def _ranges(self) -> dict[Place, tuple[int, int]]:
        try:
            consumer = self._connected()
            places = [
                TopicPartition(topic.name, partition)
                for topic in (SLICES, SERIES)
                for partition in consumer.partitions_for_topic(topic.name) or ()
            ]
            first, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
            return {(p.topic, p.partition): (first[p], ends[p]) for p in places}
        except (KafkaError, OSError, ValueError):
            self.close()
            return {}

    def message(self, topic: str, partition: int, offset: int) -> Any:
        """The message at a place, as kafka-python gives it; None when it is not to be had. Blocks."""
        with self._turn:
            return self._message(topic, partition, offset)

    def _message(self, topic: str, partition: int, offset: int) -> Any:
        try:
            consumer, place = self._connected(), TopicPartition(topic, partition)
            consumer.assign([place])
            consumer.seek(place, offset)
            found = consumer.poll(FETCH_TIMEOUT_MS, max_records=1).get(place, ())
        except (KafkaError, OSError, ValueError):
            self.close()
            return None
        return next((record for record in found if record.offset == offset), None)

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                bootstrap_servers=self._bootstrap_servers.split(","),
                enable_auto_commit=False,
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=FETCH_BYTES,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
            )
        return self._consumer

    def close(self) -> None:
        with self._turn:
            if self._consumer is not None:
                self._consumer.close()
                self._consumer = None
