"""The alert store of a node, for the commands that look into it."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alerts.errors import SettingsRefused, StoreUnavailable
from alerts.settings import PREFIX, Settings, load_settings
from alerts.store.database import Database
from tocsin.commands.up import directory_of
from tocsin.errors import BadRequest, NodeNotRunning, TocsinError
from tocsin.node import running_node


def alert_settings(data_dir: Path | None) -> Settings:
    """The alert service's settings from the environment; its store is the node's where none is set.

    Raises:
        BadRequest: they cannot be used.
    """
    try:
        settings = load_settings()
    except SettingsRefused as error:
        raise BadRequest(str(error)) from None
    if os.environ.get(f"{PREFIX}DATABASE_URL"):
        return settings
    return settings.model_copy(update={"database_url": directory_of(data_dir).database_url})


@contextmanager
def alert_store(data_dir: Path | None) -> Iterator[Database]:
    """The store, made where there is none: the first account comes before the first start.

    Raises:
        TocsinError: it cannot be used.
    """
    settings = alert_settings(data_dir)
    if not os.environ.get(f"{PREFIX}DATABASE_URL"):
        directory_of(data_dir).create()
    try:
        database = Database(settings.database_url)
        database.prepare()
    except (SettingsRefused, StoreUnavailable) as error:
        raise TocsinError(f"The alert store cannot be used: {error}") from None
    try:
        yield database
    finally:
        database.close()


def page_url(data_dir: Path | None) -> str:
    """Where people reach the page."""
    public = alert_settings(data_dir).public_url
    if public:
        return public
    try:
        return running_node(directory_of(data_dir)).addresses.page_url.rstrip("/")
    except NodeNotRunning:
        return "http://127.0.0.1:8080"


def whoever_types() -> str:
    """Who gives the command, for the record."""
    return f"{getpass.getuser()} on the command line"


def open_store(settings: Settings) -> Database:
    """The store, which must exist.

    Raises:
        TocsinError: there is none, or it cannot be used.
    """
    file = settings.database_url.removeprefix("sqlite:///")
    if file != settings.database_url and not Path(file).exists():
        raise BadRequest(f"There is no alert store at {file}: name the node's --data-dir, or set {PREFIX}DATABASE_URL.")
    try:
        database = Database(settings.database_url)
        database.prepare()
    except (SettingsRefused, StoreUnavailable) as error:
        raise TocsinError(f"The alert store cannot be used: {error}") from None
    return database
