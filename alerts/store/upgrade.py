"""Brings the database to the tables of this version, step by step (Alembic), in one transaction.

Laws: all of it or nothing; one instance at a time, the others wait; a database of a later version is left alone.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

import alerts.access.tables  # noqa: F401 - its tables belong to the schema
from alerts.errors import SettingsRefused
from alerts.store.schema import Base

FOLDER = Path(__file__).parent / "migrations"
VERSIONS = FOLDER / "versions"
FIRST = "0001"
"""The tables as they were before their versions were kept."""

UPGRADE_LOCK = 0x70C52
"""Any number that nothing else in the database uses as an advisory lock."""


def configuration(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> bool:
    """Take all steps that are missing, inside the caller's transaction; says whether the database was new.

    A new one gets the tables of this version at once; a test holds the steps to lead to the same.

    Raises:
        SettingsRefused: the database is of a later version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
    config = configuration(connection)
    steps = ScriptDirectory.from_config(config)
    is_new = not inspect(connection).has_table("meta")
    at = MigrationContext.configure(connection).get_current_revision()
    if at is not None and at == steps.get_current_head():
        return is_new
    if is_new:
        Base.metadata.create_all(connection)
        command.stamp(config, "head")
        return True
    if at is None:
        command.stamp(config, FIRST)
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SettingsRefused(
            f"the alert database has schema {at}, which this version of Tocsin does not know: it is of a later version"
        ) from error
    return is_new
