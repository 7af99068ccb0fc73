"""The files under monitoring/, read for tests."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics_core import Metric

from tocsin import metrics_document

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"
RULES = sorted((MONITORING / "prometheus" / "rules").glob("*.yml"))
RULE_TESTS = sorted((MONITORING / "prometheus" / "tests").glob("*.yml"))
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$scanner": ".*", "$quantile": "0.95"}
"""What Grafana would put in."""

OPTIONAL = ("tocsin_heartbeat_", "tocsin_certificate_", "tocsin_gpu_")
"""Metrics that a node has only where the thing is set up."""


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@dataclass(frozen=True)
class PanelQuery:
    """One query of one panel, with Grafana's variables filled in."""

    dashboard: str
    panel: str
    expression: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expression}"


def dashboard_panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """(dashboard, panel), rows left out."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            if panel["type"] != "row":
                yield file.stem, panel


def panel_queries() -> list[PanelQuery]:
    return [
        PanelQuery(name, panel["title"], filled(target["expr"]))
        for name, panel in dashboard_panels()
        for target in panel["targets"]
    ]


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression


def metrics_in(expression: str) -> set[str]:
    """Names of ours in an expression, recorded ones included."""
    return set(re.findall(r"\b(?:tocsin_[a-z0-9_]+|tocsin:[a-zA-Z0-9_:]+|process_[a-z_]+)", expression))


def declared() -> dict[str, Metric]:
    """Every sample name that the services can have, and its family."""
    names: dict[str, Metric] = {}
    for _, _, declare in metrics_document.SERVICES:
        for family in metrics_document.families(declare):
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
            names |= {f"{family.name}{suffix}": family for suffix in suffixes}
    return names


def matchers_in(expression: str) -> Iterator[tuple[str, str, str]]:
    """(metric, label, value) of every matcher; the values of a regular expression one by one."""
    for metric, inside in re.findall(r"\b(tocsin_[a-z0-9_]+)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', inside):
            for each in value.split("|") if "~" in operator else [value]:
                yield metric, label, each
