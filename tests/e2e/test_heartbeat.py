"""The dead-man's study against a whole node: it comes back, and nobody but the test recipient ever hears of it."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.node import UpNode, until

EVERY_MINUTES = "0.25"
PATIENCE_SECONDS = 240


@pytest.fixture
def beating(tmp_path: Path) -> Any:
    node = UpNode.start(tmp_path, {"TOCSIN_HEARTBEAT_MINUTES": EVERY_MINUTES})
    yield node
    assert node.stop() == 0


def beats(node: UpNode) -> list[dict[str, Any]]:
    lines = (node.directory.logs / "heartbeat.log").read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record for record in records if record["event"] == "beat"]


def test_it_comes_back_in_time_and_no_doctor_hears_of_it(beating: UpNode) -> None:
    first = until(lambda: beats(beating), PATIENCE_SECONDS, "a heartbeat")[0]
    assert first["outcome"] == "success"
    assert 0 < first["seconds"] < 30
    metrics = f"http://127.0.0.1:{beating.running.addresses.heartbeat_metrics_port}/metrics"
    with urllib.request.urlopen(metrics, timeout=5) as answer:
        exposed = answer.read().decode()
    assert "tocsin_heartbeat_seconds_count 1.0" in exposed
    assert "tocsin_heartbeat_last_success_timestamp_seconds 0.0" not in exposed
    findings = [json.loads(record.value) for record in beating.messages("triage.findings.v1")]
    assert {finding["study_key"] for finding in findings} >= {first["study"]}
    assert all(finding["heartbeat"] for finding in findings)
    assert beating.messages("phi.identities.v1") == []
    assert beating.api("studies") == []
    assert beating.doctor.received == []
    assert beating.messages("triage.alerts.v1") == []
