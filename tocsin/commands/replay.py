"""``tocsin replay``: play a case again, into a scratch node; or DICOM files to a port."""

from pathlib import Path
from typing import Annotated

import typer

from streams.contracts.slices import SliceAccepted
from tocsin import scanner
from tocsin.case import find_case
from tocsin.commands.deadletter import Servers, servers_of
from tocsin.commands.up import DataDir
from tocsin.console import err, out
from tocsin.errors import BadRequest, ScannerFailed
from tocsin.replaying import Played, demand_another_cluster, messages_of, play
from tocsin.scanner import Destination

SCANNER_RATE = 10.0
"""Slices per second of a CT's reconstruction: what ``--speed 1`` means for files, which do not say when they came."""


def replay(
    what: Annotated[str, typer.Argument(metavar="KEY|PATH", help="key of a study, series or alert; or DICOM files")],
    into: Annotated[str | None, typer.Option(help="a case: host:port of the scratch node's Kafka")] = None,
    to: Annotated[str | None, typer.Option(help="files: AET@HOST:PORT of the receiver")] = None,
    speed: Annotated[float, typer.Option(min=0.01, help="1: as it came; 10: ten times as fast")] = 1.0,
    kafka: Servers = None,
    data_dir: DataDir = None,
) -> None:
    """Play a case again into another node, to see what it does with it now; or send files at a scanner's pace.

    A case is never played into the cluster that it came from: nobody is alerted twice. Files keep their UIDs, so a node
    that has had them accepts them again and says nothing new.
    """
    path = Path(what)
    if path.exists():
        _files(path, to, speed)
    else:
        _case(servers_of(kafka, data_dir), what, into, speed)


def _case(servers: str, key: str, into: str | None, speed: float) -> None:
    if into is None:
        raise BadRequest("Say where to: --into host:port of a scratch node's Kafka.")
    demand_another_cluster(servers, into)
    case = find_case(servers, key)
    err.print(f"Playing study {case.study_key} at {speed:g} times its pace", markup=False)
    count = play(messages_of(servers, case.study_key), into, speed, _tell)
    if not count:
        raise BadRequest(f"The slices of {case.study_key} are no longer on the topic.")
    out.print(f"{count} slices played. Look with: tocsin case {case.study_key} --kafka {into}", markup=False)


def _tell(played: Played) -> None:
    if not isinstance(played.event, SliceAccepted):
        err.print(f"series {played.event.series_key[:8]}: association {played.event.kind}", markup=False)


def _files(path: Path, to: str | None, speed: float) -> None:
    if to is None:
        raise BadRequest("Say where to: --to AET@HOST:PORT.")
    files, _ = scanner.find_files([path])
    if not files:
        raise BadRequest(f"There is no DICOM file in {path}.")
    outcome = scanner.send(files, Destination.parse(to), "TOCSIN_REPLAY", SCANNER_RATE * speed)
    out.print(f"{outcome.accepted} of {len(files)} files accepted")
    if outcome.accepted < len(files):
        raise ScannerFailed(f"{len(files) - outcome.accepted} were not.")
