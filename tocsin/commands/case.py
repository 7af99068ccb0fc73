"""``tocsin case``: the waterfall of one case."""

import json
from typing import Annotated

import typer
from rich.table import Table

from tocsin.case import PROMISE_SECONDS, Case, find_case
from tocsin.commands.deadletter import Servers, servers_of
from tocsin.commands.up import DataDir
from tocsin.console import out

BAR = 20
SHOWN_SECONDS = 120.0
"""What comes later than this stands at the right edge: an answer may take an hour."""


def case(
    key: Annotated[str, typer.Argument(help="of a study, a series or an alert, or its first digits")],
    kafka: Servers = None,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show what happened to one study, from its first slice to the answer, and where the time went."""
    found = find_case(servers_of(kafka, data_dir), key)
    if as_json:
        out.print_json(json.dumps(_document(found)))
        return
    out.print(_waterfall(found))
    _summary(found)


def _waterfall(case: Case) -> Table:
    title = f"Study {case.study_key}" + (" (dead-man's study)" if case.heartbeat else "")
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("Time (UTC)", "Seconds", "", "Service", "What"):
        wide = column == "What"
        table.add_column(column, justify="right" if column == "Seconds" else "left", no_wrap=not wide, ratio=int(wide))
    if not case.events:
        return table
    start = case.events[0].at
    span = min(SHOWN_SECONDS, max(1.0, (case.events[-1].at - start).total_seconds()))
    for event in case.events:
        after = (event.at - start).total_seconds()
        place = min(BAR - 1, int(after / span * (BAR - 1)))
        mark = "▸" if after > span else "●"
        style = "red" if event.trouble else "bold" if event.clock else ""
        table.add_row(
            f"{event.at:%H:%M:%S.%f}"[:-3],
            f"+{after:.2f}",
            " " * place + mark,
            event.service,
            " ".join(filter(None, (event.what, event.clock and f"({event.clock})", event.sole))),
            style=style,
        )
    return table


def _summary(case: Case) -> None:
    for stage in case.stages:
        slowest = "  ← most of the time" if stage is case.slowest else ""
        out.print(f"{stage.seconds:8.2f} s  {stage.name}{slowest}", markup=False)
    if case.promise_seconds is None:
        out.print("No bleed was told to anybody.")
    else:
        kept = case.promise_seconds <= PROMISE_SECONDS
        verdict = "[green]the promise was kept[/green]" if kept else "[red]THE PROMISE WAS BROKEN[/red]"
        out.print(
            f"{case.promise_seconds:8.2f} s  decisive_slice → alert_delivered: {verdict} ({PROMISE_SECONDS:.0f} s)"
        )


def _document(case: Case) -> dict[str, object]:
    return {
        "study_key": case.study_key,
        "heartbeat": case.heartbeat,
        "events": [
            {
                "at": event.at.isoformat(),
                "service": event.service,
                "what": event.what,
                "clock": event.clock,
                "sole": event.sole,
                "trouble": event.trouble,
            }
            for event in case.events
        ],
        "stages": [{"name": stage.name, "seconds": round(stage.seconds, 3)} for stage in case.stages],
        "decisive_slice_to_alert_delivered_seconds": case.promise_seconds,
    }
