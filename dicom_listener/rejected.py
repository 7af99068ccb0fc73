"""The last resort: messages that neither their topic nor the dead letters will take, one file each, for an operator."""

import os
from pathlib import Path

from dicom_listener.messages import OutgoingMessage
from dicom_listener.spool import record
from dicom_listener.spool.disk import LocalDisk, sync_folder
from dicom_listener.spool.journal import REJECTED_FOLDER
from dicom_listener.spool.segment import FILE_MODE


class RejectedFolder:
    """A folder within the spool. A file is one record of the journal's format."""

    def __init__(self, spool_folder: Path) -> None:
        self._folder = spool_folder / REJECTED_FOLDER

    def keep(self, message: OutgoingMessage) -> Path:
        """Return once the message is durable. Raises OSError."""
        number = 1 + max((int(p.stem) for p in self._folder.glob("*.record")), default=0)
        path = self._folder / f"{number:012d}.record"
        built = record.build([message], 0.0)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            LocalDisk().write(descriptor, built.buffers(), 0)
            LocalDisk().sync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(self._folder)
        return path
