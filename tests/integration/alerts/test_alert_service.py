"""The service as it is run: a process of its own, real Kafka, a real HTTP receiver and a real SMTP server."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from alerts.channels.webhook import signature
from streams.contracts.alerts import AlertChanged
from streams.contracts.findings import FindingProduced, FindingStatus, Outcome
from streams.contracts.topics import ALERTS, DEADLETTERS, FINDINGS
from tests.unit.alerts.builders import a_finding
from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.topics import TopicLayout, create_topics
from tocsin.ports import free_ports

SECRET = "0123456789abcdef"


class Receiver:
    """A webhook's far side that keeps what it gets."""

    def __init__(self) -> None:
        received: list[dict[str, Any]] = []
        receiver = self
        self.before_answering: Callable[[], None] = lambda: None

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stamp = int(self.headers["Tocsin-Signature"].partition(",")[0].removeprefix("t="))
                expected = signature(SECRET, body, datetime.fromtimestamp(stamp, UTC))
                good = self.headers["Tocsin-Signature"] == expected
                received.append({"at": datetime.now(UTC), "signed": good, **json.loads(body)})
                receiver.before_answering()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self.received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of the condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError("not within the time")


class Service:
    def __init__(self, folder: Path, kafka: str, receiver: Receiver, group: str) -> None:
        self.port, self.metrics_port = free_ports(2)
        recipients = [{"name": "on-call", "webhook": {"url": receiver.url, "secret": SECRET}}]
        (folder / "recipients.json").write_text(json.dumps({"recipients": recipients}))
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")} | {
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "TOCSIN_ALERTS_KAFKA_GROUP": group,
            "TOCSIN_ALERTS_DATABASE_URL": f"sqlite:///{folder / 'alerts.sqlite3'}",
            "TOCSIN_ALERTS_RECIPIENTS_FILE": str(folder / "recipients.json"),
            "TOCSIN_ALERTS_PORT": str(self.port),
            "TOCSIN_ALERTS_METRICS_PORT": str(self.metrics_port),
        }
        self._log = (folder / "log").open("ab")
        self.process: subprocess.Popen[bytes]

    def start(self) -> "Service":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "alerts"], env=self.environment, stdout=self._log, stderr=self._log
        )
        return self

    def get(self, path: str, port: int | None = None) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port or self.port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def post(self, path: str, body: dict[str, str]) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())

    def receiving(self) -> bool:
        return "tocsin_alerts_consumer_connected 1.0" in self.get("/metrics", self.metrics_port)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)


@pytest.fixture
def service(tmp_path: Path, kafka: str, receiver: Receiver, request: pytest.FixtureRequest) -> Iterator[Service]:
    service = Service(tmp_path, kafka, receiver, f"test-{request.node.name}")
    yield service
    if service.process.poll() is None:
        service.kill()


def produce(kafka: str, *values: FindingProduced | tuple[bytes, bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka)
    for value in values:
        key, body = value if isinstance(value, tuple) else (value.study_key.encode(), value.encode())
        producer.send(FINDINGS.name, key=key, value=body).get(timeout=10)
    producer.close()


def consume(kafka: str, topic: str, wanted: Callable[[Any], bool], count: int) -> list[Any]:
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=10_000)
    found = []
    for record in consumer:
        if wanted(record):
            found.append(record)
        if len(found) == count:
            break
    consumer.close()
    return found


def now_finding(status: FindingStatus, study: str, **more: Any) -> FindingProduced:
    return a_finding(status, study=study, at=datetime.now(UTC), **more)


def test_a_bleed_reaches_the_phone_and_the_answer_reaches_the_world(
    kafka: str, receiver: Receiver, service: Service
) -> None:
    service.start()
    until(service.receiving)
    bleed = now_finding(FindingStatus.PROVISIONAL, "bleed-1")
    clean = now_finding(FindingStatus.FINAL, "clean-1", outcome=Outcome.NEGATIVE)

    produce(kafka, clean, bleed)

    mine = until(lambda: [m for m in receiver.received if m["study_key"] == bleed.study_key])
    assert mine[0]["signed"]
    assert mine[0]["purpose"] == "alarm"
    assert mine[0]["provisional"]
    answered = service.post(f"/api/v1/alerts/{mine[0]['alert_id']}/acknowledge", {"by": "Dr Test"})
    assert answered["answer"] == "acknowledged"
    events = consume(kafka, ALERTS.name, lambda r: r.key == bleed.study_key.encode(), 4)
    states = [AlertChanged.decode(event.value).state for event in events]
    assert states == ["raised", "sent", "delivered", "acknowledged"]
    assert not [m for m in receiver.received if m["study_key"] == clean.study_key]
    listed = {s["study_key"]: s["verdict"] for s in json.loads(service.get("/api/v1/studies"))}
    assert listed[clean.study_key] == "clear"
    assert listed[bleed.study_key] == "bleed"
    assert "Possible intracranial hemorrhage" in service.get("/")
    assert "Dr Test" in service.get(f"/studies/{bleed.study_key}")
    assert service.stop() == 0


