"""Frames that came earlier, read again from ``ct.slices.v1`` by partition and offset."""

from kafka import KafkaConsumer, TopicPartition

from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.contracts.topics import MAX_MESSAGE_BYTES, SLICES

FETCH_TIMEOUT_MS = 5_000


class KafkaFrameSource:
    """Reads single messages; made at first use, used by one thread."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._consumer: KafkaConsumer | None = None

    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        """The message at a place.

        Raises:
            LookupError: it is no longer there, or the broker does not answer.
        """
        consumer = self._connected()
        place = TopicPartition(SLICES.name, partition)
        consumer.assign([place])
        consumer.seek(place, offset)
        for record in consumer.poll(timeout_ms=FETCH_TIMEOUT_MS, max_records=1).get(place, ()):
            if record.offset == offset:
                headers = dict(record.headers)
                return SliceAccepted.decode(headers[SLICE_HEADER]), record.value
        raise LookupError(f"no message at {SLICES.name}/{partition}/{offset}")

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            self._consumer = KafkaConsumer(
                bootstrap_servers=self._bootstrap_servers.split(","),
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
                fetch_max_bytes=MAX_MESSAGE_BYTES,
                allow_auto_create_topics=False,
                request_timeout_ms=10_000,
            )
        return self._consumer
