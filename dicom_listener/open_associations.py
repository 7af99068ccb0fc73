"""Which associations are open, on disk: a listener that was killed can say after its restart that they are gone.

Without that word the streams would wait for the end of a transfer that nobody will see, until a quiet timer runs out.
One file per association, one line per series; not synced: it has to outlive the process, not the machine, after whose
crash the quiet timer serves.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from dicom_listener.spool.folders import NOTES_FOLDER
from streams.contracts.errors import MalformedEvent
from streams.contracts.ids import Key
from streams.contracts.series import LedgerKind, SeriesLedgerEntry

journal = logging.getLogger(__name__)

SUFFIX = ".association"
FOLDER_MODE = 0o700


class OpenAssociations:
    """The note of one listening process, in its spool's folder."""

    def __init__(self, spool_folder: Path) -> None:
        self._folder = spool_folder / NOTES_FOLDER
        self._folder.mkdir(mode=FOLDER_MODE, exist_ok=True)

    def note(self, opened: SeriesLedgerEntry) -> None:
        """A series was opened, durably. A note that cannot be written is missed by nobody but the quiet timer."""
        try:
            with self._file(opened.association).open("ab") as file:
                file.write(opened.encode() + b"\n")
        except OSError:
            journal.warning("an open association could not be noted")

    def forget(self, association: Key) -> None:
        """It ended, and its account is durable."""
        try:
            self._file(association).unlink(missing_ok=True)
        except OSError:
            journal.warning("a note of an association could not be removed")

    def lost(self, at: datetime) -> list[SeriesLedgerEntry]:
        """To be asked before anybody connects: the ends that the former process has not told."""
        return [opened.model_copy(update={"kind": LedgerKind.ABORTED, "at": at}) for opened in self._noted()]

    def _noted(self) -> Iterator[SeriesLedgerEntry]:
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            for line in path.read_bytes().splitlines():
                try:
                    yield SeriesLedgerEntry.decode(line)
                except MalformedEvent:
                    journal.warning("a note of an association is cut off")

    def _file(self, association: Key) -> Path:
        return self._folder / f"{association}{SUFFIX}"
