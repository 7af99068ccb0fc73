"""Which process owns which folder of the spool, and which folders nobody owns any more.

A spool belongs to one process. A single listener uses the root; one of several uses a folder of its own within it.
When the number of processes changes, folders are left behind in which acknowledged slices may lie: the first process
publishes those too.
"""

from pathlib import Path

from dicom_listener.spool.segment import SUFFIX

PREFIX = "process-"
NOTES_FOLDER = "open"
"""Within a process's folder: notes of its open associations."""


def own_folder(root: Path, worker: int | None) -> Path:
    """``worker`` counts from 0; None is a single listener."""
    return root if worker is None else root / f"{PREFIX}{worker}"


def left_behind(root: Path, processes: int) -> list[Path]:
    """Folders with something left to tell that belong to none of ``processes`` processes."""
    owned = {own_folder(root, None)} if processes == 1 else {own_folder(root, n) for n in range(processes)}
    return [
        folder
        for folder in (root, *sorted(root.glob(f"{PREFIX}*")))
        if folder not in owned and _has_something_to_tell(folder)
    ]


def _has_something_to_tell(folder: Path) -> bool:
    return any(folder.glob(f"*{SUFFIX}")) or any((folder / NOTES_FOLDER).glob("*"))
