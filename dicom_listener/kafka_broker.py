"""Kafka by kafka-python, configured for a promise of 30 seconds."""

from collections.abc import Callable, Sequence

import crc32c
from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.record import util as kafka_checksums

from dicom_listener.errors import CannotStart
from dicom_listener.messages import OutgoingMessage
from dicom_listener.publisher import Broker, Done
from streams.contracts.topics import MAX_MESSAGE_BYTES

BOOTSTRAP_MS = 5_000
MAX_BLOCK_MS = 2_000
REQUEST_TIMEOUT_MS = 6_000
DELIVERY_TIMEOUT_MS = 10_000
"""At least linger (0) and one request's time-out."""
RECONNECT_BACKOFF_MAX_MS = 1_000
BATCH_BYTES = 1024 * 1024
"""Two slices share a request when they wait for one anyway."""

NEVER: tuple[type[BaseException], ...] = (
    kafka_errors.MessageSizeTooLargeError,
    kafka_errors.RecordListTooLargeError,
    kafka_errors.InvalidTopicError,
    TypeError,
    ValueError,
    *(getattr(kafka_errors, name) for name in ("InvalidRecordError",) if hasattr(kafka_errors, name)),
)
"""Faults of the message. Everything else is worth another attempt."""


def assert_checksums_are_native() -> None:
    """Without the C library a slice costs 0.2 s of the interpreter.

    Raises:
        CannotStart: kafka-python would compute its checksums in Python.
    """
    if kafka_checksums.crc32c_c is not crc32c.crc32c:
        raise CannotStart("kafka-python does not use the crc32c package: reinstall it with `pip install crc32c`")


class KafkaBroker:
    """A :class:`dicom_listener.publisher.Broker`."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer

    def send(self, message: OutgoingMessage, done: Done) -> None:
        headers = [(name, value.encode()) for name, value in message.headers]
        value = message.value if isinstance(message.value, bytes) else bytes(message.value)
        future = self._producer.send(message.topic, value, key=message.key.encode(), headers=headers)
        future.add_callback(lambda _metadata: done(None))
        future.add_errback(done)

    def will_never_take(self, error: BaseException) -> bool:
        return isinstance(error, NEVER)

    def close(self, seconds: float) -> None:
        self._producer.close(timeout=seconds)


def connector(bootstrap_servers: Sequence[str]) -> Callable[[], Broker]:
    """A function that connects a new producer, or raises within about five seconds."""

    def connect() -> Broker:
        return KafkaBroker(
            KafkaProducer(
                bootstrap_servers=list(bootstrap_servers),
                client_id="tocsin-listener",
                acks="all",
                enable_idempotence=True,
                compression_type=None,
                linger_ms=0,
                batch_size=BATCH_BYTES,
                max_request_size=MAX_MESSAGE_BYTES,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                max_block_ms=MAX_BLOCK_MS,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
                reconnect_backoff_max_ms=RECONNECT_BACKOFF_MAX_MS,
                metrics_enabled=False,
            )
        )

    return connect
