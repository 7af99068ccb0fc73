"""Backup and restore of the alert store on SQLite.

Laws: a backup is taken while the service runs, is one consistent moment, and is looked through before it is called one;
a restore replaces nothing it has not kept; a restored store makes the alert service read again what Kafka still has, so
that no finding made since the backup is lost. For PostgreSQL its own tools do this (docs/operations.md).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alerts.store.database import RESTORED
from tocsin.data_directory import OWNER_ONLY
from tocsin.errors import BackupRefused, BadRequest

STORE_TABLES = frozenset({"meta", "studies", "findings", "alerts", "notices", "record"})
BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database in WAL mode."""


@dataclass(frozen=True)
class StoreSummary:
    """What is in a store, for the person who wants to know whether it is the right one."""

    studies: int
    findings: int
    alerts: int
    record_entries: int


def sqlite_file(database_url: str) -> Path:
    """The file behind an alert store's address.

    Raises:
        BadRequest: it is another kind of database.
    """
    path = database_url.removeprefix("sqlite:///")
    if path == database_url or not path:
        raise BadRequest("The alert store is not on SQLite: back it up with its own tools (docs/operations.md).")
    return Path(path)


def back_up(store: Path, to: Path) -> StoreSummary:
    """Copy the store to a file that does not exist yet; the service may go on meanwhile.

    Raises:
        BadRequest: there is no store, or the file is there already.
        BackupRefused: the copy is not whole.
    """
    if not store.is_file():
        raise BadRequest(f"There is no alert store at {store}.")
    if to.exists():
        raise BadRequest(f"{to} is there already; a backup never replaces anything.")
    partial = to.with_name(to.name + ".partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    try:
        with _opened(store, read_only=True) as source, _opened(partial) as target:
            source.backup(target)  # in one step, of one moment; in WAL mode it holds no writer up
            target.execute("PRAGMA journal_mode=DELETE")
        summary = examine(partial)
        _flush(partial)
        partial.replace(to)
    except sqlite3.Error as error:
        raise BackupRefused(f"The backup of {store} failed: {error}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return summary


def restore(backup: Path, store: Path) -> tuple[StoreSummary, Path | None]:
    """Put a backup in the store's place. The node must be stopped.

    Returns:
        What is in it, and where the store that was there has been put; None where there was none.

    Raises:
        BadRequest: there is no such backup.
        BackupRefused: the file is damaged, or no alert store.
    """
    if not backup.is_file():
        raise BadRequest(f"There is no backup {backup}.")
    summary = examine(backup)
    now = datetime.now(UTC)
    partial = store.with_name(store.name + ".restoring")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY))
    with _opened(backup, read_only=True) as source, _opened(partial) as target:
        source.backup(target)
        target.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (RESTORED, now.isoformat()))
        target.commit()
    _flush(partial)
    kept = _put_aside(store, now)
    partial.replace(store)
    _flush(store.parent)
    return summary, kept


def examine(file: Path) -> StoreSummary:
    """Look a store through.

    Raises:
        BackupRefused: damaged, or something else.
    """
    try:
        with _opened(file, read_only=True) as store:
            (verdict,) = store.execute("PRAGMA integrity_check(1)").fetchone()
            if verdict != "ok":
                raise BackupRefused(f"{file} is damaged: {verdict}.")
            tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= STORE_TABLES:
                raise BackupRefused(f"{file} is a database, but no alert store of Tocsin's.")
            counts = [
                store.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own four names
                for table in ("studies", "findings", "alerts", "record")
            ]
    except sqlite3.Error as error:
        raise BackupRefused(f"{file} is damaged, or no database: {error}.") from error
    return StoreSummary(*counts)


@contextmanager
def _opened(file: Path, *, read_only: bool = False) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{file}?mode={'ro' if read_only else 'rw'}", uri=True, timeout=10)) as store:
        yield store


def _put_aside(store: Path, now: datetime) -> Path | None:
    """Move a store out of the way, with what lies beside it."""
    if not store.exists():
        return None
    kept = store.with_name(f"{store.name}.before-{now:%Y%m%dT%H%M%SZ}")
    for beside in BESIDE:
        file = store.with_name(store.name + beside)
        if file.exists():
            file.replace(kept.with_name(kept.name + beside))
    store.replace(kept)
    return kept


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
