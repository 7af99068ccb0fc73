"""One record of the journal: the messages of one object, whole or not there.

Layout, big-endian: magic (4) · CRC-32C of payload and the rest of the header (4) · number of the segment (8) · payload
bytes (8) · seconds since the epoch (8, float) · payload. The payload is messages one behind the other
(:mod:`dicom_listener.messages`). The segment's number tells its records from those that a file held before it was used
again.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crc32c import crc32c

from dicom_listener.messages import Buffer, OutgoingMessage, pack, unpack

MAGIC = b"TSR2"
_HEAD = struct.Struct(">4sI")
_COVERED = struct.Struct(">QQd")
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
    """A record that is not in a segment yet, with the places of its messages relative to the record's start."""

    payload: tuple[Buffer, ...]
    checksum: int
    """Of the payload."""
    size: int
    places: tuple[Place, ...]
    at: float

    def buffers(self, segment: int = 0) -> tuple[Buffer, ...]:
        """As it is written to that segment."""
        covered = _COVERED.pack(segment, self.size - HEADER_BYTES, self.at)
        return (_HEAD.pack(MAGIC, crc32c(covered, self.checksum)) + covered, *self.payload)


def build(messages: Sequence[OutgoingMessage], at: float) -> Record:
    """Lay out a record without copying the values."""
    payload: list[Buffer] = []
    places: list[Place] = []
    offset, checksum = HEADER_BYTES, 0
    for message in messages:
        head, value = pack(message)
        size = len(head) + value.nbytes
        places.append(Place(message.topic, message.key, offset, size))
        payload += (head, value)
        checksum = crc32c(value, crc32c(head, checksum))
        offset += size
    return Record(tuple(payload), checksum, offset, tuple(places), at)


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


def scan(data: Buffer, segment: int = 0) -> Iterator[Found | Damage]:
    """Read a segment from its start. Intact records behind a damaged place are found too.

    What lies behind the last record and was never begun (room that was made ready, or what the file held before) is
    reported as a torn tail, too: nothing tells them apart for sure.
    """
    view, position = memoryview(data), 0
    while position < view.nbytes:
        found = _read(view, position, segment)
        if found is not None:
            yield found
            position += found.size
            continue
        resumes = _next_intact(view, position + 1, segment)
        end = view.nbytes if resumes is None else resumes
        yield Damage(position, end - position, torn_tail=resumes is None)
        position = end


def is_begun(data: Buffer, position: int, segment: int) -> bool:
    """Does a record of the segment begin there, whole or not?"""
    try:
        magic, _ = _HEAD.unpack_from(data, position)
        number, _, _ = _COVERED.unpack_from(data, position + _HEAD.size)
    except struct.error:
        return False
    return bool(magic == MAGIC and number == segment)


def _next_intact(view: memoryview, start: int, segment: int) -> int | None:
    data = view.obj
    find = data.find if isinstance(data, bytes | bytearray) else bytes(view).find
    position = find(MAGIC, start)
    while position != -1:
        if _read(view, position, segment) is not None:
            return int(position)
        position = find(MAGIC, position + 1)
    return None


def _read(view: memoryview, position: int, segment: int) -> Found | None:
    try:
        magic, checksum = _HEAD.unpack_from(view, position)
        number, payload_bytes, at = _COVERED.unpack_from(view, position + _HEAD.size)
    except struct.error:
        return None
    payload = position + HEADER_BYTES
    end = payload + payload_bytes
    if magic != MAGIC or number != segment or end > view.nbytes:
        return None
    if crc32c(view[position + _HEAD.size : payload], crc32c(view[payload:end])) != checksum:
        return None
    places = _places(view[:end], payload)
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
