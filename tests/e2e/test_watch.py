"""The watch over a real pipeline, by a real Prometheus: every query answers, silence is silence, and each fault rings.

One node of its own, because its broker and its workers are stopped here.
"""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.faults.disturbances import full_disk, mounted, unmount
from tests.faults.proxy import Condition, FaultProxy
from tests.support import prometheus, watch_files
from tests.support.node import START_TIMEOUT_SECONDS, UpNode, until
from tests.support.otlp import Collector, Received
from tests.support.patients import Patients
from tests.support.prometheus import Prometheus
from tocsin.node import heartbeat_webhook
from tocsin.ports import free_ports
from tocsin.samples import samples_at
from tocsin.webhook_receiver import WebhookReceiver

pytestmark = pytest.mark.skipif(not prometheus.is_installed(), reason="Debian's prometheus is not installed")

SCANNER = "TEST_SCANNER"
RINGS_WITHIN_SECONDS = 45.0
QUIET_WITHIN_SECONDS = 90.0
HEART_WITHIN_SECONDS = 150.0
"""It looks for a head whose bleed this reader finds first."""
SPOOL_MB = 64
PER_SLICE = ("send ct.slices.v1", "process ct.slices.v1")

NO_DATA_YET = {
    "Certificate ends in": "no TLS here",
    "Last dead-man's study": "no heartbeat here",
}
"""Panels that may be empty on a node that has just been set up, and why."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[UpNode]:
    """A node that is traced, and whose spool is on a small disk of its own, where that is permitted."""
    root = tmp_path_factory.mktemp("watched")
    spool = root / "spool"
    small = mounted(spool, SPOOL_MB)
    environment = {
        "TOCSIN_LISTENER_SCANNERS": f'["{SCANNER}"]',
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
    }
    node = UpNode.start(root, environment)
    yield node
    node.stop()
    if small:
        unmount(spool)


@contextmanager
def a_blind_worker(watched: UpNode, model_dir: Path) -> Iterator[str]:
    """A further worker without a model, in a group of its own, that has failed a series. Where its metrics are."""
    (port,) = free_ports(1)
    environment = own_environment() | {
        "KAFKA_BOOTSTRAP_SERVERS": watched.running.addresses.bootstrap_servers,
        "TOCSIN_STREAMS_APP_ID": "without-a-model",
        "TOCSIN_STREAMS_MODEL_DIR": str(model_dir),
        "TOCSIN_STREAMS_METRICS_PORT": str(port),
    }
    with running("streams", environment, watched.directory.root / "blind.log"):

        def failed() -> float:
            return samples_at([port]).total("tocsin_streams_series_total", outcome="failed")

        until(lambda: failed() >= 1, START_TIMEOUT_SECONDS, "the first series that it fails")
        yield f"127.0.0.1:{port}"


@dataclass(frozen=True)
class Heart:
    """``tocsin heartbeat`` behind a network that can be cut. ``metrics``: where these are."""

    metrics: str
    network: FaultProxy


@pytest.fixture
def heart(watched: UpNode) -> Iterator[Heart]:
    at = watched.running.addresses
    (port,) = free_ports(1)
    with FaultProxy(at.dicom_port) as network:
        environment = own_environment() | {
            "TOCSIN_SITE_SECRET_FILE": str(watched.directory.site_secret),
            "TOCSIN_HEARTBEAT_TO": f"{at.ae_title}@127.0.0.1:{network.port}",
            "TOCSIN_HEARTBEAT_EVERY_SECONDS": "10",
            "TOCSIN_HEARTBEAT_WEBHOOK": heartbeat_webhook(watched.directory, at),
            "TOCSIN_HEARTBEAT_WEBHOOK_PORT": str(at.heartbeat_webhook_port),
            "TOCSIN_HEARTBEAT_METRICS_PORT": str(port),
        }
        with running("tocsin", environment, watched.directory.root / "heart.log", "heartbeat"):
            yield Heart(f"127.0.0.1:{port}", network)


@pytest.fixture(scope="module")
def watcher(watched: UpNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after a bleeding and a clean patient have gone through."""
    server = Prometheus.start(tmp_path_factory.mktemp("watcher") / "prometheus", targets_of(watched))
    until(server.evaluated, 30, "the evaluation of all rules")
    until(lambda: server.query("count(up == 1) == 4"), 30, "the first scrape of every service")
    until(lambda: not server.firing(), 30, lambda: f"the end of {server.firing()}")
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


