"""One file of the journal."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from dicom_listener.errors import SpoolDamaged
from dicom_listener.messages import OutgoingMessage, unpack
from dicom_listener.spool.record import Place, Record

SUFFIX = ".segment"
FILE_MODE = 0o600


@dataclass(slots=True)
class Segment:
    """A journal file and what is known about it. ``number`` orders the segments."""

    number: int
    path: Path
    descriptor: int
    size: int = 0
    durable: int = 0
    """Bytes from the start that are synced."""
    outstanding: int = 0
    """Messages that Kafka has not acknowledged."""
    sealed: bool = False
    """Gets no further records."""
    failed: bool = False
    """A sync failed; what was not durable then is lost, and its senders were told so."""
    damaged: bool = False
    """Holds bytes that could not be read; kept for an operator."""
    ready_bytes: int = 0
    """Length of a file that was made ready, whose blocks are on the disk already; 0 where the file grows as it is
    written."""
    unsynced: list[tuple[int, Record, int]] = field(default_factory=list)
    """(end, record, start) of what is written but not yet durable, in order."""

    @classmethod
    def create(cls, folder: Path, number: int) -> "Segment":
        path = folder / f"{number:012d}{SUFFIX}"
        return cls(number, path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))

    @classmethod
    def of_ready(cls, spare: Path, folder: Path, number: int) -> "Segment":
        """A file that was made ready becomes a segment."""
        path = folder / f"{number:012d}{SUFFIX}"
        descriptor = os.open(spare, os.O_RDWR | os.O_CLOEXEC)
        spare.rename(path)
        return cls(number, path, descriptor, ready_bytes=os.fstat(descriptor).st_size)

    @property
    def room(self) -> int:
        """Bytes that it takes on the disk."""
        return max(self.size, self.ready_bytes)

    @classmethod
    def reopen(cls, path: Path) -> "Segment":
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(descriptor).st_size
        return cls(int(path.stem), path, descriptor, size=size, durable=size, sealed=True)

    def discard(self) -> None:
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Entry:
    """A durable message that waits for Kafka."""

    sequence: int
    at: float
    """When its record was appended, seconds since the epoch."""
    place: Place
    segment: Segment = field(repr=False)

    def read(self) -> OutgoingMessage:
        """The message from the disk.

        Raises:
            OSError: the disk does not give it now.
            SpoolDamaged: the bytes are not what was written.
        """
        data = os.pread(self.segment.descriptor, self.place.size, self.place.offset)
        try:
            message, _ = unpack(data)
        except (ValueError, TypeError) as error:
            raise SpoolDamaged("a spooled message is damaged") from error
        return message
