"""The next segment's file, made ready in advance: a record is then written over blocks that the disk knows already.

A file that grows costs a commit of the file system's own journal with each sync, which also waits for what others have
just written; one that is written over costs the record's bytes alone. Laws: a spare is made, or is a segment of this
process that is done with; one that an earlier process left is never used, for it might hold the same numbers.
"""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dicom_listener.spool.segment import FILE_MODE

SPARE, UNFINISHED = "spare", "spare.unfinished"
CHUNK_BYTES = 4 * 1024 * 1024
"""Written and synced at a time, so that a slice never waits behind more."""
ZEROS = bytes(CHUNK_BYTES)
FREE_SEGMENTS_AT_LEAST = 4
"""Room for so many must be free on the disk: the last of it is for slices, and for the disk's other users."""

journal = logging.getLogger(__name__)


class Interrupted(Exception):
    """The process stops; the spare is not wanted any more."""


def make(folder: Path, size: int, go_on: Callable[[], bool]) -> Path:
    """An unfinished spare of zeros, on the disk with all its blocks.

    Raises:
        OSError: no room, or a broken disk. Nothing is left behind.
        Interrupted: ``go_on`` said no.
    """
    path = folder / UNFINISHED
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        for offset in range(0, size, CHUNK_BYTES):
            if not go_on():
                raise Interrupted
            _fill(descriptor, offset, min(CHUNK_BYTES, size - offset))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return path


def _fill(descriptor: int, offset: int, count: int) -> None:
    zeros, end = memoryview(ZEROS)[:count], offset + count
    while offset < end:
        offset += os.pwrite(descriptor, zeros[: end - offset], offset)
    os.fsync(descriptor)


def has_room(folder: Path, size: int) -> bool:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize >= FREE_SEGMENTS_AT_LEAST * size


def discard(folder: Path) -> None:
    for name in (SPARE, UNFINISHED):
        (folder / name).unlink(missing_ok=True)


class Spool(Protocol):
    """What wants a spare from time to time."""

    spare_wanted: threading.Event

    def make_spare(self, go_on: Callable[[], bool]) -> None:
        """Raises OSError."""


class SpareKeeper:
    """The thread that makes spares, so that no slice waits for it."""

    def __init__(self, spool: Spool) -> None:
        self._spool, self._stopping = spool, threading.Event()
        self._thread = threading.Thread(target=self._run, name="spare", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._spool.spare_wanted.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._spool.spare_wanted.wait()
            self._spool.spare_wanted.clear()
            if self._stopping.is_set():
                return
            try:
                self._spool.make_spare(lambda: not self._stopping.is_set())
            except Interrupted:
                return
            except OSError as error:  # segments grow as they are written then, which is slower and no harm
                journal.warning("no file could be made ready for the spool", extra={"error": error.strerror})
