"""``tocsin send``: any DICOM files over a real association, at a scanner's pace."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tocsin import scanner
from tocsin.console import err, out
from tocsin.errors import BadRequest
from tocsin.scanner import Destination, DicomFile


def send(
    paths: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them")],
    to: Annotated[str, typer.Option("--to", help="AET@HOST:PORT of the receiver")],
    calling: Annotated[str, typer.Option("--from", help="our AE title")] = "TOCSIN_SEND",
    rate: Annotated[
        float | None, typer.Option(help="objects per second; as fast as accepted when absent", min=0.01)
    ] = None,
) -> None:
    """Send DICOM files by C-STORE. Exit status 1 when any object was refused."""
    destination = Destination.parse(to)
    files, others = scanner.find_files(paths)
    for other in others:
        err.print(f"{other} is no DICOM object and is not sent.", markup=False)
    if not files:
        raise BadRequest("There is no DICOM file to send.")
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
    ) as bar:
        task = bar.add_task(f"to {destination.ae_title}", total=len(files))

        def sent(_file: DicomFile, _status: int) -> None:
            bar.advance(task)

        outcome = scanner.send(files, destination, calling, rate, sent)
    for path, status in outcome.refused:
        out.print(f"{path}  refused with status 0x{status:04X}", markup=False)
    speed = outcome.sent / outcome.seconds if outcome.seconds else 0.0
    out.print(f"{outcome.accepted} of {outcome.sent} objects accepted in {outcome.seconds:.1f} s ({speed:.1f}/s)")
    if outcome.refused:
        raise typer.Exit(1)
