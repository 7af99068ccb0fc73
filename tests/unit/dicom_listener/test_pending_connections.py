"""Silent connections make room for newer ones."""

import ipaddress
import socket
from collections.abc import Iterator

import pytest

from dicom_listener.connections import PendingConnections

HERE, THERE = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    made = [socket.socketpair() for _ in range(4)]
    yield made
    for one, other in made:
        one.close()
        other.close()


def hung_up(pair: tuple[socket.socket, socket.socket]) -> bool:
    pair[1].setblocking(False)
    try:
        return pair[1].recv(1) == b""
    except BlockingIOError:
        return False


def test_the_oldest_of_the_same_address_goes_first(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    displaced: list[bool] = []
    pending = PendingConnections(lambda: displaced.append(True), total=10, per_address=2)
    pending.add(pairs[0][0], THERE)
    for pair in pairs[1:]:
        pending.add(pair[0], HERE)
    assert [hung_up(pair) for pair in pairs] == [False, True, False, False]
    assert displaced == [True]
    assert pending.remove(pairs[0][0])
    assert not pending.remove(pairs[1][0])


def test_then_the_oldest_of_all(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    pending = PendingConnections(lambda: None, total=2, per_address=2)
    for pair, address in zip(pairs[:3], (THERE, HERE, HERE), strict=True):
        pending.add(pair[0], address)
    assert [hung_up(pair) for pair in pairs[:3]] == [True, False, False]


def test_stopping_hangs_up_on_all(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    pending = PendingConnections(lambda: None)
    for pair in pairs:
        pending.add(pair[0], HERE)
    pending.close_all()
    assert all(hung_up(pair) for pair in pairs)