def test_a_damaged_finding_is_set_aside_and_still_alarms(kafka: str, receiver: Receiver, service: Service) -> None:
    service.start()
    until(service.receiving)
    after = now_finding(FindingStatus.FINAL, "after-1")
    damaged = now_finding(FindingStatus.FINAL, "damaged-1").study_key

    produce(kafka, (damaged.encode(), b'{"not": "a finding"}'), after)

    mine = until(lambda: [m for m in receiver.received if m["study_key"] == damaged])
    assert mine[0]["topic"] == "not_analysed"
    until(lambda: [m for m in receiver.received if m["study_key"] == after.study_key])
    [dead] = consume(kafka, DEADLETTERS.name, lambda r: r.key == damaged.encode(), 1)
    assert dead.value == b'{"not": "a finding"}'
    assert json.loads(dict(dead.headers)["deadletter"])["reason"] == "malformed_message"


def test_killed_and_started_again_it_sends_what_it_owes(kafka: str, receiver: Receiver, service: Service) -> None:
    service.start()
    until(service.receiving)
    service.kill()
    bleed = now_finding(FindingStatus.FINAL, "after-kill-1")
    produce(kafka, bleed)

    service.start()

    until(lambda: [m for m in receiver.received if m["study_key"] == bleed.study_key], 30)


def test_killed_between_sent_and_recorded_there_is_one_duplicate_and_nothing_missing(
    kafka: str, receiver: Receiver, service: Service
) -> None:
    service.start()
    until(service.receiving)
    receiver.before_answering = service.kill
    bleeds = [now_finding(FindingStatus.FINAL, f"unrecorded-{n}") for n in range(3)]
    keys = {bleed.study_key for bleed in bleeds}
    produce(kafka, *bleeds)
    until(lambda: service.process.poll() is not None)
    receiver.before_answering = lambda: None

    restarted = time.monotonic()
    service.start()

    until(lambda: keys <= {m["study_key"] for m in receiver.received}, 30)
    until(lambda: json.loads(service.get("/api/v1/alerts"))[0]["notices"][0]["delivered_at"], 30)
    assert time.monotonic() - restarted < 30
    notices = [m["notice_id"] for m in receiver.received if m["study_key"] in keys]
    assert len(set(notices)) == 3
    assert len(notices) <= 4


def test_kafka_goes_away_and_comes_back(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "broker").mkdir()
    port, controller_port = free_ports(2)
    broker = EmbeddedBroker(find_distribution(), BrokerFiles(tmp_path / "broker"), port, controller_port)
    broker.prepare()
    service = Service(tmp_path, broker.bootstrap_servers, receiver, "test-away").start()

    def start_broker() -> subprocess.Popen[bytes]:
        console = broker.files.console.open("ab")
        process = subprocess.Popen(broker.command(), stdout=console, stderr=console, env=child_environment())
        wait_until_answering(broker.bootstrap_servers)
        return process

    process = start_broker()
    try:
        create_topics(broker.bootstrap_servers, TopicLayout())
        until(service.receiving)
        process.kill()
        process.wait(10)
        until(lambda: not service.receiving(), 15)
        assert "No new findings are being received since" in service.get("/")
        process = start_broker()
        bleed = now_finding(FindingStatus.FINAL, "back-1")
        produce(broker.bootstrap_servers, bleed)
        began = time.monotonic()
        until(lambda: [m for m in receiver.received if m["study_key"] == bleed.study_key], 30)
        print(f"received {time.monotonic() - began:.1f} s after the broker was back")  # noqa: T201
        until(service.receiving)
    finally:
        process.kill()
        service.stop()


def test_without_kafka_the_page_is_there_and_says_so(tmp_path: Path, receiver: Receiver) -> None:
    (nobody,) = free_ports(1)
    service = Service(tmp_path, f"127.0.0.1:{nobody}", receiver, "test-none").start()
    try:
        page = until(lambda: service.get("/"))
        assert "No new findings are being received since" in page
        assert json.loads(service.get("/readyz", service.metrics_port))["status"] == "ok"
    finally:
        assert service.stop() == 0
