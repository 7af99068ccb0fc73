"""The scanner simulator: addresses, files, refusals, and a receiver that signs for what it took."""

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.dsutils import split_dataset

from tocsin import scanner
from tocsin.errors import BadRequest, ScannerFailed
from tocsin.ports import LOOPBACK, free_ports
from tocsin.scanner import Destination
from tocsin.webhook_receiver import WebhookReceiver
from triage_models.synthetic import generate
from triage_models.synthetic.dicom import write_series


@pytest.mark.parametrize("text", ["", "TOCSIN", "TOCSIN@host", "@host:104", "TOCSIN@host:0", "TOCSIN@host:x"])
def test_a_bad_address_is_said(text: str) -> None:
    with pytest.raises(BadRequest, match="TOCSIN@127"):
        Destination.parse(text)


def test_addresses() -> None:
    assert Destination.parse("CT@10.0.0.1:104") == Destination("CT", "10.0.0.1", 104)
    assert Destination.parse("CT@[::1]:104") == Destination("CT", "::1", 104)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[scanner.DicomFile]:
    folder = tmp_path_factory.mktemp("study")
    write_series(generate(3, None, slices=6, thickness_mm=20.0, shape=(64, 64)), folder)
    (folder / "readme.txt").write_text("not DICOM")
    found, others = scanner.find_files([folder])
    assert [other.name for other in others] == ["readme.txt"]
    return found


@pytest.fixture
def peer() -> Iterator[tuple[int, list[int]]]:
    """A receiver that refuses every third object."""
    taken: list[int] = []

    def store(event: evt.Event) -> int:
        taken.append(event.request.MessageID)
        return 0xA700 if len(taken) % 3 == 0 else 0x0000

    entity = AE(ae_title="PEER")
    entity.add_supported_context(CTImageStorage)
    entity.require_called_aet = True
    (port,) = free_ports(1)
    server = entity.start_server((LOOPBACK, port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    yield port, taken
    server.shutdown()


def test_refusals_are_counted_and_the_rest_is_sent(files: list[scanner.DicomFile], peer: tuple[int, list[int]]) -> None:
    port, taken = peer
    outcome = scanner.send(files, Destination("PEER", LOOPBACK, port), "CT1", rate=200)
    assert (outcome.sent, outcome.accepted) == (6, 4)
    assert [status for _, status in outcome.refused] == [0xA700, 0xA700]
    assert len(taken) == 6


def test_a_wrong_title_and_an_empty_port_are_said(files: list[scanner.DicomFile], peer: tuple[int, list[int]]) -> None:
    with pytest.raises(ScannerFailed, match="rejected the association"):
        scanner.send(files, Destination("OTHER", LOOPBACK, peer[0]), "CT1")
    (nobody,) = free_ports(1)
    with pytest.raises(ScannerFailed, match="nobody answers"):
        scanner.send(files, Destination("PEER", LOOPBACK, nobody), "CT1")


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="does not exist"):
        scanner.find_files([tmp_path / "nowhere"])


def test_a_file_cut_off_behind_its_meta_information_is_no_object_and_stops_nothing(
    files: list[scanner.DicomFile], tmp_path: Path
) -> None:
    whole = files[0].path.read_bytes()
    _, behind_meta = split_dataset(files[0].path)
    (tmp_path / "cut.dcm").write_bytes(whole[:behind_meta])
    (tmp_path / "whole.dcm").write_bytes(whole)
    found, others = scanner.find_files([tmp_path])
    assert [file.path.name for file in found] == ["whole.dcm"]
    assert [path.name for path in others] == ["cut.dcm"]


def test_the_receiver_takes_only_what_is_signed() -> None:
    receiver = WebhookReceiver("secret")
    body = json.dumps({"headline": "x"}).encode()
    right = hmac.new(b"secret", b"1." + body, hashlib.sha256).hexdigest()

    def post(signature: str) -> int:
        request = urllib.request.Request(receiver.url, body, {"Tocsin-Signature": signature})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert post(f"t=1,v1={right}") == 204
    assert post(f"t=2,v1={right}") == 401
    assert post("nonsense") == 401
    assert [message for _, message in receiver.received] == [{"headline": "x"}]
    receiver.close()


@pytest.mark.parametrize("title", ["ABCDEFGHIJKLMNOPQ", "", "Ä", "A\\B"])
def test_a_title_that_is_none_is_said(files: list[scanner.DicomFile], title: str) -> None:
    with pytest.raises(BadRequest, match="AE title"):
        scanner.send(files, Destination("PEER", LOOPBACK, 1), title)
