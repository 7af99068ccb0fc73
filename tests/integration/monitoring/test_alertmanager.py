"""A real Alertmanager with our configuration: who is paged, and what is silent because its cause already rings."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.support import watch_files
from tests.support.node import until
from tocsin.ports import free_ports

PROGRAM = "prometheus-alertmanager"
CONFIGURATION = watch_files.MONITORING / "alertmanager" / "alertmanager.yml"
SEVERITIES = {rule["alert"]: rule["labels"]["severity"] for rule in watch_files.alerts()}

pytestmark = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason="Debian's prometheus-alertmanager is not installed"
)


@dataclass
class Ops:
    """A running Alertmanager, and the people behind its webhooks. ``paged``: alert names by receiver."""

    url: str
    paged: dict[str, list[str]]

    def ring(self, *alerts: dict[str, str]) -> None:
        """What Prometheus would post."""
        document = [{"labels": {**alert, "severity": SEVERITIES[alert["alertname"]]}} for alert in alerts]
        body = json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()

    def states(self) -> dict[str, str]:
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in json.load(answer)}


@pytest.fixture
def ops(tmp_path: Path) -> Iterator[Ops]:
    paged: dict[str, list[str]] = {}

    class Phone(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            group = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            paged.setdefault(group["receiver"], []).extend(a["labels"]["alertname"] for a in group["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    phones = ThreadingHTTPServer(("127.0.0.1", 0), Phone)
    Thread(target=phones.serve_forever, daemon=True).start()
    document = yaml.safe_load(CONFIGURATION.read_text())
    document["route"]["group_wait"] = "1s"
    for receiver in document["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = f"http://127.0.0.1:{phones.server_address[1]}/"
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(document))
    (port,) = free_ports(1)
    command = [
        *(PROGRAM, f"--config.file={tmp_path / 'alertmanager.yml'}", f"--storage.path={tmp_path / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    server = Ops(f"http://127.0.0.1:{port}", paged)

    def ready() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return server.states() == {}
        except OSError:
            return False

    until(ready, 60, "Alertmanager's start")
    yield server
    process.terminate()
    process.wait(timeout=30)
    phones.shutdown()
    phones.server_close()


def alert(name: str, **labels: str) -> dict[str, str]:
    return {"alertname": name, **labels}


LAG = {"group": "tocsin-streams", "topic": "ct.slices.v1"}
CAUSES = {
    "the broker is away": (
        alert("TocsinKafkaUnreachable"),
        [
            alert("TocsinSpoolAgeing"),
            alert("TocsinConsumerLag", **LAG),
            alert("TocsinConsumerGone", group="tocsin-alerts"),
            alert("TocsinFindingsNotReceived"),
            alert("TocsinEventsUnpublished"),
            alert("TocsinOutcomeMissing"),
        ],
        alert("TocsinChannelFailing", channel="webhook"),
    ),
    "a worker hangs": (
        alert("TocsinTargetDown", job="streams", instance="streams:1"),
        [
            alert("TocsinConsumerLag", **LAG),
            alert("TocsinConsumerGone", group="tocsin-streams"),
            alert("TocsinServiceRestarting", job="streams", instance="streams:1"),
        ],
        alert("TocsinFindingsNotReceived"),
    ),
    "the alert service hangs": (
        alert("TocsinTargetDown", job="alerts", instance="alerts:1"),
        [alert("TocsinConsumerGone", group="tocsin-alerts")],
        alert("TocsinConsumerLag", **LAG),
    ),
    "a worker is too slow": (
        alert("TocsinConsumerLag", **LAG),
        [alert("TocsinWorkerBehind", instance="streams:1")],
        alert("TocsinInferenceSlow", instance="streams:1"),
    ),
    "no scanner sends": (
        alert("TocsinNoScannerHeard"),
        [alert("TocsinScannerSilent", scanner="CT1")],
        alert("TocsinHeartbeatLate"),
    ),
    "no model": (alert("TocsinNoModel"), [alert("TocsinSeriesFailed")], alert("TocsinSlicesUnreadable")),
    "a disk is full": (
        alert("TocsinDiskFull", instance="listener:1", volume="spool"),
        [alert("TocsinDiskFilling", instance="listener:1", volume="spool")],
        alert("TocsinSlicesRefusedByUs", reason="spool_full"),
    ),
    "alerts are late": (
        alert("TocsinPromiseBurnsFast"),
        [alert("TocsinPromiseBurnsSlowly"), alert("TocsinPromiseNotKept")],
        alert("TocsinAlertNotDelivered"),
    ),
    "the heart has stopped": (
        alert("TocsinHeartbeatStopped"),
        [alert("TocsinHeartbeatLate")],
        alert("TocsinHeartbeatFailing"),
    ),
}
"""A cause that rings, what is silent beside it, and what is not."""


@pytest.mark.parametrize("what", CAUSES)
def test_a_cause_silences_what_follows_from_it_and_nothing_else(ops: Ops, what: str) -> None:
    cause, silent, loud = CAUSES[what]
    ops.ring(cause)
    until(lambda: ops.states().get(cause["alertname"]) == "active", 30, "the cause")
    ops.ring(*silent, loud)
    expected = {a["alertname"]: "suppressed" for a in silent} | {a["alertname"]: "active" for a in (cause, loud)}
    until(lambda: ops.states() == expected, 30, lambda: f"{expected} instead of {ops.states()}")

    def heard() -> set[str]:
        return {name for names in ops.paged.values() for name in names}

    until(lambda: heard() >= {cause["alertname"], loud["alertname"]}, 30, lambda: f"the call; heard: {ops.paged}")
    assert heard() == {cause["alertname"], loud["alertname"]}
    for each in (cause, loud):
        assert (
            each["alertname"] in ops.paged[{"critical": "pager", "warning": "tickets"}[SEVERITIES[each["alertname"]]]]
        )


def test_every_inhibition_is_played() -> None:
    rules = yaml.safe_load(CONFIGURATION.read_text())["inhibit_rules"]
    sources = {matcher for rule in rules for matcher in rule["source_matchers"] if matcher.startswith("alertname")}
    assert sources == {f"alertname = {cause['alertname']}" for cause, _, _ in CAUSES.values()}
