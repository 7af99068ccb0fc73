"""``python -m dicom_listener``: starts or says why not, stops in good order, and survives kill -9."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.contracts.series import LedgerKind
from tests.integration.dicom_listener.live_listener import (
    Service,
    associate,
    echo_seconds,
    fails_to_start,
    send,
    service_environment,
    start_service,
)
from tests.unit.dicom_listener.ct_objects import a_ct


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = start_service(tmp_path)
    yield service
    service.kill()


def test_it_works_while_kafka_is_down_from_the_start(service: Service) -> None:
    association = associate(service.port)
    assert send(association, a_ct()).Status == 0x0000
    association.release()
    assert service.page("/readyz").startswith('{"status": "ok"')
    assert service.page("/healthz").startswith('{"status": "ok"')
    assert service.metric("kafka_connected") == 0
    assert service.metric("spool_messages") >= 4


def test_kill_9_after_success_loses_nothing(service: Service) -> None:
    association = associate(service.port)
    for number in range(1, 8):
        assert send(association, a_ct(number)).Status == 0x0000
    service.kill()
    association.abort()
    assert [event.InstanceNumber for event in service.spooled().slices] == list(range(1, 8))
    again = start_service(service.folder)
    assert again.metric("spool_messages") == 4 + 7 - 1 + 1  # and that the association is gone
    again.kill()


def test_after_kill_9_the_next_process_says_that_the_associations_are_gone(service: Service) -> None:
    association = associate(service.port)
    for number in range(1, 4):
        send(association, a_ct(number))
    finished = associate(service.port)
    send(finished, a_ct(9))
    finished.release()
    while service.metric("associations_open") > 1:
        time.sleep(0.02)
    service.kill()
    association.abort()
    again = start_service(service.folder)
    again.kill()
    ends = {entry.association: entry.kind for entry in again.spooled().ledger}
    assert sorted(ends.values()) == [LedgerKind.ABORTED, LedgerKind.RELEASED]
    thrice = start_service(service.folder)
    thrice.kill()
    assert [entry.kind for entry in thrice.spooled().ledger].count(LedgerKind.ABORTED) == 1


def test_kill_9_in_the_middle_of_traffic_loses_nothing_that_was_acknowledged(service: Service) -> None:
    acknowledged: list[int] = []

    def scan(calling: str, first: int) -> None:
        association = associate(service.port, calling=calling)
        for number in range(first, first + 5000):
            try:
                if send(association, a_ct(number)).Status != 0x0000:
                    return
            except (AttributeError, RuntimeError, ValueError):  # the connection is gone
                return
            acknowledged.append(number)

    threads = [threading.Thread(target=scan, args=(f"CT{n}", 1 + n * 10_000)) for n in range(2)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 30:
        time.sleep(0.01)
    service.kill()
    for thread in threads:
        thread.join(30)
    kept = {event.InstanceNumber for event in service.spooled().slices}
    assert set(acknowledged) <= kept


def test_sigterm_ends_it_in_good_order(service: Service) -> None:
    association = associate(service.port)
    assert send(association, a_ct()).Status == 0x0000
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(20) == 0, service.journal
    left = service.spooled()
    assert len(left.slices) == 1
    assert left.ledger[-1].kind is LedgerKind.ABORTED
    assert "Doe" not in service.journal


def test_an_echo_when_all_is_well(service: Service) -> None:
    assert echo_seconds(service.port) < 1


def test_no_secret(tmp_path: Path) -> None:
    environment = service_environment(tmp_path, TOCSIN_SITE_SECRET_FILE=str(tmp_path / "nowhere"))
    assert "TOCSIN_SITE_SECRET_FILE" in fails_to_start(environment)


def test_a_short_secret(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 31)
    environment = service_environment(tmp_path, TOCSIN_SITE_SECRET_FILE=str(tmp_path / "short"))
    assert "31 bytes" in fails_to_start(environment)


def test_a_missing_setting(tmp_path: Path) -> None:
    environment = service_environment(tmp_path)
    del environment["TOCSIN_LISTENER_SPOOL_DIR"]
    assert "spool_dir" in fails_to_start(environment)


def test_a_setting_that_makes_no_sense(tmp_path: Path) -> None:
    assert "ae_title" in fails_to_start(service_environment(tmp_path, TOCSIN_LISTENER_AE_TITLE="x" * 17))


@pytest.mark.parametrize("name", ["TOCSIN_LISTENER_PORT", "TOCSIN_LISTENER_METRICS_PORT"])
def test_a_port_that_is_taken(tmp_path: Path, name: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        assert port in fails_to_start(service_environment(tmp_path, **{name: port}))


def test_a_spool_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = service_environment(tmp_path, TOCSIN_LISTENER_SPOOL_DIR=str(tmp_path / "file" / "spool"))
    assert "spool" in fails_to_start(environment)
