"""``tocsin case`` from the topics of a real broker."""

import json
import subprocess
import sys

from kafka import KafkaProducer

from streams.contracts.alerts import AlertState
from streams.contracts.series import LedgerKind
from streams.contracts.slices import SLICE_HEADER
from streams.contracts.topics import ALERTS, FINDINGS, SERIES, SLICES
from tests.support.slices import STUDY, a_slice, ledger
from tests.support.slices import key as key_of
from tests.unit.tocsin.test_case import a_bleed, told


def case(servers: str, key: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin", "case", key, "--kafka", servers, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_case_is_found_by_the_beginning_of_its_key_among_others(kafka: str) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    series = key_of("series").encode()

    def say(topic: str, key: bytes, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        producer.send(topic, value, key=key, headers=list(headers)).get(timeout=10)

    for kind, frames in ((LedgerKind.OPENED, 0), (LedgerKind.RELEASED, 10)):
        say(SERIES.name, series, ledger(kind, frames).encode())
    other = key_of("another series")
    for header in [a_slice(n) for n in range(1, 11)] + [a_slice(1, series_key=other, study_key="b" * 32)]:
        say(SLICES.name, header.series_key.encode(), b"pixels", ((SLICE_HEADER, header.encode()),))
    say(FINDINGS.name, STUDY.encode(), a_bleed().encode())
    say(FINDINGS.name, b"c" * 32, a_bleed(study_key="c" * 32, series_key=other).encode())
    for state, seconds in ((AlertState.RAISED, 1.6), (AlertState.SENT, 1.7), (AlertState.DELIVERED, 1.8)):
        say(ALERTS.name, STUDY.encode(), told(state, seconds).encode())
    producer.close()

    done = case(kafka, STUDY[:8].upper())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["study_key"] == STUDY
    assert found["decisive_slice_to_alert_delivered_seconds"] == 0.8
    assert [event["clock"] for event in found["events"] if event["clock"]] == [
        "first_slice",
        "last_slice",
        "decisive_slice",
        "alert_delivered",
    ]
    assert any("10 slices" in event["what"] for event in found["events"])
    assert [event["sole"] for event in found["events"] if event["sole"]] == ["SOLE114", "SOLE113"]

    unknown = case(kafka, "0123456789")
    assert (unknown.returncode, "Nothing on the topics" in unknown.stderr) == (1, True)
