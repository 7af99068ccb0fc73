"""The steps themselves, by Alembic; loaded only where there is one to take."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from alerts.errors import SettingsRefused
from alerts.store.upgrade import FOLDER


def configuration(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    return config


def mark(connection: Connection, step: str) -> None:
    """Say that the tables are those of this step."""
    command.stamp(configuration(connection), step)


def take_steps(connection: Connection, at: str | None) -> None:
    """Take all that are missing.

    Raises:
        SettingsRefused: the database is of a later version.
    """
    try:
        command.upgrade(configuration(connection), "head")
    except CommandError as error:
        raise SettingsRefused(
            f"the alert database has schema {at}, which this version of Tocsin does not know: it is of a later version"
        ) from error