def own_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}


@contextmanager
def running(module: str, environment: dict[str, str], log: Path, *arguments: str) -> Iterator[None]:
    """A process beside the node."""
    with log.open("wb") as output:
        command = [sys.executable, "-m", module, *arguments]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.kill()
        process.wait()


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


class Alarm:
    """What begins to ring after this was made; an earlier fault may go on ringing for its quarter of an hour."""

    def __init__(self, server: Prometheus) -> None:
        self.server = server
        self.before = server.firing()

    def new(self) -> set[str]:
        return self.server.firing() - self.before

    def rings(self, *names: str) -> None:
        """Exactly these, and soon."""
        wanted = set(names)

        def missing() -> str:
            new = self.new()
            return f"{', '.join(sorted(wanted - new))} (what fires is {', '.join(sorted(new)) or 'nothing'})"

        until(lambda: wanted <= self.new(), RINGS_WITHIN_SECONDS, missing)
        assert self.new() == wanted

    def is_silent(self, after: AbstractSet[str] = frozenset()) -> None:
        """Nothing rings any more but what may do so for a while after."""
        until(lambda: self.new() <= after, QUIET_WITHIN_SECONDS, lambda: f"the end of {self.new() - after}")


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
    figures = {
        f'tocsin_listener_scanner_slices_total{{scanner="{SCANNER}"}}': 56,
        'tocsin_streams_series_total{outcome="positive"}': 1,
        'tocsin_streams_series_total{outcome="negative"}': 1,
        "tocsin_streams_series_score_count": 2,
        'tocsin_kafka_topic_end_offset{topic="ct.slices.v1"}': 56,
        "max(tocsin_kafka_consumer_lag_messages)": 0,
        "tocsin_kafka_group_members": 1,
    }

    def others() -> dict[str, float]:
        return {query: found for query, wanted in figures.items() if (found := seen.value(query)) != wanted}

    until(lambda: not others(), 30, lambda: f"the end of {others()}")  # each is scraped in its own time


def test_no_label_carries_anything_of_a_patient(seen: Prometheus, watched: UpNode) -> None:
    values = {value for name in seen.api("labels") for value in seen.api(f"label/{name}/values")}
    keys = [study["study_key"] for study in watched.api("studies")]
    assert keys
    for value in values:
        assert not any(secret in value for secret in (*keys, "NOMEN", "4711", "1.2.826"))


def test_a_bleed_is_one_trace_from_its_slice_to_the_doctor(
    watched: UpNode, collector: Collector, patients: Patients
) -> None:
    files = patients.admit(bleeding=True)
    watched.send(files)
    watched.alert_of(watched.study_key(files), 60)
    series_key = watched.final_finding(watched.study_key(files))["series_key"]

    def spans() -> dict[str, list[Received]]:
        return {
            name: [span for span in collector.trace(series_key) if span.name == name]
            for name in ("series", "C-STORE", *PER_SLICE, "send triage.findings.v1", "notify webhook")
        }

    def complete() -> bool:
        found = spans()
        per_slice = [len(found[name]) >= len(files) for name in ("C-STORE", *PER_SLICE)]
        return all(per_slice) and bool(found["series"]) and bool(found["notify webhook"])

    until(complete, 60, lambda: f"the whole trace: { ({name: len(each) for name, each in spans().items()}) }")
    trace = collector.trace(series_key)
    by_id = {span.span: span for span in trace}
    alarm = next(span for span in spans()["notify webhook"] if span.attributes["tocsin.purpose"] == "alarm")
    way = [alarm]
    while way[-1].parent:
        way.append(by_id[way[-1].parent])
    assert [(span.service, span.name) for span in reversed(way)] == [
        ("tocsin-streams", "series"),
        ("tocsin-listener", "C-STORE"),
        ("tocsin-streams", "process ct.slices.v1"),
        ("tocsin-streams", "send triage.findings.v1"),
        ("tocsin-alerts", "notify webhook"),
    ]
    series, stored, processed, sent, told = reversed(way)
    assert series.start <= stored.end <= processed.end
    assert processed.start <= sent.start <= told.start <= told.end
    assert told.attributes["tocsin.outcome"] == "delivered"
    assert all(span.parent in by_id for span in trace if span is not series)
    secrets = ("NOMEN", "4711", "1.2.826", watched.study_key(files), files[0].study_instance_uid)
    assert not [text for span in trace for text in span.texts if any(secret in text for secret in secrets)]


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
    alarm = Alarm(seen)
    with stopped(pid_of(watched, "streams")):
        watched.send(patients.admit(bleeding=False))
        alarm.rings("TocsinTargetDown", "TocsinConsumerLag", "TocsinConsumerGone")
    alarm.is_silent()


