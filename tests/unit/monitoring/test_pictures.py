"""Pictures of the dashboards: what Prometheus answers is what is drawn, and what it does not answer is said."""

import json
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from PIL import Image

from monitoring import pictures
from monitoring.pictures import Sample, in_unit, legend
from tests.support import watch_files


@pytest.fixture
def prometheus() -> Iterator[tuple[str, list[str]]]:
    """Answers every query with one series, save those about heartbeats; and which it was asked."""
    asked: list[str] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = urllib.parse.urlsplit(self.path)
            query = {key: values[0] for key, values in urllib.parse.parse_qs(at.query).items()}
            asked.append(query["query"])
            metric = {"le": "1.0", "instance": "a:1", "job": "streams"}
            if "heartbeat" in query["query"]:
                result: list[dict[str, Any]] = []
            elif at.path.endswith("query_range"):
                start, end = float(query["start"]), float(query["end"])
                result = [{"metric": metric, "values": [[start, "1"], [(start + end) / 2, "3"], [end, "2"]]}]
            else:
                result = [{"metric": metric, "value": [float(query["time"]), "2"]}]
            body = json.dumps({"status": "success", "data": {"result": result}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


def test_every_dashboard_is_drawn_from_the_queries_of_its_panels(
    prometheus: tuple[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, asked = prometheus
    assert pictures.main(["--prometheus", url, "--minutes", "10", "--out", str(tmp_path)]) == 0
    drawn = sorted(path.name for path in tmp_path.glob("*.png"))
    assert drawn == sorted(f"dashboard-{file.stem}.png" for file in watch_files.DASHBOARDS)
    assert len(asked) == len(watch_files.panel_queries())
    assert not [query for query in asked if "$" in query]
    assert "no data: Last dead-man's study" in capsys.readouterr().out
    for name in drawn:
        with Image.open(tmp_path / name) as image:
            assert image.width == 960
            assert len(image.convert("L").getcolors() or ()) > 10


def test_what_cannot_be_drawn_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pictures.main(["--prometheus", "http://127.0.0.1:9", "--out", str(tmp_path)]) == 1
    assert "does not answer" in capsys.readouterr().err
    assert pictures.main(["--board", "nonsense", "--out", str(tmp_path)]) == 1
    assert "no dashboard nonsense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.985, "percentunit", "98.5 %"),
        (0.0421, "s", "42.1 ms"),
        (31.0, "s", "31 s"),
        (7200.0, "s", "2 h"),
        (525_000, "bytes", "525 kB"),
        (4.0, "cps", "4 /s"),
        (3.0, "short", "3"),
    ],
)
def test_a_number_is_said_in_its_unit(value: float, unit: str, text: str) -> None:
    assert in_unit(value, unit) == text


def test_a_legend_is_filled_with_the_labels() -> None:
    sample = Sample({"job": "streams", "instance": "a:1"}, (0.0,), (1.0,))
    assert legend({"legendFormat": "{{job}} on {{ instance }}{{missing}}"}, sample) == "streams on a:1"
