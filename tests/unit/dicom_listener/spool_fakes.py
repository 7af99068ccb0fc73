"""A disk that can be filled, broken and unplugged, and messages to put on it."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from dicom_listener.messages import Buffer, OutgoingMessage
from dicom_listener.spool.disk import LocalDisk


def a_message(text: str = "one", key: str = "k", topic: str = "ct.slices.v1", size: int = 0) -> OutgoingMessage:
    return OutgoingMessage(topic, key, text.encode() + b"." * size, (("slice", f'{{"n":"{text}"}}'),))


def text_of(message: OutgoingMessage) -> str:
    return bytes(message.value).decode().rstrip(".")


class FaultyDisk(LocalDisk):
    """Real files; the next operations fail as told."""

    def __init__(self) -> None:
        self.write_error: int | None = None
        self.written_before_error = 0
        self.sync_error: int | None = None
        self.truncate_error: int | None = None
        self.syncs = 0

    def write(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
        if self.write_error is not None:
            data = b"".join(bytes(b) for b in buffers)
            os.pwrite(descriptor, data[: self.written_before_error], offset)
            raise OSError(self.write_error, os.strerror(self.write_error))
        super().write(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_error is not None:
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.truncate_error is not None:
            raise OSError(self.truncate_error, os.strerror(self.truncate_error))
        super().truncate(descriptor, size)


NO_SPACE, READ_ONLY, BROKEN = errno.ENOSPC, errno.EROFS, errno.EIO


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))