def test_a_broker_that_hangs_rings_and_nothing_else_does(seen: Prometheus, watched: UpNode, patients: Patients) -> None:
    alarm = Alarm(seen)
    with stopped(pid_of(watched, "kafka")):
        watched.send(patients.admit(bleeding=False))
        alarm.rings("TocsinKafkaUnreachable", "TocsinSpoolAgeing", "TocsinFindingsNotReceived")
    alarm.is_silent()


def test_a_new_worker_without_a_model_rings_for_all_that_it_failed_before_it_was_seen(
    seen: Prometheus, watched: UpNode, patients: Patients, tmp_path: Path
) -> None:
    watched.send(patients.admit(bleeding=False))
    alarm = Alarm(seen)
    with a_blind_worker(watched, tmp_path) as its_metrics:
        seen.watch("streams", [*targets_of(watched)["streams"], its_metrics])
        try:
            alarm.rings("TocsinNoModel", "TocsinSlicesUnreadable", "TocsinSeriesFailed", "TocsinDeadLetters")
        finally:
            seen.watch("streams", targets_of(watched)["streams"])
        until(lambda: seen.query("count(up) == 4"), 30, "the end of its watching")
    alarm.is_silent(after={"TocsinSlicesUnreadable", "TocsinSeriesFailed", "TocsinDeadLetters"})


def test_a_full_disk_rings_and_so_does_what_it_refuses(seen: Prometheus, watched: UpNode, patients: Patients) -> None:
    spool = watched.directory.root / "spool"
    if not spool.is_mount():
        pytest.skip("only root may mount a small disk")
    alarm = Alarm(seen)
    with full_disk(spool):
        assert watched.send(patients.admit(bleeding=False)).refused
        alarm.rings("TocsinDiskFull", "TocsinDiskFilling", "TocsinSlicesRefusedByUs")
    alarm.is_silent(after={"TocsinSlicesRefusedByUs"})


def test_a_dead_mans_study_that_does_not_get_through_rings(seen: Prometheus, watched: UpNode, heart: Heart) -> None:
    alarm = Alarm(seen)
    seen.watch("heartbeat", [heart.metrics])
    until(
        lambda: seen.query("tocsin_heartbeat_last_success_timestamp_seconds > 0"), HEART_WITHIN_SECONDS, "a heartbeat"
    )
    alarm.is_silent()
    heart.network.become(Condition.RESET)
    alarm.rings("TocsinHeartbeatFailing", "TocsinHeartbeatLate")
    seen.watch("heartbeat", [])
    stays = {"TocsinHeartbeatFailing", "TocsinHeartbeatStopped"}
    until(lambda: alarm.new() == stays, RINGS_WITHIN_SECONDS, lambda: f"{stays} and not {alarm.new()}")


def test_a_channel_that_is_down_rings(seen: Prometheus, watched: UpNode, patients: Patients) -> None:
    """The last one: what it holds up is delivered late, and the broken promise rings for hours."""
    alarm = Alarm(seen)
    with out_of_order(watched.doctor):
        watched.send(patients.admit(bleeding=True))
        alarm.rings("TocsinChannelFailing")
        annotations = seen.alert("TocsinChannelFailing")["annotations"]
        assert annotations["runbook_url"] == "docs/runbooks/channel-failing.md"
        assert "webhook" in annotations["summary"]
