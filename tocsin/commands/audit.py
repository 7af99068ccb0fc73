"""``tocsin audit``: is the record whole, and who was told what, who looked."""

import sys
from typing import Annotated

import typer
from rich.table import Table

from alerts.access.trail import views as recorded_views
from alerts.auditing import export_record, verify_record
from tocsin.commands.alert_store import alert_settings, open_store
from tocsin.commands.up import DataDir
from tocsin.console import out

app = typer.Typer(no_args_is_help=True, help="The record of every decision: verify, export, and who saw what.")


@app.command()
def verify(data_dir: DataDir = None) -> None:
    """Walk the hash chain. Exit status 1 when an entry was altered, removed or inserted."""
    raise typer.Exit(verify_record(open_store(alert_settings(data_dir)), sys.stdout))


@app.command()
def export(data_dir: DataDir = None) -> None:
    """The critical results as CSV, one row per message: finding, who told whom when and how, who answered."""
    export_record(open_store(alert_settings(data_dir)), sys.stdout)


@app.command()
def views(
    study: Annotated[str | None, typer.Option(help="only this study: its key, or the first digits of it")] = None,
    login: Annotated[str | None, typer.Option(help="only what this account saw")] = None,
    data_dir: DataDir = None,
) -> None:
    """Who saw which study when."""
    table = Table("When", "Study", "Login", "Name", "By", "Saw it")
    with open_store(alert_settings(data_dir)).reading() as session:
        for view in recorded_views(session, study, login):
            when = view.at.isoformat(timespec="seconds")
            table.add_row(when, view.study_key, view.login, view.name, view.means, view.look)
    out.print(table if table.row_count else "Nobody saw anything of that kind.")
