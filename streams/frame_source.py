"""Frames that came earlier, read again from ``ct.slices.v1`` by partition and offset."""

from streams.broker_view import BrokerView
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.contracts.topics import SLICES


class KafkaFrameSource:
    """Reads single messages, on a connection of its own."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._view = BrokerView(bootstrap_servers)

    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        """The message at a place.

        Raises:
            LookupError: it is no longer there, or the broker does not answer.
        """
        record = self._view.message(SLICES.name, partition, offset)
        if record is None:
            raise LookupError(f"no message at {SLICES.name}/{partition}/{offset}")
        return SliceAccepted.decode(dict(record.headers)[SLICE_HEADER]), record.value

    def close(self) -> None:
        self._view.close()
