"""The listener and a real broker: everything acknowledged to a scanner arrives, through outages too."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaConsumer

from dicom_listener.messages import OutgoingMessage
from streams.contracts.identities import IdentityCipher, StudyIdentity
from streams.contracts.topics import ALL, MAX_MESSAGE_BYTES
from tests.integration.dicom_listener.live_listener import Published, Service, associate, send, start_service
from tests.unit.dicom_listener.ct_objects import a_ct, an_enhanced_ct, pixels
from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.topics import TopicLayout, create_topics
from tocsin.ports import free_ports

ARRIVAL_SECONDS = 30.0


class Reader:
    """Reads all topics from their start."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._consumer = KafkaConsumer(
            *[topic.name for topic in ALL],
            bootstrap_servers=bootstrap_servers,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
        )
        self.messages: list[OutgoingMessage] = []

    def read(self) -> Published:
        for batch in self._consumer.poll(timeout_ms=300).values():
            self.messages += [
                OutgoingMessage(r.topic, r.key.decode(), r.value, tuple((n, v.decode()) for n, v in r.headers))
                for r in batch
            ]
        return Published(self.messages)

    def read_until_slices(self, association_of: str, count: int) -> Published:
        """Of one scanner, told by its title in the ledger."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while True:
            mine = self.of(association_of)
            if len({s.identity for s in mine.slices}) >= count:
                return mine
            assert time.monotonic() < deadline, f"{len(mine.slices)} of {count} arrived"
            self.read()

    def of(self, calling_ae: str) -> Published:
        everything = Published(self.messages)
        series = {entry.series_key for entry in everything.ledger if entry.calling_ae == calling_ae}
        return Published([m for m in self.messages if m.key in series])

    def close(self) -> None:
        self._consumer.close()


@contextmanager
def a_reader(bootstrap_servers: str) -> Iterator[Reader]:
    reader = Reader(bootstrap_servers)
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def a_service(folder: Path, bootstrap_servers: str) -> Iterator[Service]:
    service = start_service(folder, KAFKA_BOOTSTRAP_SERVERS=bootstrap_servers)
    try:
        yield service
    finally:
        service.kill()


def scan(service: Service, calling: str, numbers: range) -> None:
    association = associate(service.port, calling=calling)
    for number in numbers:
        series = f"1.2.{int(calling[2:])}"
        ds = a_ct(number, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")
        assert send(association, ds).Status == 0x0000
    association.release()


def test_a_series_arrives_in_order_and_without_identity(tmp_path: Path, kafka: str) -> None:
    with a_service(tmp_path, kafka) as service, a_reader(kafka) as reader:
        scan(service, "CT101", range(1, 21))
        found = reader.read_until_slices("CT101", 20)
        assert [event.InstanceNumber for event in found.slices] == list(range(1, 21))
        assert [bytes(m.value) for m in found.messages if m.topic == "ct.slices.v1"] == [
            pixels(seed=n) for n in range(1, 21)
        ]
        deadline = time.monotonic() + ARRIVAL_SECONDS
        while service.metric("spool_messages"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        reader.read()
        working = [m for m in reader.messages if m.topic != "phi.identities.v1"]
        assert not any(b"Doe" in bytes(m.value) or "1.2.101" in str(m.headers) for m in working)
        cipher = IdentityCipher((tmp_path / "identity").read_bytes())
        study_keys = {event.study_key for event in found.slices}
        sealed = [m for m in reader.messages if m.topic == "phi.identities.v1" and m.key in study_keys]
        identity = cipher.open(bytes(sealed[-1].value), sealed[-1].key)
        assert isinstance(identity, StudyIdentity)
        assert identity.PatientName == "Doe^Jane"


def test_frames_of_an_enhanced_object_arrive(tmp_path: Path, kafka: str) -> None:
    with a_service(tmp_path, kafka) as service, a_reader(kafka) as reader:
        association = associate(service.port, calling="CT102")
        assert send(association, an_enhanced_ct(frames=12)).Status == 0x0000
        association.release()
        assert [s.frame_number for s in reader.read_until_slices("CT102", 12).slices] == list(range(1, 13))


def test_sigterm_drains_to_kafka(tmp_path: Path, kafka: str) -> None:
    with a_service(tmp_path, kafka) as service, a_reader(kafka) as reader:
        scan(service, "CT103", range(1, 11))
        service.process.terminate()
        assert service.process.wait(20) == 0, service.journal
        assert len(reader.read_until_slices("CT103", 10).slices) == 10
        assert service.spooled().messages == []


class OwnBroker:
    """A broker that may be killed."""

    def __init__(self, root: Path) -> None:
        port, controller_port = free_ports(2)
        self._broker = EmbeddedBroker(find_distribution(), BrokerFiles(root), port, controller_port)
        self._broker.prepare()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    def start(self) -> None:
        with self._broker.files.console.open("ab") as console:
            self._process = subprocess.Popen(
                self._broker.command(), stdout=console, stderr=console, env=child_environment()
            )
        wait_until_answering(self.bootstrap_servers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.mark.slow
def test_outages_lose_nothing(tmp_path: Path) -> None:
    """Kafka is away when the listener starts, comes, is killed in the middle of a series, and comes back."""
    (tmp_path / "kafka").mkdir()
    broker = OwnBroker(tmp_path / "kafka")
    try:
        with a_service(tmp_path, broker.bootstrap_servers) as service:
            scan(service, "CT201", range(1, 6))
            broker.start()
            create_topics(broker.bootstrap_servers, TopicLayout())
            scan(service, "CT202", range(1, 11))
            broker.kill()
            scan(service, "CT203", range(1, 11))
            broker.start()
            scan(service, "CT204", range(1, 6))
            with a_reader(broker.bootstrap_servers) as reader:
                for calling, count in (("CT201", 5), ("CT202", 10), ("CT203", 10), ("CT204", 5)):
                    found = reader.read_until_slices(calling, count)
                    numbers = [event.InstanceNumber for event in found.slices]
                    assert list(dict.fromkeys(numbers)) == list(range(1, count + 1)), "first deliveries are in order"
                    assert found.ledger[0].kind == "opened"
            deadline = time.monotonic() + ARRIVAL_SECONDS
            while service.metric("spool_messages"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert service.metric("kafka_connected") == 1
    finally:
        broker.kill()
