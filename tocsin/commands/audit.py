"""``tocsin audit``: is the record whole, and who was told what."""

import sys

import typer

from alerts.auditing import export_record, verify_record
from tocsin.commands.alert_store import alert_settings, open_store
from tocsin.commands.up import DataDir

app = typer.Typer(no_args_is_help=True, help="The record of every decision: verify, export.")


@app.command()
def verify(data_dir: DataDir = None) -> None:
    """Walk the hash chain. Exit status 1 when an entry was altered, removed or inserted."""
    raise typer.Exit(verify_record(open_store(alert_settings(data_dir)), sys.stdout))


@app.command()
def export(data_dir: DataDir = None) -> None:
    """The critical results as CSV, one row per message: finding, who told whom when and how, who answered."""
    export_record(open_store(alert_settings(data_dir)), sys.stdout)
