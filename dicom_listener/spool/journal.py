"""The journal: append durably, hand out, forget when acknowledged.

Concurrency: one lock guards the state and orders the writes; a second lets one thread at a time sync on behalf of all
that have written (group commit). Handing out and acknowledging belong to the publisher's thread.
"""

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_listener.errors import CannotStart, SpoolError, SpoolFailed, SpoolFull
from dicom_listener.messages import OutgoingMessage
from dicom_listener.spool import record as records
from dicom_listener.spool import spare as spares
from dicom_listener.spool.disk import Disk, LocalDisk, sync_folder
from dicom_listener.spool.segment import SUFFIX, Entry, Segment

FOLDER_MODE = 0o700
SEGMENT_BYTES = 64 * 1024 * 1024
"""About 120 slices: the most that is published again after a crash."""
SEGMENTS_AT_LEAST = 8
"""A small spool has smaller segments, so that acknowledged room is given back in steps of an eighth."""
READY_FILES = 2
"""One is written while the other is drained; they take turns. While Kafka is away others grow beside them: to write
zeros first would be as much work for the disk as the slices are."""
RESERVE_BYTES = 4 * 1024 * 1024
"""Room beyond the bound that only the ledger may use: the account of a series must not fail for want of space."""
TROUBLE_SECONDS = 30.0
"""A failed append makes the spool unready for so long; then it is offered work again, to find out if it is mended."""
REJECTED_FOLDER = "rejected"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

