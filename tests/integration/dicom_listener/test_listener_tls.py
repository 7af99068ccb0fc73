"""DICOM over TLS, with certificates on both sides."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_listener.errors import CannotStart
from dicom_listener.peers import Peer
from dicom_listener.tls import TlsFiles, server_context
from tests.integration.dicom_listener.certificates import Authority
from tests.integration.dicom_listener.live_listener import ECHO_SECONDS, Live, a_listener, associate, connect, send
from tests.unit.dicom_listener.ct_objects import a_ct
from tocsin.scanner import held


class Site:
    """An authority, our node's files, and scanners with certificates."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.authority = Authority(folder)
        self.files = TlsFiles(*self.authority.issue("node"), self.authority.file)

    def scanner(self, name: str = "ct1", authority: Authority | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.authority.file)
        context.load_cert_chain(*(authority or self.authority).issue(name))
        return context


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "pki")


@pytest.fixture
def live(tmp_path: Path, site: Site) -> Iterator[Live]:
    with a_listener(tmp_path, tls=server_context(site.files), request_seconds=1.5) as live:
        yield live


def echo_over_tls(live: Live, context: ssl.SSLContext) -> float:
    started = time.monotonic()
    association = associate(live.port, tls_args=(context, None))
    assert association.is_established
    with held(association):
        assert association.send_c_echo().Status == 0x0000
    elapsed = time.monotonic() - started
    association.release()
    return elapsed


def test_slices_over_tls(live: Live, site: Site) -> None:
    association = associate(live.port, tls_args=(site.scanner(), None))
    assert association.is_established
    big = {"Rows": 512, "Columns": 512, "PixelData": bytes(512 * 512 * 2)}
    for number in range(1, 4):
        assert send(association, a_ct(number, **big)).Status == 0x0000
    association.release()
    live.wait_for("associations_ended_total", 1, how="released")
    assert len(live.published().slices) == 3


def test_a_scanner_without_a_certificate_stays_outside(live: Live, site: Site) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(site.authority.file)
    assert not associate(live.port, tls_args=(context, None)).is_established
    live.wait_for("associations_rejected_total", 1, reason="tls_failed")


def test_a_certificate_of_another_authority_stays_outside(live: Live, site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    stranger = site.scanner("ct1", Authority(tmp_path / "other", "stranger"))
    assert not associate(live.port, tls_args=(stranger, None)).is_established
    live.wait_for("associations_rejected_total", 1, reason="tls_failed")


def test_old_versions_stay_outside(live: Live, site: Site) -> None:
    context = site.scanner()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert not associate(live.port, tls_args=(context, None)).is_established


def test_plain_dicom_stays_outside(live: Live) -> None:
    assert not associate(live.port).is_established


def test_silent_clients_hold_nobody_up(live: Live, site: Site) -> None:
    silent = [connect(live.port) for _ in range(40)]
    for _ in range(3):
        assert echo_over_tls(live, site.scanner()) < ECHO_SECONDS
    for connection in silent:
        connection.close()


def test_a_handshake_that_drips_is_cut_off(live: Live, site: Site) -> None:
    dripping = connect(live.port)
    started = time.monotonic()
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300)
    try:
        for byte in hello:
            dripping.send(bytes([byte]))
            time.sleep(0.05)
    except OSError:  # hung up on
        pass
    assert time.monotonic() - started < 4
    assert echo_over_tls(live, site.scanner()) < ECHO_SECONDS


def test_the_certificate_belongs_to_the_rule(tmp_path: Path, site: Site) -> None:
    rule = Peer.model_validate({"ae_title": "CT1", "address": "127.0.0.1", "common_name": "ct1"})
    with a_listener(tmp_path, tls=server_context(site.files), peers=(rule,)) as live:
        assert echo_over_tls(live, site.scanner("ct1")) < ECHO_SECONDS
        borrowed = associate(live.port, tls_args=(site.scanner("ct2"), None))
        assert borrowed.is_rejected
        assert borrowed.acceptor.primitive.diagnostic == 3


def test_files_that_cannot_be_used(site: Site, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="TLS files"):
        server_context(TlsFiles(tmp_path / "nowhere", site.files.key, site.files.authorities))
    with pytest.raises(CannotStart, match="TLS files"):
        server_context(TlsFiles(site.files.certificate, site.authority.issue("other")[1], site.files.authorities))
