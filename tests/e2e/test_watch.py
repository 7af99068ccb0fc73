"""The watch over a real pipeline, by a real Prometheus: every query answers, silence is silence, and each fault rings.

One node of its own, because its broker and its workers are stopped here.
"""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support import prometheus, watch_files
from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tests.support.prometheus import Prometheus
from tocsin.ports import free_ports
from tocsin.webhook_receiver import WebhookReceiver

pytestmark = pytest.mark.skipif(not prometheus.is_installed(), reason="Debian's prometheus is not installed")

SCANNER = "TEST_SCANNER"
RINGS_WITHIN_SECONDS = 45.0
QUIET_WITHIN_SECONDS = 90.0

NO_DATA_YET = {
    "Certificate ends in": "no TLS here",
    "Last dead-man's study": "no heartbeat here",
}
"""Panels that may be empty on a node that has just been set up, and why."""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpNode]:
    environment = {"TOCSIN_LISTENER_SCANNERS": f'["{SCANNER}"]'}
    node = UpNode.start(tmp_path_factory.mktemp("watched"), environment)
    yield node
    node.stop()


@pytest.fixture(scope="module")
def blind_worker(watched: UpNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A further worker without a model, in a group of its own: it reads all that was sent. Where its metrics are."""
    (port,) = free_ports(1)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")} | {
        "KAFKA_BOOTSTRAP_SERVERS": watched.running.addresses.bootstrap_servers,
        "TOCSIN_STREAMS_APP_ID": "without-a-model",
        "TOCSIN_STREAMS_MODEL_DIR": str(tmp_path_factory.mktemp("no-model")),
        "TOCSIN_STREAMS_METRICS_PORT": str(port),
    }
    with (watched.directory.root / "blind.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "streams"], env=environment, stdout=log, stderr=log)
    yield f"127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def watcher(watched: UpNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after a bleeding and a clean patient have gone through."""
    server = Prometheus.start(tmp_path_factory.mktemp("watcher") / "prometheus", targets_of(watched))
    until(server.evaluated, 30, "the evaluation of all rules")
    until(lambda: server.query("count(up == 1) == 4"), 30, "the first scrape of every service")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def seen(watched: UpNode, watcher: Prometheus, patients: Patients) -> Prometheus:
    bleeding, clean = patients.admit(bleeding=True), patients.admit(bleeding=False)
    for files in (bleeding, clean):
        watched.send(files)
    watched.alert_of(watched.study_key(bleeding), 60)
    for files in (bleeding, clean):
        watched.final_finding(watched.study_key(files))
    arrived = 'sum(tocsin_streams_series_total{outcome=~"positive|negative"}) >= 2'
    until(lambda: watcher.query(arrived), 30, "the scrape of the results")
    until(lambda: watcher.query("tocsin:decided_series:increase1d >= 1"), 30, "the rules' account of them")
    return watcher


def targets_of(node: UpNode) -> dict[str, list[str]]:
    return {job: [f"127.0.0.1:{port}"] for job, port in node.running.addresses.metrics_ports().items()}


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that is there and does nothing."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def pid_of(node: UpNode, service: str) -> int:
    pid = node.running.pids[service]
    assert pid is not None
    return pid


def rings(server: Prometheus, *names: str) -> None:
    """Exactly these fire, and soon."""
    until(lambda: set(names) <= server.firing(), RINGS_WITHIN_SECONDS, f"the alert {', '.join(names)}")
    assert server.firing() == set(names)


def is_quiet(server: Prometheus) -> None:
    until(lambda: not server.firing(), QUIET_WITHIN_SECONDS, f"the end of {server.firing()}")


def test_every_panel_has_data(seen: Prometheus) -> None:
    empty = []
    for query in watch_files.panel_queries():
        found = [float(sample["value"][1]) for sample in seen.query(query.expression)]
        numbers = [value for value in found if not math.isnan(value)]
        if query.panel not in NO_DATA_YET and not numbers:
            empty.append(str(query))
    assert not empty, "\n".join(empty)


def test_every_rule_can_be_evaluated_and_none_fires(seen: Prometheus) -> None:
    for rule in watch_files.rules():
        seen.query(rule["expr"])
    assert seen.broken_rules() == {}
    assert seen.firing() == set()
    assert seen.value('ALERTS{alertname="TocsinWatchdog",alertstate="firing"}') == 1


def test_the_figures_are_those_of_what_was_sent(seen: Prometheus) -> None:
    assert seen.value(f'tocsin_listener_scanner_slices_total{{scanner="{SCANNER}"}}') == 56
    assert seen.value('tocsin_streams_series_total{outcome="positive"}') == 1
    assert seen.value('tocsin_streams_series_total{outcome="negative"}') == 1
    assert seen.value("tocsin_streams_series_score_count") == 2
    assert seen.value('tocsin_kafka_topic_end_offset{topic="ct.slices.v1"}') == 56
    until(lambda: seen.query("max(tocsin_kafka_consumer_lag_messages) == 0"), 30, "the last commit")
    assert seen.value("tocsin_kafka_group_members") == 1


def test_no_label_carries_anything_of_a_patient(seen: Prometheus, watched: UpNode) -> None:
    values = {value for name in seen.api("labels") for value in seen.api(f"label/{name}/values")}
    keys = [study["study_key"] for study in watched.api("studies")]
    assert keys
    for value in values:
        assert not any(secret in value for secret in (*keys, "NOMEN", "4711", "1.2.826"))


@contextmanager
def out_of_order(doctor: WebhookReceiver) -> Iterator[None]:
    """The doctor's webhook answers, and takes nothing."""
    takes = doctor.take
    doctor.take = lambda _signature, _body: HTTPStatus.SERVICE_UNAVAILABLE
    try:
        yield
    finally:
        doctor.take = takes


def test_a_worker_that_hangs_rings_for_what_waits(seen: Prometheus, watched: UpNode, patients: Patients) -> None:
    with stopped(pid_of(watched, "streams")):
        watched.send(patients.admit(bleeding=False))
        rings(seen, "TocsinTargetDown", "TocsinConsumerLag", "TocsinConsumerGone")
    is_quiet(seen)


def test_a_broker_that_hangs_rings_and_nothing_else_does(seen: Prometheus, watched: UpNode, patients: Patients) -> None:
    with stopped(pid_of(watched, "kafka")):
        watched.send(patients.admit(bleeding=False))
        rings(seen, "TocsinKafkaUnreachable", "TocsinSpoolAgeing", "TocsinFindingsNotReceived")
    is_quiet(seen)


def test_a_channel_that_is_down_rings(seen: Prometheus, watched: UpNode, patients: Patients) -> None:
    with out_of_order(watched.doctor):
        watched.send(patients.admit(bleeding=True))
        rings(seen, "TocsinChannelFailing")
        annotations = seen.alert("TocsinChannelFailing")["annotations"]
        assert annotations["runbook_url"] == "docs/runbooks/channel-failing.md"
        assert "webhook" in annotations["summary"]


def test_a_worker_without_a_model_rings_and_so_does_what_it_fails(
    watched: UpNode, blind_worker: str, tmp_path: Path
) -> None:
    targets = targets_of(watched)
    targets["streams"].append(blind_worker)
    server = Prometheus.start(tmp_path / "prometheus", targets)
    try:
        rings(server, "TocsinNoModel", "TocsinSlicesUnreadable", "TocsinSeriesFailed", "TocsinDeadLetters")
    finally:
        server.stop()
