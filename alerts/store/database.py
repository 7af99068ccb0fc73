"""Opens the database and runs transactions in it, SQLite and PostgreSQL alike.

Laws: a transaction that writes takes its lock at its beginning (SQLite: ``BEGIN IMMEDIATE``), so it never fails half
way for a lock; a commit is on the disk (SQLite: WAL with ``synchronous=FULL``); a failure is either *try again later*
or *this will never do*, and says which.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from alerts.errors import SettingsRefused, StoreRefused, StoreUnavailable
from alerts.store.schema import Meta
from alerts.store.upgrade import upgrade

RESTORED = "restored_at"
"""Name of the mark that a restored store carries: whatever Kafka still has must be read again."""

SQLITE_BUSY_SECONDS = 5
SQLITE_ASK_AGAIN_SECONDS = 0.02
POSTGRESQL_CONNECT_SECONDS = 2
POSTGRESQL_STATEMENT_MS = 5000
"""A stuck database must show as unavailable well within the promise of 30 s."""


class Database:
    """One engine and the transactions on it.

    Raises:
        SettingsRefused: not a database address, or no driver for it is installed.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine = _engine(url)
        self._is_sqlite = self._engine.url.get_backend_name() == "sqlite"
        self._is_in_memory = self._is_sqlite and not self._engine.url.database
        self._reader = self._engine.execution_options(reading=True)
        self._turn: AbstractContextManager[object] = _Turn() if self._is_sqlite else nullcontext()

    @property
    def folder(self) -> Path | None:
        """Where SQLite keeps the store; None for another database, whose disk is not ours to watch."""
        url = self._engine.url
        on_disk = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        return Path(url.database or "").absolute().parent if on_disk else None

    def prepare(self) -> bool:
        """Bring the tables to this version; says whether the database was new.

        Raises:
            StoreUnavailable: no connection; nothing was changed.
            SettingsRefused: the database is of a later version.
        """
        with self.upgrading() as connection:
            return upgrade(connection)

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """A transaction of its own connection in which tables may be altered.

        SQLite alters a table by making it anew under another name: foreign keys are not enforced meanwhile, which it
        allows to change outside of transactions only (https://sqlite.org/lang_altertable.html, section 7).
        """
        engine = self._engine if self._is_in_memory else _engine(self._url, foreign_keys=False)
        try:
            with _translated(), engine.begin() as connection:
                yield connection
        finally:
            if engine is not self._engine:
                engine.dispose()

    def create(self, tables: MetaData) -> bool:
        """Create what is missing of these tables; says whether they were new.

        Raises:
            StoreUnavailable: no connection.
        """
        with _translated():
            is_new = not any(inspect(self._engine).has_table(name) for name in tables.tables)
            tables.create_all(self._engine)
        return is_new

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that commits at the end, or leaves nothing behind."""
        with self._turn, _translated(), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A consistent view."""
        with _translated(), Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def secret(self, name: str, fresh: bytes) -> bytes:
        """The store's secret of this name; ``fresh`` where it had none. The same for every instance."""
        try:
            return self._secret(name, fresh)
        except StoreRefused:  # another instance has made it since this one looked
            return self._secret(name, fresh)

    def _secret(self, name: str, fresh: bytes) -> bytes:
        with self.writing() as session:
            kept = session.get(Meta, name, with_for_update=True)
            if kept is None:
                kept = Meta(name=name, value=fresh.hex())
                session.add(kept)
            return bytes.fromhex(kept.value)

    def was_restored(self) -> bool:
        """Whether this is a backup whose later findings have not been asked of Kafka again yet."""
        with self.reading() as session:
            return session.get(Meta, RESTORED) is not None

    def forget_restored(self) -> None:
        """Kafka is being read again."""
        with self.writing() as session:
            mark = session.get(Meta, RESTORED)
            if mark is not None:
                session.delete(mark)

    def touch(self) -> None:
        """Write something, to see whether it can be done.

        Raises:
            StoreUnavailable: it cannot.
        """
        with self.writing() as session:
            session.merge(Meta(name="touched_at", value=datetime.now(UTC).isoformat()))

    def close(self) -> None:
        self._engine.dispose()


class _Turn:
    """Who writes next: SQLite takes one writer at a time and lets the others look again after growing pauses, which
    costs the unlucky one of many threads a second."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=SQLITE_BUSY_SECONDS):
            raise StoreUnavailable("another thread is writing")

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise StoreRefused(type(error.orig or error).__name__) from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(type(error).__name__) from error


def _engine(url: str, *, foreign_keys: bool = True) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            _refuse_missing_folder(parsed.database)
            engine = create_engine(parsed, connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False})
            _tune_sqlite(engine, foreign_keys=foreign_keys)
            return engine
        return create_engine(
            parsed,
            pool_pre_ping=True,
            pool_size=10,
            pool_timeout=SQLITE_BUSY_SECONDS,
            connect_args={
                "connect_timeout": POSTGRESQL_CONNECT_SECONDS,
                "options": f"-c statement_timeout={POSTGRESQL_STATEMENT_MS}",
            },
        )
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise SettingsRefused(f"the database address cannot be used: {type(error).__name__}") from error


def _tune_sqlite(engine: Engine, *, foreign_keys: bool) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:  # the DB-API connection has no common type
        connection.isolation_level = None  # the driver shall begin nothing itself
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", f"foreign_keys={foreign_keys:d}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.execute(text("BEGIN" if reading else "BEGIN IMMEDIATE"))


def _write_ahead(connection: Any) -> None:
    """Switch a new file to write-ahead logging. SQLite does not wait here for others that are at it: so it is asked
    again (https://sqlite.org/wal.html, section 9)."""
    deadline = monotonic() + SQLITE_BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(SQLITE_ASK_AGAIN_SECONDS)
        else:
            return


def _refuse_missing_folder(file: str | None) -> None:
    if file and not Path(file).absolute().parent.is_dir():
        raise SettingsRefused(f"the folder of the alert database does not exist: {Path(file).absolute().parent}")
