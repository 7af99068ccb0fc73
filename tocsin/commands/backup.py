"""``tocsin backup`` and ``tocsin restore``: the alert store of a node."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tocsin.alert_backup import StoreSummary, back_up, sqlite_file
from tocsin.alert_backup import restore as put_back
from tocsin.commands.up import DataDir, directory_of
from tocsin.console import out


def backup(
    file: Annotated[Path, typer.Argument(help="to be written; it must not exist")], data_dir: DataDir = None
) -> None:
    """Copy the alert store, while the node runs or not: one consistent moment, looked through afterwards.

    The secrets are not in it. Keep a copy of the secrets folder in another place: without identity_key the names in a
    backup cannot be read.
    """
    summary = back_up(_store(data_dir), file)
    out.print(f"{file}: {_words(summary)}", markup=False)


def restore(
    file: Annotated[Path, typer.Argument(help="made by tocsin backup")],
    data_dir: DataDir = None,
) -> None:
    """Put a backup in the place of the alert store. The node must be stopped; what was there is kept beside it.

    At its next start the alert service reads again what Kafka still has: findings made since the backup come back, and
    those younger than a day ring again.
    """
    directory = directory_of(data_dir)
    directory.create()
    with directory.locked():
        summary, kept = put_back(file, _store(data_dir))
    out.print(f"Restored: {_words(summary)}", markup=False)
    if kept is not None:
        out.print(f"The store that was there is {kept}", markup=False)


def _store(data_dir: Path | None) -> Path:
    return sqlite_file(os.environ.get("TOCSIN_ALERTS_DATABASE_URL") or directory_of(data_dir).database_url)


def _words(summary: StoreSummary) -> str:
    return (
        f"{summary.studies} studies, {summary.findings} findings, {summary.alerts} alerts, "
        f"{summary.record_entries} entries of the record"
    )
