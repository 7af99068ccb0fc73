"""``tocsin selftest``: scanner behaviour, played against the running node."""

from typing import Annotated

import typer

from streams.contracts.ids import SiteSecret
from tocsin import selftest as scenarios
from tocsin.commands.up import DataDir, directory_of, show_log
from tocsin.console import err, out
from tocsin.errors import BadRequest
from tocsin.node import running_node
from tocsin.scanner import Destination
from tocsin.selftest import Result


def selftest(
    data_dir: DataDir = None,
    only: Annotated[str, typer.Option(help="scenarios whose description contains this")] = "",
) -> None:
    """Send synthetic studies in every way scanners do, and check what comes of them. Prints PASS or FAIL for each.

    The studies appear on the worklist under the name SELFTEST; one that cannot be assessed may ring people.
    """
    show_log()
    directory = directory_of(data_dir)
    at = running_node(directory).addresses
    to = Destination(at.ae_title, "127.0.0.1" if at.dicom_host == "0.0.0.0" else at.dicom_host, at.dicom_port)  # noqa: S104 - compared, not bound
    secret = SiteSecret(directory.site_secret.read_bytes())
    err.print("Making a synthetic head …")
    results = scenarios.play(to, secret, at.bootstrap_servers, only, _tell)
    if not results:
        raise BadRequest(f"No scenario is described by {only!r}.")
    failed = [result for result in results if result.problem is not None]
    out.print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    if failed:
        raise typer.Exit(1)


def _tell(result: Result) -> None:
    mark = "[green]PASS[/green]" if result.problem is None else "[red]FAIL[/red]"
    out.print(f"{mark}  {result.scenario}  [dim]{result.seconds:.1f} s[/dim]")
    if result.problem is not None:
        out.print(f"      {result.problem}", markup=False)
