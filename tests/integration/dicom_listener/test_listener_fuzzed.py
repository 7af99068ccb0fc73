"""Arbitrary bytes at every stage of the protocol: no crash, no growth, and an echo afterwards.

A short run here; ``make fuzz`` makes it longer.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.integration.dicom_listener.live_listener import ECHO_SECONDS, Live, a_listener, connect, echo_seconds
from tests.integration.dicom_listener.raw_scanner import a_command, an_association_request
from tests.support.fuzzing import fuzz, spoiled

GROWTH_BYTES = 64 << 20
THREADS_LEFT = 40


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with a_listener(folder, max_object_bytes=1 << 20, request_seconds=1.0, pdu_seconds=1.0) as live:
        yield live


@pytest.fixture(scope="module", autouse=True)
def _no_growth(live: Live) -> Iterator[None]:
    memory, process = psutil.Process().memory_info().rss, psutil.Process()
    yield
    assert echo_seconds(live.port) < ECHO_SECONDS
    live.wait_for("associations_open", 0)
    assert process.memory_info().rss - memory < GROWTH_BYTES
    assert threading.active_count() < THREADS_LEFT
    assert live.listener.server.memory.taken == 0


REQUEST = an_association_request()


def talk(port: int, *parts: bytes) -> None:
    """Say it all, hang up half, and hear what comes until the node hangs up."""
    with connect(port) as connection:
        connection.settimeout(10)
        try:
            for part in parts:
                connection.sendall(part)
            with contextlib.suppress(OSError):  # the node may have hung up already
                connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except TimeoutError:
            raise
        except OSError:  # hung up on, in whichever way
            return


spoils = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=5)
pdus = st.tuples(st.integers(0, 9), st.binary(max_size=200)).map(
    lambda pdu: struct.pack(">BBL", pdu[0], 0, len(pdu[1])) + pdu[1]
)
values = st.tuples(st.sampled_from([1, 3, 5, 7, 99]), st.integers(0, 3), st.binary(max_size=120)).map(
    lambda v: struct.pack(">LBB", len(v[2]) + 2, v[0], v[1]) + v[2]
)


@fuzz(60)
@given(st.binary(max_size=300))
def test_noise_in_place_of_a_request(live: Live, noise: bytes) -> None:
    talk(live.port, noise)


@fuzz(60)
@given(spoils, st.none() | st.integers(0, len(REQUEST)))
def test_a_spoiled_request(live: Live, spoils: list[tuple[int, int]], cut: int | None) -> None:
    talk(live.port, spoiled(REQUEST, spoils, cut))


@fuzz(60)
@given(st.lists(pdus, max_size=4))
def test_any_pdus_after_the_request(live: Live, parts: list[bytes]) -> None:
    talk(live.port, REQUEST, *parts)


@fuzz(60)
@given(st.lists(values, min_size=1, max_size=4))
def test_any_data_values_after_the_request(live: Live, parts: list[bytes]) -> None:
    body = b"".join(parts)
    talk(live.port, REQUEST, struct.pack(">BBL", 4, 0, len(body)) + body)


@fuzz(60)
@given(st.binary(max_size=80), st.binary(max_size=40), st.integers(0, 0xFFFF), st.binary(max_size=300))
def test_any_store_command(live: Live, uid: bytes, sop_class: bytes, field: int, data: bytes) -> None:
    command = a_command(
        e0002=sop_class,
        e0100=struct.pack("<H", field if field % 3 == 0 else 1),
        e0110=b"\1\0",
        e0700=b"\0\0",
        e0800=b"\0\0",
        e1000=uid,
    )
    body = b"".join(
        struct.pack(">LBB", len(part) + 2, 3, control) + part for control, part in ((3, command), (2, data))
    )
    talk(live.port, REQUEST, struct.pack(">BBL", 4, 0, len(body)) + body)
