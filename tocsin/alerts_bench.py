"""Measures how fast a finding rings: a real Kafka, the alert service as it is run, a webhook on this machine.

Load goes to loopback only, and ends by itself.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO

from kafka import KafkaProducer

from streams.contracts.findings import (
    Clocks,
    ClosedBy,
    Coverage,
    FindingProduced,
    FindingReason,
    FindingStatus,
    Model,
    Outcome,
)
from streams.contracts.topics import FINDINGS
from tocsin.errors import ServiceFailed
from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.topics import TopicLayout, create_topics
from tocsin.pipeline_bench import percentiles
from tocsin.ports import free_ports
from tocsin.samples import samples_at
from tocsin.webhook_receiver import WebhookReceiver

START_SECONDS = 60.0
SETTLE_SECONDS = 30.0
STOP_SECONDS = 20.0
SCORE, THRESHOLD = 0.97, 0.8


@dataclass(frozen=True)
class AlertLoad:
    """How many positive findings, each of a study of its own, at which pace."""

    findings: int = 50
    per_minute: float = 50.0
    instances: int = 1
    """Of the alert service; they share a database."""
    database_url: str | None = None
    """An empty PostgreSQL database; SQLite in a folder of its own when absent."""


def measure_alerts(load: AlertLoad, say: Callable[[str], None]) -> dict[str, object]:
    """Run the load and return the figures, ready for JSON."""
    receiver = WebhookReceiver(secret := secrets.token_hex(32))
    recipients = {"recipients": [{"name": "bench", "webhook": {"url": receiver.url, "secret": secret}}]}
    try:
        with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder, _kafka(Path(folder), say) as servers:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": servers,
                "TOCSIN_ALERTS_RECIPIENTS": json.dumps(recipients),
                "TOCSIN_ALERTS_DATABASE_URL": load.database_url or f"sqlite:///{folder}/alerts.sqlite",
            }
            with _services(load.instances, environment, Path(folder), say):
                say(f"{load.findings} findings at {load.per_minute:g} a minute")
                produced = _produce(load, servers)
                _settle(receiver, produced)
    finally:
        receiver.close()
    return _figures(load, produced, receiver)


@contextmanager
def _kafka(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    say("Starting Kafka")
    (folder / "kafka").mkdir()
    broker = EmbeddedBroker(find_distribution(), BrokerFiles(folder / "kafka"), *free_ports(2))
    broker.prepare()
    with broker.files.console.open("wb") as console, _process(broker.command(), child_environment(), console):
        wait_until_answering(broker.bootstrap_servers)
        create_topics(broker.bootstrap_servers, TopicLayout())
        yield broker.bootstrap_servers


@contextmanager
def _services(count: int, environment: dict[str, str], folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """So many alert services, ready and receiving."""
    say(f"Starting {count} alert service{'s' if count > 1 else ''}")
    ports = free_ports(2 * count)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    with ExitStack() as stack:
        for page, metrics in zip(ports[::2], ports[1::2], strict=True):
            own = {"TOCSIN_ALERTS_PORT": str(page), "TOCSIN_ALERTS_METRICS_PORT": str(metrics)}
            log = stack.enter_context((folder / f"alerts-{page}.log").open("wb"))
            command = [sys.executable, "-m", "alerts"]
            stack.enter_context(_process(command, {**inherited, **environment, **own}, log))
        for metrics in ports[1::2]:
            _wait(partial(_receives, metrics))
        yield


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - our own programs
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise ServiceFailed("An alert service did not begin to receive findings.")
        time.sleep(0.1)


def _receives(metrics_port: int) -> bool:
    return samples_at([metrics_port], timeout=2).total("tocsin_alerts_consumer_connected") == 1


def _produce(load: AlertLoad, servers: str) -> dict[str, datetime]:
    """Publish the findings at their pace; returns when each was produced, by study."""
    producer = KafkaProducer(bootstrap_servers=servers.split(","), acks="all", allow_auto_create_topics=False)
    produced: dict[str, datetime] = {}
    begin = time.monotonic()
    for number in range(load.findings):
        time.sleep(max(0.0, begin + number * 60 / load.per_minute - time.monotonic()))
        finding = _finding(datetime.now(UTC))
        produced[finding.study_key] = finding.clocks.produced
        producer.send(FINDINGS.name, key=finding.study_key.encode(), value=finding.encode()).get(timeout=10)
    producer.close()
    return produced


def _finding(now: datetime) -> FindingProduced:
    """A positive, of a series that has just been completed."""
    return FindingProduced(
        study_key=secrets.token_hex(16),
        series_key=secrets.token_hex(16),
        revision=1,
        status=FindingStatus.FINAL,
        outcome=Outcome.POSITIVE,
        reasons=(FindingReason.FINAL_THRESHOLD_CROSSED,),
        score=SCORE,
        threshold=THRESHOLD,
        probabilities={"any": SCORE},
        key_slices=(),
        coverage=Coverage(slices_accepted=32, slices_read=32),
        closed_by=ClosedBy.EXPECTED_COUNT,
        model=Model(name="bench", version="0", sha256="0" * 64, runtime="none"),
        clocks=Clocks(
            first_slice=now - timedelta(seconds=4),
            decisive_slice=now - timedelta(seconds=1),
            last_slice=now,
            produced=now,
        ),
        calling_ae="BENCH",
    )


def _settle(receiver: WebhookReceiver, produced: Mapping[str, datetime]) -> None:
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end and set(produced) - {str(m["study_key"]) for _, m in receiver.received}:
        time.sleep(0.1)
    time.sleep(1)  # a second copy would come now


def _figures(load: AlertLoad, produced: Mapping[str, datetime], receiver: WebhookReceiver) -> dict[str, object]:
    accepted: dict[str, datetime] = {}
    copies = Counter(str(message["notice_id"]) for _, message in receiver.received)
    for at, message in receiver.received:
        accepted.setdefault(str(message["study_key"]), at)
    waits = [(accepted[study] - at).total_seconds() for study, at in produced.items() if study in accepted]
    return {
        "load": {"findings": load.findings, "per_minute": load.per_minute, "instances": load.instances},
        "store": "postgresql" if load.database_url else "sqlite",
        "machine": {"cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1)},
        "missing": len(produced) - len(waits),
        "sent_twice": sum(count - 1 for count in copies.values()),
        "finding_produced_to_channel_accepted_seconds": percentiles(waits) | {"max": round(max(waits, default=0), 3)},
    }
