"""A case is played into another cluster, never into its own."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaProducer

from streams.contracts.series import LedgerKind, SeriesLedgerEntry
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.contracts.topics import SERIES, SLICES
from tests.support.slices import a_slice, key, ledger
from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.reading import records
from tocsin.kafka.topics import TopicLayout, create_topics
from tocsin.ports import free_ports

STUDY, SERIES_KEY = key("replayed study"), key("replayed series")
CAME = datetime(2026, 5, 6, 7, 8, tzinfo=UTC)
"""Long before Kafka takes it, as after an outage."""

SLICES_COUNT, APART = 10, timedelta(seconds=0.5)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, controller = free_ports(2)
    broker = EmbeddedBroker(
        find_distribution(), BrokerFiles(Path(tmp_path_factory.mktemp("scratch"))), port, controller
    )
    broker.prepare()
    with broker.files.console.open("wb") as console:
        process = subprocess.Popen(broker.command(), stdout=console, stderr=console, env=child_environment())
    try:
        wait_until_answering(broker.bootstrap_servers)
        create_topics(broker.bootstrap_servers, TopicLayout(partitions=2))
        yield broker.bootstrap_servers
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def source(kafka: str) -> str:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")

    def entry(kind: LedgerKind, at: datetime, frames: int = 0) -> None:
        value = ledger(kind, frames, study_key=STUDY, series_key=SERIES_KEY, at=at).encode()
        producer.send(SERIES.name, value, key=SERIES_KEY.encode())

    entry(LedgerKind.OPENED, CAME)
    for number in range(SLICES_COUNT):
        at = CAME + number * APART
        header = a_slice(number, study_key=STUDY, series_key=SERIES_KEY, accepted_at=at)
        producer.send(
            SLICES.name,
            f"pixels {number}".encode(),
            key=SERIES_KEY.encode(),
            headers=[(SLICE_HEADER, header.encode())],
        )
    entry(LedgerKind.RELEASED, CAME + SLICES_COUNT * APART, SLICES_COUNT)
    producer.flush()
    producer.close()
    return kafka


def replay(source: str, into: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin", "replay", STUDY, "--kafka", source, "--into", into, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_case_is_played_whole_in_order_at_the_speed_asked_for_and_now(source: str, scratch: str) -> None:
    before = datetime.now(UTC)
    done = replay(source, scratch, "--speed", "10")
    assert done.returncode == 0, done.stderr
    assert "10 slices played" in done.stdout
    arrived = [(SliceAccepted.decode(dict(r.headers)[SLICE_HEADER]), r.value) for r in records(scratch, SLICES.name)]
    assert [pixels.decode() for _, pixels in arrived] == [f"pixels {n}" for n in range(SLICES_COUNT)]
    instants = [header.accepted_at for header, _ in arrived]
    assert instants[0] > before
    assert instants[-1] - instants[0] == (SLICES_COUNT - 1) * APART / 10
    entries = [SeriesLedgerEntry.decode(r.value) for r in records(scratch, SERIES.name)]
    assert [(entry.kind, entry.frames_accepted) for entry in entries] == [
        (LedgerKind.OPENED, 0),
        (LedgerKind.RELEASED, SLICES_COUNT),
    ]


def test_a_case_is_not_played_into_its_own_cluster_whatever_that_is_called(source: str) -> None:
    count = sum(1 for _ in records(source, SLICES.name))
    for same in (source, source.replace("127.0.0.1", "localhost")):
        done = replay(source, same)
        assert (done.returncode, "alerted again" in done.stderr) == (1, True)
    assert sum(1 for _ in records(source, SLICES.name)) == count
