"""A message on its way to Kafka, and how it lies in the spool.

Laws: what is spooled is exactly what will be published; headers are UTF-8 text.
"""

import json
import struct
from dataclasses import dataclass
from typing import TypeAlias

Buffer: TypeAlias = "bytes | bytearray | memoryview"

_LENGTHS = struct.Struct(">IQ")
"""Length of the envelope (JSON) and of the value, in bytes."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """Topic, key, headers and value as Kafka will get them."""

    topic: str
    key: str
    value: Buffer
    headers: tuple[tuple[str, str], ...] = ()


def pack(message: OutgoingMessage) -> tuple[bytes, memoryview]:
    """The message as two buffers, to be written one after the other; the value is not copied."""
    envelope = json.dumps([message.topic, message.key, message.headers], separators=(",", ":")).encode()
    value = memoryview(message.value).cast("B")
    return _LENGTHS.pack(len(envelope), value.nbytes) + envelope, value


def unpack(buffer: Buffer, offset: int = 0) -> tuple[OutgoingMessage, int]:
    """The message that starts at ``offset``, and the offset behind it.

    Raises:
        ValueError: there is no whole message.
    """
    view = memoryview(buffer)
    try:
        envelope_bytes, value_bytes = _LENGTHS.unpack_from(view, offset)
    except struct.error:
        raise ValueError("a message's lengths are cut") from None
    value_offset = offset + _LENGTHS.size + envelope_bytes
    end = value_offset + value_bytes
    if end > view.nbytes:
        raise ValueError("a message reaches beyond its record")
    topic, key, headers = json.loads(bytes(view[offset + _LENGTHS.size : value_offset]))
    return OutgoingMessage(topic, key, view[value_offset:end], tuple((n, v) for n, v in headers)), end
