"""A running node for the end-to-end tests: ``tocsin up`` as a user starts it, with a doctor's webhook."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from streams.contracts.ids import SiteSecret
from streams.contracts.topics import MAX_MESSAGE_BYTES
from tocsin import scanner
from tocsin.data_directory import DataDirectory
from tocsin.node import RunningNode, answers_ok, running_node
from tocsin.ports import free_run
from tocsin.scanner import Destination, DicomFile, Outcome, Progress
from tocsin.webhook_receiver import WebhookReceiver

START_TIMEOUT_SECONDS = 180.0
PORTS = 16
"""One after the other: the last are those of a second worker's and a second listener's metrics."""

WEBHOOK_SECRET = "a secret for tests only"


def until(condition: Callable[[], Any], seconds: float, what: str | Callable[[], str]) -> Any:
    """Wait for something; it is awaited by looking, never by a fixed sleep.

    Args:
        what: in words; a function is asked when it did not happen.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what if isinstance(what, str) else what()} did not happen within {seconds:.0f} s")


@dataclass
class UpNode:
    """``tocsin up`` and what its doctor received."""

    directory: DataDirectory
    process: subprocess.Popen[bytes]
    doctor: WebhookReceiver

    @classmethod
    def start(
        cls,
        root: Path,
        extra_environment: Mapping[str, str] | None = None,
        first_port: int | None = None,
        arguments: Sequence[str] = (),
    ) -> "UpNode":
        doctor = WebhookReceiver(WEBHOOK_SECRET)
        recipients = {"recipients": [{"name": "doctor", "webhook": {"url": doctor.url, "secret": WEBHOOK_SECRET}}]}
        first = first_port or free_run(PORTS)
        dicom_port, web_port, kafka_port, _controller, metrics_port, *_ = range(first, first + 10)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}
        environment |= {"TOCSIN_ALERTS_RECIPIENTS": json.dumps(recipients), **(extra_environment or {})}
        with (root / "up.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tocsin", "up", "--data-dir", str(root)),
                    *("--dicom-port", str(dicom_port), "--web-port", str(web_port)),
                    *("--kafka-port", str(kafka_port), "--metrics-port", str(metrics_port)),
                    *arguments,
                ],
                stdout=log,
                stderr=log,
                env=environment,
            )
        node = cls(DataDirectory(root), process, doctor)
        try:
            until(node.is_up, START_TIMEOUT_SECONDS, "the node's start")
        except AssertionError:
            process.terminate()
            process.wait(60)
            raise
        return node

    def is_up(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"tocsin up ended: {(self.directory.root / 'up.log').read_text()[-2000:]}")
        return b"Tocsin is running" in (self.directory.root / "up.log").read_bytes()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=60)
        self.doctor.close()
        return status

    @property
    def running(self) -> RunningNode:
        return running_node(self.directory)

    @property
    def destination(self) -> Destination:
        at = self.running.addresses
        return Destination(at.ae_title, at.dicom_host, at.dicom_port)

    @property
    def secret(self) -> SiteSecret:
        return SiteSecret(self.directory.site_secret.read_bytes())

    def study_key(self, files: list[DicomFile]) -> str:
        return self.secret.study_key(files[0].study_instance_uid)

    # Acting

    def send(
        self,
        files: list[DicomFile],
        rate: float | None = None,
        port: int | None = None,
        told: Progress = lambda _file, _status: None,
    ) -> Outcome:
        """``port``: of a proxy in front of the listener."""
        to = replace(self.destination, port=port) if port else self.destination
        return scanner.send(files, to, "TEST_SCANNER", rate, told)

    def kill(self, service: str) -> None:
        """kill -9, then wait until the supervisor has a new process for it that is ready."""
        pid = self.running.pids[service]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def ready_again(self, service: str, old_pid: int | None, seconds: float = 60) -> None:
        ports = self.running.addresses.metrics_ports()

        def back() -> bool:
            new = self.running.pids.get(service)
            return new not in (None, old_pid) and (
                service not in ports or answers_ok(f"http://127.0.0.1:{ports[service]}/readyz")
            )

        until(back, seconds, f"the return of {service}")

    # Seeing

    def alerts_of(self, study_key: str) -> list[dict[str, Any]]:
        """What the doctor was told of a bleed in this study."""
        return [m for m in self.told_of(study_key) if m["purpose"] == "alarm" and m["topic"] == "bleed"]

    def told_of(self, study_key: str) -> list[dict[str, Any]]:
        """Everything the doctor was told about this study."""
        return [m for _, m in self.doctor.received if m["study_key"] == study_key]

    def alert_of(self, study_key: str, seconds: float) -> dict[str, Any]:
        found = until(lambda: self.alerts_of(study_key), seconds, "the alert")
        return dict(found[0])

    def final_finding(self, study_key: str, seconds: float = 60) -> dict[str, Any]:
        """The newest finding of a study's complete series."""

        def final() -> dict[str, Any] | None:
            for study in self.api("studies"):
                if study["study_key"] == study_key:
                    return next((f for f in study["findings"] if f["closed_by"]), None)
            return None

        return dict(until(final, seconds, "the final result"))

    def api(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.running.addresses.page_url}api/v1/{path}", timeout=5) as answer:
            return json.load(answer)

    def page(self, path: str = "") -> str:
        with urllib.request.urlopen(f"{self.running.addresses.page_url}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def messages(self, topic: str) -> list[Any]:
        """Everything that is on a topic now."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.running.addresses.bootstrap_servers,
            enable_auto_commit=False,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        )
        places = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(places)
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        found = []
        while any(consumer.position(place) < ends[place] for place in places):
            for records in consumer.poll(1000).values():
                found.extend(records)
        consumer.close()
        return found
