"""The alert store of a node, for the commands that look into it."""

import os
from pathlib import Path

from alerts.errors import SettingsRefused, StoreUnavailable
from alerts.settings import PREFIX, Settings, load_settings
from alerts.store.database import Database
from tocsin.commands.up import directory_of
from tocsin.errors import BadRequest, TocsinError


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
