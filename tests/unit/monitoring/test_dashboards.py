"""The dashboards are those of the code, fit Grafana's schema, and ask for what exists."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import watch_files

schema = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
PANELS = list(watch_files.dashboard_panels())
IDS = [f"{name}: {panel['title']}" for name, panel in PANELS]


def test_the_files_are_what_the_code_makes() -> None:
    from monitoring.grafana.__main__ import FOLDER, documents

    written = {file.name: file.read_text() for file in FOLDER.glob("*.json")}
    assert written == documents(), "run: python -m monitoring.grafana"


@pytest.mark.parametrize("file", watch_files.DASHBOARDS, ids=[file.stem for file in watch_files.DASHBOARDS])
def test_grafanas_schema_knows_every_field(file: Path) -> None:
    """Read by Grafana's own models and written again, nothing is lost: a field that they do not know would be."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder

    document = json.loads(file.read_text())
    again = json.loads(JSONEncoder().encode(schema.Dashboard.from_json(document)))
    assert again == document


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=IDS)
def test_a_panel_explains_itself(name: str, panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 5
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert all(target["datasource"]["uid"] == "tocsin-prometheus" for target in panel["targets"])
    for link in panel.get("links") or ():
        page = link["url"].removeprefix("${runbooks}/")
        assert (watch_files.ROOT / "docs" / "runbooks" / page).exists()
        assert f"docs/runbooks/{page}" in panel["description"]


def test_panels_ask_for_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in watch_files.rules() if "record" in rule}
    known = set(watch_files.declared()) | recorded
    for query in watch_files.panel_queries():
        wanted = {m for m in watch_files.metrics_in(query.expression) if not m.startswith(watch_files.OPTIONAL)}
        assert wanted <= known, query


def test_a_row_is_filled_and_nothing_overlaps() -> None:
    for file in watch_files.DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(file.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, f"{file.stem}: {panel['title']}"
            assert at["x"] + at["w"] <= 24
            taken |= cells


def test_the_provisioned_source_is_the_one_the_panels_use() -> None:
    folder = watch_files.MONITORING / "grafana" / "provisioning"
    assert re.search(r"uid: tocsin-prometheus\b", (folder / "datasources" / "tocsin.yml").read_text())
    assert "/var/lib/grafana/dashboards" in (folder / "dashboards" / "tocsin.yml").read_text()
