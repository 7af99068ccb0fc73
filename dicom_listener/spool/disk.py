"""The port to the disk, and the real disk: three operations, so that tests can fill it, break it and pull its plug."""

import os
from collections.abc import Sequence
from typing import Protocol

from dicom_listener.messages import Buffer

IOV_MAX = 1024
"""Buffers per ``pwritev`` (Linux, ``sysconf(_SC_IOV_MAX)``)."""


class Disk(Protocol):
    """What the spool asks of a disk. All raise OSError."""

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        """Write all buffers, one behind the other."""

    def sync(self, descriptor: int) -> None:
        """Return when data and size are on stable storage."""

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file."""


class LocalDisk:
    """The operating system's files."""

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        waiting = [memoryview(b) for b in buffers if len(b)]
        while waiting:
            written = os.pwritev(descriptor, waiting[:IOV_MAX], offset)
            offset += written
            waiting = _behind(waiting, written)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)


def _behind(buffers: list[memoryview], written: int) -> list[memoryview]:
    """What is left of the buffers after ``written`` bytes."""
    for index, buffer in enumerate(buffers):
        if written < buffer.nbytes:
            return [buffer[written:], *buffers[index + 1 :]]
        written -= buffer.nbytes
    return []


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the creation of files in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
