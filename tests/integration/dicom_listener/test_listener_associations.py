"""Scanners at the port, over real associations."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSNearLossless,
    MRImageStorage,
)
from pynetdicom import AE

from dicom_listener.peers import Caps, Peer
from dicom_listener.publisher import Publisher
from dicom_listener.syntaxes import SYNTAXES
from streams.contracts.series import LedgerKind, RefusalReason
from tests.integration.dicom_listener.live_listener import FakeKafka, Live, a_listener, associate, echo_seconds, send
from tests.unit.dicom_listener.ct_objects import a_ct, an_enhanced_ct, pixels


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with a_listener(tmp_path) as live:
        yield live


def test_an_echo(live: Live) -> None:
    assert echo_seconds(live.port) < 1
    assert live.count("echoes_total") == 1


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian],
)
def test_a_slice_in_every_uncompressed_syntax(live: Live, syntax: str) -> None:
    association = associate(live.port, syntaxes=(syntax,))
    ds = a_ct()
    if syntax == ExplicitVRBigEndian:
        ds["PixelData"].VR = "OW"
    assert send(association, ds, syntax).Status == 0x0000
    association.release()
    (event,) = live.published().slices
    assert event.Rows == 16


def test_every_lossless_syntax_is_offered_and_no_other() -> None:
    from dicom_listener.server import contexts

    offered = {str(syntax) for context in contexts() for syntax in context.transfer_syntax}
    assert offered == set(SYNTAXES)
    assert not offered & {JPEGBaseline8Bit, JPEGLSNearLossless, "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"}


def test_a_lossy_context_is_not_accepted(live: Live) -> None:
    ae = AE("CT1")
    ae.add_requested_context(CTImageStorage, JPEGBaseline8Bit)
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", live.port, ae_title="TOCSIN")
    assert [c.transfer_syntax for c in association.accepted_contexts] == [[ExplicitVRLittleEndian]]
    association.release()


def test_an_enhanced_object_becomes_its_frames(live: Live) -> None:
    association = associate(live.port)
    assert send(association, an_enhanced_ct(frames=5)).Status == 0x0000
    association.release()
    assert [event.frame_number for event in live.published().slices] == [1, 2, 3, 4, 5]


def test_the_ledger_of_a_released_association(live: Live) -> None:
    association = associate(live.port)
    for number in (1, 2, 3, 3):
        assert send(association, a_ct(number)).Status == 0x0000
    assert send(association, a_ct(4, Modality="MR")).Status == 0xA900
    association.release()
    live.wait_for("associations_ended_total", 1, how="released")
    opened, released = live.published().ledger
    assert (opened.kind, released.kind) == (LedgerKind.OPENED, LedgerKind.RELEASED)
    assert (released.frames_accepted, released.refused) == (3, {RefusalReason.NOT_CT: 1})
    assert {event.association for event in live.published().slices} == {released.association}


def test_the_ledger_of_a_lost_connection(live: Live) -> None:
    association = associate(live.port)
    send(association, a_ct())
    association.dul.socket.socket.close()
    association.abort()
    live.wait_for("associations_ended_total", 1, how="aborted")
    assert live.published().ledger[-1].kind is LedgerKind.ABORTED
    assert live.count("associations_open") == 0


def test_a_refused_object_ends_neither_its_association_nor_another(live: Live) -> None:
    other = associate(live.port, calling="CT2")
    association = associate(live.port)
    bad = a_ct(SOPInstanceUID="../../etc/x")
    status = send(association, bad)
    assert status.Status == 0x0117
    assert "etc" not in status.ErrorComment
    assert send(association, a_ct(PixelData=b"short!")).Status == 0xC000
    assert send(association, a_ct(2)).Status == 0x0000
    assert send(other, a_ct(3)).Status == 0x0000
    association.release()
    other.release()


def test_wrong_called_title(live: Live) -> None:
    association = associate(live.port, called="OTHER")
    assert association.is_rejected
    answer = association.acceptor.primitive
    assert (answer.result, answer.result_source, answer.diagnostic) == (1, 1, 7)
    live.wait_for("associations_rejected_total", 1, reason="called_ae_unknown")


def test_peer_rules(tmp_path: Path) -> None:
    rule = Peer.model_validate({"ae_title": "CT1", "address": "127.0.0.0/8"})
    with a_listener(tmp_path, peers=(rule,)) as live:
        assert echo_seconds(live.port) < 1
        stranger = associate(live.port, calling="WHO")
        assert stranger.is_rejected
        assert stranger.acceptor.primitive.diagnostic == 3


def test_an_address_without_a_rule_is_hung_up_on(tmp_path: Path) -> None:
    rule = Peer.model_validate({"ae_title": "*", "address": "10.0.0.0/8"})
    with a_listener(tmp_path, peers=(rule,)) as live:
        assert not associate(live.port).is_established
        live.wait_for("associations_rejected_total", 1, reason="address_unknown")


def test_too_many_associations_are_rejected_as_transient(tmp_path: Path) -> None:
    with a_listener(tmp_path, caps=Caps(total=2, per_peer=10, reserved=0)) as live:
        open_ones = [associate(live.port) for _ in range(2)]
        third = associate(live.port)
        assert third.is_rejected
        answer = third.acceptor.primitive
        assert (answer.result, answer.result_source, answer.diagnostic) == (2, 3, 2)
        open_ones.pop().release()
        live.wait_for("associations_ended_total", 1, how="released")
        assert echo_seconds(live.port) < 1
        open_ones.pop().release()


def test_interleaved_series_on_parallel_associations(live: Live) -> None:
    def scan(series: str) -> None:
        association = associate(live.port, calling=f"CT{series[-1]}")
        for number in range(1, 9):
            ds = a_ct(number, SeriesInstanceUID=series, SOPInstanceUID=f"{series}.{number}")
            assert send(association, ds).Status == 0x0000
        association.release()

    threads = [threading.Thread(target=scan, args=(f"1.2.3.{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    live.wait_for("associations_ended_total", 4, how="released")
    events = live.published().slices
    assert len(events) == 32
    by_series: dict[str, list[int | None]] = {}
    for event in events:
        by_series.setdefault(event.series_key, []).append(event.InstanceNumber)
    assert list(by_series.values()) == [list(range(1, 9))] * 4
    assert sum(entry.frames_accepted for entry in live.published().ledger) == 32


def test_one_association_per_slice(live: Live) -> None:
    for number in range(1, 6):
        association = associate(live.port)
        assert send(association, a_ct(number)).Status == 0x0000
        association.release()
    live.wait_for("associations_ended_total", 5, how="released")
    assert len(live.published().slices) == 5
    assert len({entry.association for entry in live.published().ledger}) == 5


def test_from_the_scanner_to_the_broker(live: Live) -> None:
    kafka = FakeKafka()
    publisher = Publisher(live.spool, lambda: kafka, live.metrics)
    publisher.start()
    association = associate(live.port)
    for number in range(1, 11):
        assert send(association, a_ct(number)).Status == 0x0000
    association.release()
    live.wait_for("published_total", 10, topic="ct.slices.v1")
    live.wait_for("published_total", 2, topic="ct.series.v1")
    publisher.stop(5)
    values = [bytes(m.value) for m in kafka.messages if m.topic == "ct.slices.v1"]
    assert values == [pixels(seed=number) for number in range(1, 11)]


def test_stopping_lets_a_running_association_finish(tmp_path: Path) -> None:
    with a_listener(tmp_path) as live:
        association = associate(live.port)
        send(association, a_ct(1))
        stopping = threading.Thread(target=live.listener.stop, args=(10,))
        stopping.start()
        while not live.listener.server.book.stopping:
            pass
        assert send(association, a_ct(2)).Status == 0x0000
        association.release()
        stopping.join(10)
        assert not stopping.is_alive()
        assert len(live.published().slices) == 2
        assert live.published().ledger[-1].kind is LedgerKind.RELEASED
        live.listener.stop = lambda _seconds: None  # type: ignore[method-assign] # it has stopped already


@pytest.mark.parametrize("sop_class", [MRImageStorage, "1.2.3.4.5.6"], ids=["MR", "private"])
def test_another_class_on_an_agreed_context(live: Live, sop_class: str) -> None:
    association = associate(live.port)
    cunning = association._get_valid_context
    association._get_valid_context = lambda _ab, tr, *args, **kwargs: cunning(CTImageStorage, tr, *args, **kwargs)
    assert send(association, a_ct(SOPClassUID=sop_class)).Status == 0x0122
    assert send(association, a_ct(2)).Status == 0x0000
    association.release()
