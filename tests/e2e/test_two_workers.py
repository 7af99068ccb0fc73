"""Two stream workers: the one takes over what the other leaves, and neither overwrites what the other has written."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.matrix import PROMISE_SECONDS, deliver
from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tocsin.scanner import DicomFile

STUDIES = 6
"""At the same time, on 4 partitions: each worker nearly always has one."""

WORKERS = ("streams", "streams-2")


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpNode]:
    node = UpNode.start(tmp_path_factory.mktemp("two"), arguments=("--workers", str(len(WORKERS))))
    yield node
    assert node.stop() == 0


def scan(node: UpNode, studies: list[list[DicomFile]]) -> threading.Thread:
    def send() -> None:
        with ThreadPoolExecutor(len(studies)) as scanners:
            list(scanners.map(lambda files: deliver(node, files), studies))

    scanning = threading.Thread(target=send)
    scanning.start()
    return scanning


def expect_all_read(node: UpNode, studies: list[list[DicomFile]], within: float) -> None:
    """Each study's alert comes in time, and its final result rests on all its slices."""
    finished = time.monotonic()
    for files in studies:
        node.alert_of(node.study_key(files), seconds=60)
    assert time.monotonic() - finished < within
    for files in studies:
        final = node.final_finding(node.study_key(files))
        assert (final["outcome"], final["coverage"]["slices_read"]) == ("positive", len(files))


def test_the_other_worker_takes_over(two_workers: UpNode, patients: Patients) -> None:
    studies, worker = [patients.admit(bleeding=True) for _ in range(STUDIES)], WORKERS[0]
    old_pid = two_workers.running.pids[worker]
    scanning = scan(two_workers, studies)
    time.sleep(1.5)  # in the middle of the studies
    two_workers.kill(worker)
    scanning.join()
    expect_all_read(two_workers, studies, PROMISE_SECONDS)
    two_workers.ready_again(worker, old_pid)


def test_a_worker_that_was_given_up_does_not_write_over_its_successor(two_workers: UpNode, patients: Patients) -> None:
    """It stands still for longer than its session, in the middle of the studies, and wakes when they are read."""
    studies, worker = [patients.admit(bleeding=True) for _ in range(STUDIES)], WORKERS[1]
    pid = two_workers.running.pids[worker]
    assert pid is not None
    scanning = scan(two_workers, studies)
    time.sleep(1.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        scanning.join()
        expect_all_read(two_workers, studies, PROMISE_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    two_workers.ready_again(worker, pid)
    until(lambda: all(two_workers.running.pids[each] for each in WORKERS), 30, "both workers' return")
    for files in studies:
        told = two_workers.told_of(two_workers.study_key(files))
        assert not [notice for notice in told if notice["topic"] != "bleed" or notice["purpose"] == "retracted"]
        assert two_workers.final_finding(two_workers.study_key(files))["coverage"]["slices_read"] == len(files)
