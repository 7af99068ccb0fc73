"""Other people's DICOM: DCMTK and Orthanc deliver a study. Skipped where they are not installed."""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tocsin.ports import free_ports

FAST_DCMTK = {**os.environ, "TCP_NODELAY": "1", "TCP_BUFFER_LENGTH": "131072"}


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@pytest.mark.parametrize("program", ["storescu", "dcmsend"])
def test_dcmtk(node: UpNode, patients: Patients, program: str) -> None:
    path = need(program)
    files = patients.admit(bleeding=True)
    to = node.destination
    command = [path, "-aec", to.ae_title, to.host, str(to.port), *(str(file.path) for file in files)]
    done = subprocess.run(command, capture_output=True, text=True, env=FAST_DCMTK, timeout=60)
    assert done.returncode == 0, done.stderr
    node.alert_of(node.study_key(files), seconds=60)


def test_echoscu(node: UpNode) -> None:
    path, to = need("echoscu"), node.destination
    assert subprocess.run([path, "-aec", to.ae_title, to.host, str(to.port)], timeout=20).returncode == 0
    assert subprocess.run([path, "-aec", "SOMEBODY", to.host, str(to.port)], timeout=20).returncode != 0


def test_orthanc(node: UpNode, patients: Patients, tmp_path: Path) -> None:
    program = need("Orthanc")
    http_port, dicom_port = free_ports(2)
    to = node.destination
    configuration = {
        "StorageDirectory": str(tmp_path / "storage"),
        "IndexDirectory": str(tmp_path / "storage"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"tocsin": [to.ae_title, to.host, to.port]},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    with (tmp_path / "orthanc.log").open("wb") as log:
        orthanc = subprocess.Popen([program, str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    try:
        until(lambda: _rest(http_port, "system", None), 30, "Orthanc's start")
        files = patients.admit(bleeding=True)
        for file in files:
            _rest(http_port, "instances", file.path.read_bytes())
        (study,) = json.loads(_rest(http_port, "studies", None) or b"[]")
        answer = json.loads(_rest(http_port, "modalities/tocsin/store", study.encode()) or b"{}")
        assert answer["FailedInstancesCount"] == 0
        assert answer["InstancesCount"] == len(files)
        node.alert_of(node.study_key(files), seconds=60)
    finally:
        orthanc.terminate()
        orthanc.wait(timeout=30)


def _rest(port: int, path: str, body: bytes | None) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", body, timeout=30) as answer:
            return bytes(answer.read())
    except OSError:
        return None
