"""How far the slice partitions reach, asked of the broker itself.

A consumer that has stopped silently (Faust's can, after a broker's restart) knows nothing of what it does not fetch:
its own idea of the end of a partition stands still with it. This one asks on a connection of its own.
"""

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.contracts.topics import SLICES

REQUEST_TIMEOUT_MS = 5_000


class BrokerView:
    """Asks for end offsets; made at first use, used by one thread at a time."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._consumer: KafkaConsumer | None = None

    def ends(self) -> dict[int, int]:
        """End offset by partition of ``ct.slices.v1``; empty while the broker does not answer. Blocks."""
        try:
            if self._consumer is None:
                self._consumer = KafkaConsumer(
                    bootstrap_servers=self._bootstrap_servers.split(","),
                    enable_auto_commit=False,
                    allow_auto_create_topics=False,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                    bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
                )
            partitions = self._consumer.partitions_for_topic(SLICES.name) or ()
            places = [TopicPartition(SLICES.name, partition) for partition in partitions]
            return {place.partition: end for place, end in self._consumer.end_offsets(places).items()}
        except (KafkaError, OSError, ValueError):
            self.close()
            return {}

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
