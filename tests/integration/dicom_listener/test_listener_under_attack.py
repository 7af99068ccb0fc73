"""What an open port meets. During each attack a scanner's C-ECHO is answered within a second."""

import contextlib
import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dicom_listener.peers import Caps
from tests.integration.dicom_listener.live_listener import (
    ECHO_SECONDS,
    Live,
    a_listener,
    associate,
    connect,
    echo_seconds,
    send,
)
from tests.unit.dicom_listener.ct_objects import a_ct

REQUEST_SECONDS = 1.0


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with a_listener(
        tmp_path,
        max_object_bytes=1 << 20,
        request_seconds=REQUEST_SECONDS,
        pdu_seconds=1.0,
        caps=Caps(total=6, per_peer=6, reserved=1),
    ) as live:
        yield live


def ended(connection: socket.socket, seconds: float = 10.0) -> bool:
    """Has the node closed it, or closes it in time?"""
    connection.settimeout(seconds)
    try:
        while connection.recv(4096):
            pass
    except (ConnectionError, TimeoutError) as error:
        return not isinstance(error, TimeoutError)
    return True


def an_established_connection(live: Live) -> tuple[socket.socket, Callable[[], None]]:
    """The bare socket of an association, to misuse."""
    association = associate(live.port)
    assert association.is_established
    connection = association.dul.socket.socket.dup()
    association.dul._kill_thread = True
    return connection, lambda: association.kill()


def test_a_silent_client(live: Live) -> None:
    silent = connect(live.port)
    assert echo_seconds(live.port) < ECHO_SECONDS
    assert ended(silent, REQUEST_SECONDS + 3)
    live.wait_for("associations_rejected_total", 1, reason="no_request")


def test_a_pdu_of_four_gibibytes(live: Live) -> None:
    attacker = connect(live.port)
    attacker.sendall(struct.pack(">BBL", 0x01, 0, 0xFFFFFFFF) + b"x" * 1000)
    assert echo_seconds(live.port) < ECHO_SECONDS
    assert ended(attacker)


def test_a_pdu_of_four_gibibytes_within_an_association(live: Live) -> None:
    connection, forget = an_established_connection(live)
    connection.sendall(struct.pack(">BBL", 0x04, 0, 0xFFFFFFFF) + b"x" * 1000)
    assert echo_seconds(live.port) < ECHO_SECONDS
    assert ended(connection)
    live.wait_for("associations_ended_total", 1, how="aborted")
    forget()


def test_idle_connections_do_not_use_up_the_associations(live: Live) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(live.port))
        for _ in range(3):
            assert echo_seconds(live.port) < ECHO_SECONDS
    assert live.count("associations_rejected_total", reason="too_many_associations") == 0


def test_idle_associations_leave_the_reserved_place_to_others(live: Live) -> None:
    held = [associate(live.port) for _ in range(5)]
    assert all(a.is_established for a in held)
    assert associate(live.port).is_rejected
    live.listener.server.book._open = {  # as if they came from elsewhere: the scanner has an address of its own
        a: (type(address)("10.9.9.9"), ledger) for a, (address, ledger) in live.listener.server.book._open.items()
    }
    assert echo_seconds(live.port) < ECHO_SECONDS
    for association in held:
        association.release()


def test_a_partial_pdu(live: Live) -> None:
    connection, forget = an_established_connection(live)
    connection.sendall(struct.pack(">BBL", 0x04, 0, 1000) + b"x" * 10)
    assert echo_seconds(live.port) < ECHO_SECONDS
    assert ended(connection)
    live.wait_for("associations_ended_total", 1, how="aborted")
    forget()


def test_one_byte_at_a_time(live: Live) -> None:
    dripping = connect(live.port)
    started = time.monotonic()
    try:
        while time.monotonic() - started < 10:
            dripping.send(b"\x01")
            time.sleep(0.1)
    except OSError:  # hung up on
        pass
    assert time.monotonic() - started < REQUEST_SECONDS + 3
    assert echo_seconds(live.port) < ECHO_SECONDS


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">BBL", 0x01, 0, 4) + b"abcd",
        struct.pack(">BBL", 0x01, 0, 68) + bytes(68),
        struct.pack(">BBL", 0x04, 0, 10) + bytes(10),
        struct.pack(">BBL", 0x63, 0, 10) + bytes(10),
        b"\x01",
    ],
    ids=["http", "short request", "zeros", "data first", "unknown type", "one byte"],
)
def test_noise(live: Live, noise: bytes) -> None:
    connection = connect(live.port)
    connection.sendall(noise)
    with contextlib.suppress(OSError):  # the node may have hung up already
        connection.shutdown(socket.SHUT_WR)
    assert echo_seconds(live.port) < ECHO_SECONDS
    assert ended(connection)


@pytest.mark.parametrize(
    "body",
    [
        struct.pack(">LB", 0xFFFFFFF0, 1) + b"\x03abc",
        struct.pack(">LB", 1, 1),
        struct.pack(">LB", 6, 1) + b"\x03junk",
        struct.pack(">LB", 6, 99) + b"\x02junk",
    ],
    ids=["length beyond", "no header", "command of junk", "unknown context"],
)
def test_malformed_data_values_end_their_association_only(live: Live, body: bytes) -> None:
    connection, forget = an_established_connection(live)
    connection.sendall(struct.pack(">BBL", 0x04, 0, len(body)) + body)
    with contextlib.suppress(OSError):  # the node may have hung up already
        connection.shutdown(socket.SHUT_WR)
    assert echo_seconds(live.port) < ECHO_SECONDS
    assert ended(connection)
    forget()


def test_an_object_beyond_the_limit_is_refused_and_the_association_goes_on(live: Live) -> None:
    association = associate(live.port)
    big = a_ct(Rows=1024, Columns=1024, PixelData=bytes(1024 * 1024 * 2))
    assert send(association, big).Status == 0xC000
    assert send(association, a_ct(2)).Status == 0x0000
    association.release()
    assert live.count("objects_refused_total", reason="too_large") == 1
    assert len(live.published().slices) == 1


def test_a_path_for_a_uid_touches_no_file(live: Live, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    association = associate(live.port)
    assert send(association, a_ct(SOPInstanceUID="../../etc/x", SeriesInstanceUID="../..")).Status == 0x0117
    assert echo_seconds(live.port) < ECHO_SECONDS
    association.release()
    assert sorted(tmp_path.rglob("*")) == before


def test_more_descriptors_than_select_can_count(live: Live) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
    fillers = [os.open("/dev/null", os.O_RDONLY) for _ in range(1030)]
    try:
        association_socket = connect(live.port)
        assert association_socket.fileno() >= 1024
        association_socket.close()
        echo_by_hand(live.port)  # pynetdicom's own client uses select, and is no witness here
    finally:
        for descriptor in fillers:
            os.close(descriptor)


def echo_by_hand(port: int) -> None:
    """An association request and its acceptance, without a library that uses select."""
    from pynetdicom.pdu import A_ASSOCIATE_RQ
    from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
    from pynetdicom.presentation import build_context
    from pynetdicom.sop_class import Verification

    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = "CT1", "TOCSIN"
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation]
    context = build_context(Verification)
    context.context_id = 1
    primitive.presentation_context_definition_list = [context]
    connection = connect(port)
    connection.sendall(A_ASSOCIATE_RQ(primitive).encode())
    assert connection.recv(1) == b"\x02"
    connection.close()
