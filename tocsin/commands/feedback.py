"""``tocsin feedback``: what doctors said about the studies, to measure the reader by."""

import sys
from datetime import UTC

import typer
from rich.table import Column, Table

from alerts.feedback import export as export_feedback
from alerts.feedback import latest
from tocsin.commands.alert_store import alert_settings, open_store
from tocsin.commands.up import DataDir
from tocsin.console import out

KEY_DIGITS = 12
"""Of a study's key: enough for `tocsin case`."""

app = typer.Typer(no_args_is_help=True, help="What doctors said about the studies: list, and export for evaluation.")


@app.command("list")
def list_(data_dir: DataDir = None) -> None:
    """The last word of each doctor on each study beside what the reader had said, and how often they agree."""
    columns = (Column(name, no_wrap=True) for name in ("When (UTC)", "Study", "By", "Doctor", "Reader", "Score"))
    table = Table(*columns, box=None, pad_edge=False)
    agree = read = 0
    with open_store(alert_settings(data_dir)).reading() as session:
        for word in latest(session):
            score = "" if word.score is None else f"{word.score:.3f}"
            when, reader = f"{word.at.astimezone(UTC):%Y-%m-%d %H:%M}", word.outcome or "no result"
            table.add_row(when, word.study_key[:KEY_DIGITS], word.by, word.says.replace("_", " "), reader, score)
            read += word.agrees is not None
            agree += bool(word.agrees)
    out.print(table if table.row_count else "No doctor has said anything about a study yet.")
    if read:
        out.print(f"Doctor and reader agree in {agree} of {read} that the reader could read.")


@app.command()
def export(data_dir: DataDir = None) -> None:
    """All feedback as CSV, with score, threshold, probabilities and model; the columns are in docs/alerts.md."""
    with open_store(alert_settings(data_dir)).reading() as session:
        export_feedback(session, sys.stdout)
