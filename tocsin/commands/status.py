"""``tocsin status``: is the node well? One screen, once or live."""

import json
import time
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Annotated

import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.live import Live
from rich.table import Table

from tocsin.commands.up import DataDir, directory_of
from tocsin.console import out
from tocsin.data_directory import DataDirectory
from tocsin.node import RunningNode, running_node
from tocsin.ports import LOOPBACK

TIMEOUT_SECONDS = 3.0

EVERY_SECONDS = 1.0

FIGURES: dict[str, dict[str, str]] = {
    "listener": {
        "slices accepted": "tocsin_listener_slices_accepted",
        "associations open": "tocsin_listener_associations_open",
        "waiting in the spool": "tocsin_listener_spool_messages",
        "oldest in the spool, s": "tocsin_listener_spool_oldest_seconds",
        "objects refused": "tocsin_listener_objects_refused",
    },
    "streams": {
        "slices taken in": "tocsin_streams_slices",
        "slices behind": "tocsin_streams_slices_behind",
        "series arriving": "tocsin_streams_open_series",
        "findings": "tocsin_streams_findings",
        "dead letters": "tocsin_streams_deadletters",
    },
    "alerts": {
        "alerts unanswered": "tocsin_alerts_unacknowledged",
        "oldest unanswered, s": "tocsin_alerts_unacknowledged_oldest_seconds",
        "messages owed": "tocsin_alerts_outbox_depth",
        "messages failed for good": "tocsin_alerts_outbox_failed",
        "people who are told": "tocsin_alerts_recipients",
        "auditor's findings": "tocsin_alerts_audit_violations",
    },
    "heartbeat": {
        "studies sent": "tocsin_heartbeat_beats",
        "of these failed": "tocsin_heartbeat_failures",
    },
}
"""Per service: what is shown, and the metric family behind it, summed over its labels."""

HEARTBEAT_AT = "tocsin_heartbeat_last_success_timestamp_seconds"


def status(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    live: Annotated[bool, typer.Option("--live", help="look again every second, until Ctrl-C")] = False,
) -> None:
    """Show each service of the running node: what waits, what is open, what is wrong.

    Exit status 1 when any of them is not ready.
    """
    directory = directory_of(data_dir)
    if live:
        _follow(directory)
        return
    node = running_node(directory)
    services = _services(node)
    if as_json:
        out.print_json(json.dumps({"page": node.addresses.page_url, "pids": node.pids, "services": services}))
    else:
        out.print(_table(node, services))
    if not all(service["ready"] for service in services.values()):
        raise typer.Exit(1)


def _follow(directory: DataDirectory) -> None:
    with Live(console=out, auto_refresh=False) as screen, suppress(KeyboardInterrupt):
        while True:
            node = running_node(directory)
            screen.update(_table(node, _services(node)), refresh=True)
            time.sleep(EVERY_SECONDS)


def _services(node: RunningNode) -> dict[str, dict[str, object]]:
    ports = node.addresses.metrics_ports()
    if node.pids.get("heartbeat"):
        ports["heartbeat"] = node.addresses.heartbeat_metrics_port
    return {name: _look(port) for name, port in ports.items()}


def _look(port: int) -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=TIMEOUT_SECONDS) as answer:
            verdict = json.load(answer)
    except urllib.error.HTTPError as error:
        verdict = json.load(error)
    except OSError:
        return {"ready": False, "failures": {"process": "does not answer"}, "figures": {}}
    return {"ready": not verdict["failures"], "failures": verdict["failures"], "figures": _figures(port)}


def _figures(port: int) -> dict[str, float]:
    """Every counter and gauge of the service, summed over its labels."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        family.name: sum(sample.value for sample in family.samples if not sample.name.endswith("_created"))
        for family in text_string_to_metric_families(text)
        if family.type in {"counter", "gauge"}
    }


def _table(node: RunningNode, services: dict[str, dict[str, object]]) -> Table:
    table = Table(title=f"Tocsin, page at {node.addresses.page_url}", title_justify="left")
    for column in ("Service", "Process", "State", "Figures"):
        table.add_column(column)
    for name, service in services.items():
        failures, figures = service["failures"], service["figures"]
        assert isinstance(failures, dict)
        assert isinstance(figures, dict)
        state = "[green]ready[/green]" if service["ready"] else f"[red]{'; '.join(failures.values())}[/red]"
        service_kind = name.partition("-")[0]
        shown = "\n".join(
            f"{words} {figures[metric]:.0f}"
            for words, metric in FIGURES.get(service_kind, {}).items()
            if metric in figures
        )
        if figures.get(HEARTBEAT_AT):
            shown += f"\nlast came back, s ago {time.time() - figures[HEARTBEAT_AT]:.0f}"
        table.add_row(name, str(node.pids.get(name) or "–"), state, shown)
    if "kafka" in node.pids:
        table.add_row("kafka", str(node.pids["kafka"] or "–"), node.addresses.bootstrap_servers, "")
    return table
