"""kill -9 of any one service during a study: it comes back, and the alert still arrives."""

import threading
import time

import pytest

from tests.faults.matrix import PROMISE_SECONDS, deliver
from tests.support.node import UpNode
from tests.support.patients import Patients


@pytest.mark.parametrize("service", ["listener", "streams", "alerts", "kafka"])
def test_the_alert_arrives_although_a_service_was_killed(node: UpNode, patients: Patients, service: str) -> None:
    files = patients.admit(bleeding=True)
    old_pid = node.running.pids[service]
    scanning = threading.Thread(target=deliver, args=(node, files))
    scanning.start()
    time.sleep(1.0)  # in the middle of the study
    node.kill(service)
    scanning.join()
    finished = time.monotonic()
    node.alert_of(node.study_key(files), seconds=60)
    assert time.monotonic() - finished < PROMISE_SECONDS
    node.ready_again(service, old_pid)
    final = node.final_finding(node.study_key(files))
    assert final["outcome"] == "positive"
    assert final["coverage"]["slices_read"] == len(files)
