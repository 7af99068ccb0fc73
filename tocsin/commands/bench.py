"""``tocsin bench``: figures that anybody can measure again on their own machine."""

import json
from pathlib import Path
from typing import Annotated

import typer

from tocsin.commands.up import say, show_log
from tocsin.console import out
from tocsin.errors import TocsinError
from tocsin.kafka.topics import TopicLayout
from triage_models.errors import ModelError

app = typer.Typer(no_args_is_help=True, help="Measure this machine: ingest, inference, alerts, the whole pipeline.")

AsJson = Annotated[bool, typer.Option("--json", help="one JSON document instead of lines")]


@app.command()
def ingest(
    slices: Annotated[int, typer.Option(help="per association and round", min=1, max=5000)] = 120,
    rounds: Annotated[int, typer.Option(help="servers take turns; the median counts", min=1, max=50)] = 3,
    associations: Annotated[int, typer.Option(min=1, max=32)] = 1,
    processes: Annotated[int, typer.Option(help="of our listener", min=1, max=16)] = 1,
    as_json: AsJson = False,
) -> None:
    """Durable slices per second of the listener, beside bare pynetdicom and what else is installed."""
    from tocsin.ingest_bench import measure_ingest

    _show(measure_ingest(slices, rounds, associations, processes), as_json)


@app.command()
def inference(
    model: Annotated[Path | None, typer.Option(help="folder of another model")] = None,
    slices: Annotated[int, typer.Option(help="calls per figure", min=8, max=2000)] = 64,
    threads: Annotated[list[int], typer.Option(help="of the processor; may be given again", min=1, max=64)] = [1, 2],  # noqa: B006 - typer's way of a list
    batch: Annotated[list[int], typer.Option(help="slices together; may be given again", min=1, max=256)] = [1, 8],  # noqa: B006 - as above
    runtimes: Annotated[str, typer.Option(help="names of docs/runtimes.md separated by commas")] = "all",
    as_json: AsJson = False,
) -> None:
    """The reader's whole path, and the network on every runtime of this machine at each batch size.

    Beside plain PyTorch where it is installed, and beside what the processor could do at best.
    """
    from triage_models.bench import bench_inference
    from triage_models.runtimes.names import RuntimeName, named

    try:
        names = list(RuntimeName) if runtimes == "all" else named(runtimes)
        _show(bench_inference(model, slices=slices, threads=tuple(threads), batches=batch, runtimes=names), as_json)
    except ModelError as error:
        raise TocsinError(f"The model cannot be used: {error}") from error


@app.command()
def pipeline(
    scanners: Annotated[int, typer.Option(min=1, max=50)] = 1,
    studies: Annotated[int, typer.Option(help="per scanner, one after the other", min=1, max=1000)] = 2,
    seconds: Annotated[
        float, typer.Option(help="begin studies for so long, instead of a number of them", min=0, max=86_400)
    ] = 0.0,
    slices: Annotated[int, typer.Option(help="per study; above 32 they are thinner", min=6, max=2000)] = 32,
    rate: Annotated[float, typer.Option(help="slices per second and scanner", min=0.1, max=1000)] = 10.0,
    side: Annotated[int, typer.Option(help="rows and columns of a slice", min=64, max=1024)] = 512,
    workers: Annotated[int, typer.Option(help="stream workers", min=1, max=TopicLayout.partitions)] = 1,
    listeners: Annotated[int, typer.Option(help="listening processes", min=1, max=16)] = 1,
    as_json: AsJson = False,
) -> None:
    """Every clock of the promise under load, with real services on this machine.

    Exit status 1 when a slice is lost, or a series was given up, if only for a while.
    """
    from tocsin.pipeline_bench import Load, measure_pipeline

    show_log()
    figures = measure_pipeline(Load(scanners, studies, seconds, slices, rate, side, workers, listeners), say)
    _show(figures, as_json)
    if figures["slices_lost"] or figures["series_ever_failed"]:
        raise typer.Exit(1)


@app.command()
def alerts(
    findings: Annotated[int, typer.Option(help="each of a study of its own", min=1, max=100_000)] = 50,
    per_minute: Annotated[float, typer.Option(min=1, max=6000)] = 50.0,
    instances: Annotated[int, typer.Option(help="of the alert service, on one database", min=1, max=4)] = 1,
    database_url: Annotated[str | None, typer.Option(help="an empty PostgreSQL database; else SQLite")] = None,
    as_json: AsJson = False,
) -> None:
    """From a finding produced to a webhook's acceptance, through real Kafka and the alert service."""
    from tocsin.alerts_bench import AlertLoad, measure_alerts

    show_log()
    _show(measure_alerts(AlertLoad(findings, per_minute, instances, database_url), say), as_json)


def _show(figures: dict[str, object], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(figures))
        return
    _lines(figures, "")


def _lines(figures: dict[str, object], indent: str) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            out.print(f"{indent}{name}:", markup=False)
            _lines(value, indent + "  ")
        else:
            out.print(f"{indent}{name}: {value}", markup=False)