journal_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits for Kafka."""

    messages: int
    bytes_on_disk: int
    oldest_at: float | None


class Spool:
    """The journal in one folder, which belongs to one process.

    Args:
        folder: created with mode 0700 if it is not there.
        max_bytes: bound of all segments together; beyond it senders are told 0xA700.
        now: seconds since the epoch.
        on_durable: called, from a writer's thread, after messages became visible to :meth:`take`.

    Raises:
        CannotStart: the folder cannot be used, or another process uses it.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        disk: Disk | None = None,
        now: Callable[[], float] = time.time,
        on_durable: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._max_bytes, self._disk, self._now = folder, max_bytes, disk or LocalDisk(), now
        self.on_durable = on_durable
        self._segment_bytes = min(SEGMENT_BYTES, max(max_bytes // SEGMENTS_AT_LEAST, 1))
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._segments: dict[int, Segment] = {}
        self._active: Segment | None = None
        self._ready: deque[Entry] = deque()
        self._waiting: dict[int, float] = {}
        self._next_sequence = self._next_number = 0
        self.damaged_bytes = 0
        self._trouble: tuple[str, float] | None = None
        self._spare: Path | None = None
        self.spare_wanted = threading.Event()
        self.spare_wanted.set()
        self._claim = _claim(folder)
        try:
            spares.discard(folder)
            self._recover()
        except OSError as error:
            raise CannotStart(f"the spool {folder} cannot be read: {error.strerror}") from error

    # -- writing -----------------------------------------------------------------------------------------------

    def append(self, messages: Sequence[OutgoingMessage], reserved: bool = False) -> None:
        """Return once the messages are durable, all of them; raise and keep none otherwise.

        Args:
            reserved: may use the room that is kept for the ledger.

        Raises:
            SpoolFull: no room, try later.
            SpoolFailed: the disk refused.
        """
        record = records.build(messages, self._now())
        try:
            with self._lock:
                segment = self._room_for(record.size, reserved)
                self._write(segment, record)
                end = segment.size
            self._sync(segment, end)
        except SpoolError as error:
            self._trouble = (str(error), self._now())
            raise
        if not reserved:
            self._trouble = None

    def _room_for(self, size: int, reserved: bool) -> Segment:
        bound = self._max_bytes + (RESERVE_BYTES if reserved else 0)
        if self._on_disk() + self._growth(size) > bound:
            self._retire_active_if_drained()
        if self._on_disk() + self._growth(size) > bound:
            raise SpoolFull("the spool has reached its bound")
        if self._needs_segment(size):
            self._begin_segment()
        assert self._active is not None
        return self._active

    def _on_disk(self) -> int:
        spare = self._segment_bytes if self._spare else 0
        return spare + sum(segment.room for segment in self._segments.values())

    def _growth(self, size: int) -> int:
        """Bytes that the files grow by when a record of that size is appended."""
        if self._needs_segment(size):
            return max(0, size - (self._segment_bytes if self._spare else 0))
        assert self._active is not None
        return max(0, self._active.size + size - self._active.room)

    def _needs_segment(self, size: int) -> bool:
        active = self._active
        if active is None or active.failed or active.size >= self._segment_bytes:
            return True
        would_grow = active.size + size > active.ready_bytes
        return self._spare is not None and would_grow and bool(active.size or not active.ready_bytes)

    def _begin_segment(self) -> None:
        spare, self._spare = self._spare, None
        try:
            number = self._next_number
            if spare is not None:
                segment = Segment.of_ready(spare, self._folder, number)
            else:
                segment = Segment.create(self._folder, number)
            self._next_number += 1
            sync_folder(self._folder)
        except OSError as error:
            raise _spool_error(error) from error
        finally:
            self.spare_wanted.set()
        self._retire(self._active)
        self._segments[segment.number] = self._active = segment

    def _ready_files(self) -> int:
        return bool(self._spare) + sum(bool(segment.ready_bytes) for segment in self._segments.values())

    def make_spare(self, go_on: Callable[[], bool]) -> None:
        """Have the next segment's file made ready, if one is missing and there is room for it. Holds up nobody.

        Raises:
            OSError: it could not be written.
            Interrupted: ``go_on`` said no.
        """
        with self._lock:
            wanted = self._ready_files() < READY_FILES and self._on_disk() + self._segment_bytes <= self._max_bytes
        if not wanted or not spares.has_room(self._folder, self._segment_bytes):
            return
        made = spares.make(self._folder, self._segment_bytes, go_on)
        with self._lock:
            if self._spare is None:
                self._spare = made.rename(self._folder / spares.SPARE)
            else:  # a segment became one meanwhile
                made.unlink()

    def _write(self, segment: Segment, record: records.Record) -> None:
        try:
            self._disk.write(segment.descriptor, record.buffers(segment.number), segment.size)
        except OSError as error:
            self._roll_back(segment, segment.size)
            raise _spool_error(error) from error
        segment.unsynced.append((segment.size + record.size, record, segment.size))
        segment.size += record.size

    def _roll_back(self, segment: Segment, size: int) -> None:
        """Forget what lies beyond ``size``. Where even that fails the remains stay without a checksum that fits."""
        segment.ready_bytes = 0
        try:
            self._disk.truncate(segment.descriptor, size)
        except OSError:
            journal_log.warning("a failed write could not be cut off", extra={"segment": segment.number})

    def _sync(self, segment: Segment, end: int) -> None:
        with self._syncing:
            if segment.durable >= end:
                return
            if segment.failed:
                raise SpoolFailed("the disk could not be synced")
            with self._lock:
                reach = segment.size
            try:
                self._disk.sync(segment.descriptor)
            except OSError as error:
                self._abandon(segment)
                raise _spool_error(error) from error
            with self._lock:
                segment.durable = reach
                self._publishable(segment, reach)
        self.on_durable()

    def _abandon(self, segment: Segment) -> None:
        """After a failed sync the kernel may have dropped the pages: nothing unsynced counts any more."""
        with self._lock:
            segment.failed = segment.sealed = True
            segment.unsynced.clear()
            self._roll_back(segment, segment.durable)
            segment.size = segment.durable
            if self._active is segment:
                self._active = None
            self._drop_if_done(segment)

    def _publishable(self, segment: Segment, reach: int) -> None:
        while segment.unsynced and segment.unsynced[0][0] <= reach:
            _, record, start = segment.unsynced.pop(0)
            self._enqueue(segment, record.places, start, record.at)

    def _enqueue(self, segment: Segment, places: Sequence[records.Place], start: int, at: float) -> None:
        for place in places:
            moved = records.Place(place.topic, place.key, start + place.offset, place.size)
            self._ready.append(Entry(self._next_sequence, at, moved, segment))
            self._waiting[self._next_sequence] = at
            self._next_sequence += 1
            segment.outstanding += 1

    # -- publishing --------------------------------------------------------------------------------------------

    def take(self) -> list[Entry]:
        """Durable messages that were not handed out yet, in the order of their records."""
        with self._lock:
            taken = list(self._ready)
            self._ready.clear()
        return taken

    def acknowledge(self, entry: Entry) -> None:
        """Kafka has it (or an operator's folder has): it need not be published again."""
        with self._lock:
            if self._waiting.pop(entry.sequence, None) is None:
                return
            entry.segment.outstanding -= 1
            self._drop_if_done(entry.segment)

    def tidy(self) -> None:
        """Give back the active segment's room when nothing in it waits (to be called when idle)."""
        with self._lock:
            self._retire_active_if_drained()

    def _retire_active_if_drained(self) -> None:
        active = self._active
        if active is not None and active.size and not active.outstanding and not active.unsynced:
            self._active = None
            self._retire(active)

    def _retire(self, segment: Segment | None) -> None:
        if segment is not None:
            segment.sealed = True
            self._drop_if_done(segment)

    def _drop_if_done(self, segment: Segment) -> None:
        if not segment.sealed or segment.outstanding or segment.unsynced:
            return
        del self._segments[segment.number]
        if segment.damaged:
            os.ftruncate(segment.descriptor, segment.size)
            os.close(segment.descriptor)
            segment.path.rename(segment.path.with_suffix(f".{time.time_ns()}.damaged"))  # numbers begin anew
        elif segment.ready_bytes and self._spare is None:
            self._use_again(segment)
        else:
            segment.discard()

    def _use_again(self, segment: Segment) -> None:
        """Its records stay in the file, under a number that no segment of this process will have again."""
        try:
            os.ftruncate(segment.descriptor, self._segment_bytes)
            self._spare = segment.path.rename(self._folder / spares.SPARE)
        except OSError:
            segment.discard()
        else:
            os.close(segment.descriptor)

    # -- looking -----------------------------------------------------------------------------------------------

    def depth(self) -> Depth:
        with self._lock:
            written = sum(segment.size for segment in self._segments.values())
            return Depth(len(self._waiting), written, next(iter(self._waiting.values()), None))

    @property
    def folder(self) -> Path:
        return self._folder

    def trouble(self) -> str | None:
        """Why the last attempt failed, or the next one would; None when all is well."""
        if not os.access(self._folder, os.W_OK | os.X_OK):
            return "the spool folder is not writable"
        if self._trouble is None or self._now() - self._trouble[1] > TROUBLE_SECONDS:
            return None
        return self._trouble[0]

    def close(self) -> None:
        """Let go of the folder; what waits stays on the disk.

        Descriptors of segments in which something waits stay open until the process ends: a publisher that is still
        reading must never meet a number that means another file by now.
        """
        with self._lock:
            self._retire_active_if_drained()
            self._waiting.clear()
            self._ready.clear()
            self._segments.clear()
            self._active = self._spare = None
            spares.discard(self._folder)
            os.close(self._claim)

    # -- recovery ----------------------------------------------------------------------------------------------

    def _recover(self) -> None:
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            segment = Segment.reopen(path)
            self._segments[segment.number] = segment
            self._next_number = segment.number + 1
            self._read_back(segment)
            self._drop_if_done(segment)

    def _read_back(self, segment: Segment) -> None:
        data = segment.path.read_bytes()
        for found in records.scan(data, segment.number):
            if isinstance(found, records.Found):
                self._enqueue(segment, found.places, 0, found.at)
            elif found.torn_tail:
                if records.is_begun(data, found.offset, segment.number):
                    journal_log.warning("a record cut off by a crash was dropped", extra={"bytes": found.size})
                self._cut_tail(segment, found)
            else:
                self._note_damage(segment, found)

    def _cut_tail(self, segment: Segment, damage: records.Damage) -> None:
        self._disk.truncate(segment.descriptor, damage.offset)
        segment.size = segment.durable = damage.offset

    def _note_damage(self, segment: Segment, damage: records.Damage) -> None:
        segment.damaged = True
        self.damaged_bytes += damage.size
        journal_log.error("spooled bytes are damaged; the segment will be kept", extra={"bytes": damage.size})


def _spool_error(error: OSError) -> SpoolError:
    if error.errno in _NO_ROOM:
        return SpoolFull("the disk is full")
    return SpoolFailed(f"the disk refused: {errno.errorcode.get(error.errno or 0, 'unknown')}")


def _claim(folder: Path) -> int:
    """Take the folder for this process; the lock goes with the process."""
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        (folder / REJECTED_FOLDER).mkdir(mode=FOLDER_MODE, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"the spool folder {folder} is not writable: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise CannotStart(f"the spool folder {folder} is in use by another listener") from error
    return descriptor
