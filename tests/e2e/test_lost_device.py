"""A device is lost while a patient is being scanned, and comes back: real services, real Kafka."""

import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import UpNode, until
from tests.support.patients import Patients

LOSING_DEVICE = Path(__file__).parents[1] / "faults" / "losing_device"


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("device")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, faults: Path) -> Iterator[UpNode]:
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(LOSING_DEVICE), os.environ.get("PYTHONPATH")))),
        "FAULT_DIR": str(faults),
        "TOCSIN_STREAMS_RUNTIMES": "onnx-cuda,onnx-cpu",
    }
    node = UpNode.start(tmp_path_factory.mktemp("node"), environment)
    yield node
    node.stop()


def degraded(node: UpNode) -> bool:
    port = node.running.addresses.metrics_ports()["streams"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return b"tocsin_streams_model_degraded 1.0" in answer.read()


def test_no_slice_is_lost_with_the_device_and_the_alert_says_so(node: UpNode, patients: Patients, faults: Path) -> None:
    files = patients.admit(bleeding=True)
    scan = threading.Thread(target=node.send, args=(files, 10.0))
    scan.start()
    threading.Event().wait(len(files) / 10.0 / 2)  # in the middle of the scan, by the scanner's pace
    (faults / "lost").touch()
    scan.join()
    alert = node.alert_of(node.study_key(files), seconds=60)
    final = node.final_finding(node.study_key(files))
    assert alert["topic"] == "bleed"
    assert final["outcome"] == "positive"
    assert final["coverage"]["slices_read"] == len(files)
    assert final["model"]["degraded"]
    assert final["model"]["runtime"] == "onnx-cpu, onnx-cuda"
    assert "degraded" in final["reasons"]
    assert degraded(node)


def test_the_device_reads_again_when_it_is_back(node: UpNode, patients: Patients, faults: Path) -> None:
    (faults / "lost").unlink()
    until(lambda: not degraded(node), 60, "the device's return")
    files = patients.admit(bleeding=False)
    node.send(files)
    final = node.final_finding(node.study_key(files))
    assert final["model"]["runtime"] == "onnx-cuda"
    assert not final["model"].get("degraded")
