"""Brings the database to the tables of this version, step by step (Alembic), in one transaction.

Laws: all of it or nothing; one instance at a time, the others wait; a database of a later version is left alone.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

import alerts.access.tables  # noqa: F401 - its tables belong to the schema
from alerts.store.schema import Base

FOLDER = Path(__file__).parent / "migrations"
VERSIONS = FOLDER / "versions"
FIRST = "0001"
"""The tables as they were before their versions were kept."""

UPGRADE_LOCK = 0x70C52
"""Any number that nothing else in the database uses as an advisory lock."""


def upgrade(connection: Connection) -> bool:
    """Take all steps that are missing, inside the caller's transaction; says whether the database was new.

    A new one gets the tables of this version at once; a test holds the steps to lead to the same.

    Raises:
        SettingsRefused: the database is of a later version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
    at = step_of(connection)
    if at == last_step():
        return False
    from alerts.store.steps import mark, take_steps  # Alembic: a restart that has nothing to upgrade need not load it

    if not inspect(connection).has_table("meta"):
        Base.metadata.create_all(connection)
        mark(connection, "head")
        return True
    if at is None:
        mark(connection, FIRST)
    take_steps(connection, at)
    return False


def step_of(connection: Connection) -> str | None:
    """The step that the database is at; None where that was never kept."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def last_step() -> str:
    """The steps' files begin with their numbers, in their order; a test holds them to it."""
    return max(file.name[:4] for file in VERSIONS.glob("[0-9]*.py"))
