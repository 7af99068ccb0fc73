"""One record of the journal: the messages of one object, whole or not there.

Layout, big-endian: magic (4) · CRC-32C of the rest (4) · payload bytes (8) · seconds since the epoch (8, float) ·
payload. The payload is messages one behind the other (:mod:`dicom_listener.messages`).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crc32c import crc32c

from dicom_listener.messages import Buffer, OutgoingMessage, pack, unpack

MAGIC = b"TSR1"
_HEAD = struct.Struct(">4sI")
_COVERED = struct.Struct(">Qd")
HEADER_BYTES = _HEAD.size + _COVERED.size


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message lies in its segment."""

    topic: str
    key: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record as buffers to write, with the places of its messages relative to the record's start."""

    buffers: tuple[Buffer, ...]
    size: int
    places: tuple[Place, ...]
    at: float


def build(messages: Sequence[OutgoingMessage], at: float) -> Record:
    """Lay out a record without copying the values."""
    buffers: list[Buffer] = []
    places: list[Place] = []
    offset = HEADER_BYTES
    for message in messages:
        head, value = pack(message)
        size = len(head) + value.nbytes
        places.append(Place(message.topic, message.key, offset, size))
        buffers += (head, value)
        offset += size
    covered = _COVERED.pack(offset - HEADER_BYTES, at)
    checksum = _checksum([covered, *buffers])
    return Record((_HEAD.pack(MAGIC, checksum) + covered, *buffers), offset, tuple(places), at)


@dataclass(frozen=True, slots=True)
class Found:
    """A record that was read back and is intact."""

    offset: int
    size: int
    at: float
    places: tuple[Place, ...]
    """Offsets within the segment."""


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that are no intact record."""

    offset: int
    size: int
    torn_tail: bool
    """Nothing intact follows: a write that the crash cut off, of which no sender was told Success."""


def scan(segment: Buffer) -> Iterator[Found | Damage]:
    """Read a segment from its start. Intact records behind a damaged place are found too."""
    view, position = memoryview(segment), 0
    while position < view.nbytes:
        found = _read(view, position)
        if found is not None:
            yield found
            position += found.size
            continue
        resumes = _next_intact(view, position + 1)
        end = view.nbytes if resumes is None else resumes
        yield Damage(position, end - position, torn_tail=resumes is None)
        position = end


def _next_intact(view: memoryview, start: int) -> int | None:
    data = view.obj
    find = data.find if isinstance(data, bytes | bytearray) else bytes(view).find
    position = find(MAGIC, start)
    while position != -1:
        if _read(view, position) is not None:
            return int(position)
        position = find(MAGIC, position + 1)
    return None


def _read(view: memoryview, position: int) -> Found | None:
    try:
        magic, checksum = _HEAD.unpack_from(view, position)
        payload_bytes, at = _COVERED.unpack_from(view, position + _HEAD.size)
    except struct.error:
        return None
    end = position + HEADER_BYTES + payload_bytes
    if magic != MAGIC or end > view.nbytes or crc32c(view[position + _HEAD.size : end]) != checksum:
        return None
    places = _places(view[:end], position + HEADER_BYTES)
    return None if places is None else Found(position, end - position, at, places)


def _places(view: memoryview, position: int) -> tuple[Place, ...] | None:
    places = []
    try:
        while position < view.nbytes:
            message, end = unpack(view, position)
            places.append(Place(message.topic, message.key, position, end - position))
            position = end
    except (ValueError, TypeError):
        return None
    return tuple(places)


def _checksum(buffers: Sequence[Buffer]) -> int:
    checksum = 0
    for buffer in buffers:
        checksum = crc32c(buffer, checksum)
    return int(checksum)
