"""Several processes on one port, and spools that changed hands."""

import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dicom_listener.spool.folders import left_behind, own_folder
from dicom_listener.spool.journal import Spool
from tests.integration.dicom_listener.live_listener import (
    Published,
    Service,
    associate,
    connect,
    echo_seconds,
    fails_to_start,
    send,
    service_environment,
    start_service,
)
from tests.support.node import until
from tests.unit.dicom_listener.ct_objects import a_ct
from tests.unit.dicom_listener.spool_fakes import a_message


def scan(service: Service, calling: str) -> None:
    association = associate(service.port, calling=calling)
    series = f"1.2.{calling[2:]}"
    for number in range(1, 4):
        ds = a_ct(number, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")
        assert send(association, ds).Status == 0x0000
    association.release()


def spooled_by_process(folder: Path) -> list[Published]:
    found = []
    for path in sorted((folder / "spool").glob("process-*")):
        spool = Spool(path, 1 << 30)
        found.append(Published([entry.read() for entry in spool.take()]))
        spool.close()
    return found


def stop(service: Service) -> None:
    service.process.terminate()
    assert service.process.wait(20) == 0, service.journal


def wait_for_workers(service: Service, started: int = 2) -> list[psutil.Process]:
    """Until so many processes have said that they listen; those that are there."""
    until(lambda: service.journal.count('"listening"') >= started, 40, "the start of the processes")
    return psutil.Process(service.process.pid).children()


def test_connections_are_spread_and_nothing_is_lost(tmp_path: Path) -> None:
    service = start_service(tmp_path, TOCSIN_LISTENER_PROCESSES="2", TOCSIN_LISTENER_METRICS_PORT="0")
    try:
        wait_for_workers(service)
        threads = [threading.Thread(target=scan, args=(service, f"CT{n}")) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        stop(service)
    finally:
        service.kill()
    by_process = spooled_by_process(tmp_path)
    assert len(by_process) == 2
    assert all(published.slices for published in by_process), "both had work"
    assert sum(len(published.slices) for published in by_process) == 48


def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    service = start_service(tmp_path, TOCSIN_LISTENER_PROCESSES="2", TOCSIN_LISTENER_METRICS_PORT="0")
    try:
        first, second = wait_for_workers(service)
        first.kill()
        assert echo_seconds(service.port) < 1, "the other takes what comes meanwhile"
        pids = {worker.pid for worker in wait_for_workers(service, started=3)}
        assert second.pid in pids
        assert first.pid not in pids
        assert echo_seconds(service.port) < 1
        stop(service)
    finally:
        service.kill()


def test_while_it_drains_a_newcomer_is_refused_at_once(tmp_path: Path) -> None:
    service = start_service(
        tmp_path,
        TOCSIN_LISTENER_PROCESSES="2",
        TOCSIN_LISTENER_METRICS_PORT="0",
        TOCSIN_LISTENER_STOP_SECONDS="30",
    )
    try:
        wait_for_workers(service)
        running = associate(service.port)
        service.process.terminate()
        until(lambda: not accepts(service.port), 20, "the refusal")
        assert service.process.poll() is None, "the running association may still send"
        assert send(running, a_ct(1)).Status == 0x0000
        running.release()
        assert service.process.wait(30) == 0, service.journal
    finally:
        service.kill()
    assert sum(len(published.slices) for published in spooled_by_process(tmp_path)) == 1


def accepts(port: int) -> bool:
    """Whether a port still listens: who was in its queue when it closed is reset, whoever comes after is refused."""
    try:
        with suppress(ConnectionResetError):
            connect(port).close()
    except ConnectionRefusedError:
        return False
    return True


def test_no_process_outlives_its_watcher(tmp_path: Path) -> None:
    service = start_service(tmp_path, TOCSIN_LISTENER_PROCESSES="2", TOCSIN_LISTENER_METRICS_PORT="0")
    workers = wait_for_workers(service)
    service.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []


def test_what_other_numbers_of_processes_left_is_published(tmp_path: Path) -> None:
    for worker in (None, 1, 3):
        spool = Spool(own_folder(tmp_path, worker), 1 << 20)
        spool.append([a_message()])
        os.close(spool._claim)
    empty = Spool(own_folder(tmp_path, 5), 1 << 20)
    empty.close()
    assert left_behind(tmp_path, 1) == [tmp_path / "process-1", tmp_path / "process-3"]
    assert left_behind(tmp_path, 2) == [tmp_path, tmp_path / "process-3"]


def test_from_two_processes_to_one(tmp_path: Path) -> None:
    service = start_service(tmp_path, TOCSIN_LISTENER_PROCESSES="2", TOCSIN_LISTENER_METRICS_PORT="0")
    try:
        wait_for_workers(service)
        scan(service, "CT1")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(20)
    finally:
        service.kill()
    single = start_service(tmp_path)
    try:
        assert single.metric("spool_messages") >= 3 + 3
    finally:
        single.kill()


def test_a_shared_port_that_somebody_else_has(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        environment = service_environment(tmp_path, TOCSIN_LISTENER_PORT=port, TOCSIN_LISTENER_PROCESSES="2")
        assert port in fails_to_start(environment)


@pytest.mark.parametrize("changes", [{"TOCSIN_LISTENER_HOST": "192.0.2.1"}, {"TOCSIN_SITE_SECRET_FILE": "/nowhere"}])
def test_what_no_process_can_start_with(tmp_path: Path, changes: dict[str, str]) -> None:
    line = fails_to_start(service_environment(tmp_path, TOCSIN_LISTENER_PROCESSES="2", **changes))
    assert "dicom_listener:" in line
