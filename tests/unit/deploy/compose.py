"""docker-compose.yml as docker compose would read it: merges resolved, variables replaced by their defaults."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text()

VARIABLE = re.compile(r"\$\{([A-Z0-9_]+):-([^}]*)\}")

OURS = {"topics", "listener", "streams", "streams-gpu", "alerts", "monitoring", "heartbeat"}
"""Services that run this repository's image."""


@cache
def document() -> dict[str, Any]:
    return dict(_interpolated(yaml.safe_load(TEXT)))


def _interpolated(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _interpolated(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_interpolated(value) for value in node]
    return VARIABLE.sub(r"\2", node) if isinstance(node, str) else node


def services() -> dict[str, dict[str, Any]]:
    return dict(document()["services"])


def environment(service: str) -> dict[str, str]:
    """As the container gets it: an empty value is an empty string."""
    return {key: "" if value is None else str(value) for key, value in services()[service]["environment"].items()}


def variables() -> dict[str, str]:
    """Name → default of every variable that the file takes from .env."""
    return dict(VARIABLE.findall(TEXT))
