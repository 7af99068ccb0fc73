"""The six dashboards, by file name."""

from collections.abc import Callable

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.grafana.boards.alerts import alerts
from monitoring.grafana.boards.ingest import ingest
from monitoring.grafana.boards.model import model
from monitoring.grafana.boards.overview import overview
from monitoring.grafana.boards.streams import streams
from monitoring.grafana.boards.waterfall import waterfall

ALL: dict[str, Callable[[], Dashboard]] = {
    "overview": overview,
    "waterfall": waterfall,
    "ingest": ingest,
    "streams": streams,
    "model": model,
    "alerts": alerts,
}
