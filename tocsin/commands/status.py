"""``tocsin status``: is the node well? One screen."""

import json
import urllib.error
import urllib.request
from typing import Annotated

import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from tocsin.commands.up import DataDir, directory_of
from tocsin.console import out
from tocsin.node import RunningNode, running_node
from tocsin.ports import LOOPBACK

TIMEOUT_SECONDS = 3.0

FIGURES = {
    "listener": (
        "tocsin_listener_slices_accepted",
        "tocsin_listener_objects_refused",
        "tocsin_listener_spool_messages",
    ),
    "streams": ("tocsin_streams_slices", "tocsin_streams_open_series", "tocsin_streams_findings"),
    "alerts": ("tocsin_alerts_notifications", "tocsin_alerts_unacknowledged"),
}
"""Metric families shown per service: summed over their labels."""


def status(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Show each service of the running node. Exit status 1 when any of them is not ready."""
    node = running_node(directory_of(data_dir))
    services = {name: _look(port) for name, port in node.addresses.metrics_ports().items()}
    if as_json:
        out.print_json(json.dumps({"page": node.addresses.page_url, "pids": node.pids, "services": services}))
    else:
        out.print(_table(node, services))
    if not all(service["ready"] for service in services.values()):
        raise typer.Exit(1)


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
            f"{metric.removeprefix(f'tocsin_{service_kind}_')} {figures[metric]:g}"
            for metric in FIGURES.get(service_kind, ())
            if metric in figures
        )
        table.add_row(name, str(node.pids.get(name) or "–"), state, shown)
    if "kafka" in node.pids:
        table.add_row("kafka", str(node.pids["kafka"] or "–"), node.addresses.bootstrap_servers, "")
    return table
