"""The fault proxy does what it says, seen from both ends."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Condition, FaultProxy

WAIT_SECONDS = 5.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(WAIT_SECONDS)
        yield listening


@pytest.fixture
def proxy(server: socket.socket) -> Iterator[FaultProxy]:
    with FaultProxy(server.getsockname()[1]) as proxy:
        yield proxy


def connected(proxy: FaultProxy, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_SECONDS)
    far, _ = server.accept()
    far.settimeout(WAIT_SECONDS)
    near.sendall(b"hello")
    assert far.recv(100) == b"hello"
    return near, far


def silent(sock: socket.socket) -> bool:
    sock.settimeout(0.5)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    return False


def is_reset(sock: socket.socket) -> bool:
    sock.settimeout(WAIT_SECONDS)
    try:
        sock.recv(1)
    except ConnectionResetError:
        return True
    return False


def test_good(proxy: FaultProxy, server: socket.socket) -> None:
    near, far = connected(proxy, server)
    far.sendall(b"answer")
    assert near.recv(100) == b"answer"
    near.close()
    assert far.recv(1) == b""


def test_latency(proxy: FaultProxy, server: socket.socket) -> None:
    near, far = connected(proxy, server)
    proxy.become(Condition.LATENCY)
    started = time.monotonic()
    near.sendall(b"x")
    assert far.recv(1) == b"x"
    assert time.monotonic() - started >= 0.1


def test_one_byte_writes(proxy: FaultProxy, server: socket.socket) -> None:
    near, far = connected(proxy, server)
    proxy.become(Condition.ONE_BYTE_WRITES)
    sent = bytes(range(200))
    threading.Thread(target=near.sendall, args=(sent,)).start()
    got: list[bytes] = []
    while sum(map(len, got)) < len(sent):
        got.append(far.recv(1000))
    assert b"".join(got) == sent
    assert len(got) > 2


def test_drop_is_silent_and_mends_by_a_reset(proxy: FaultProxy, server: socket.socket) -> None:
    near, far = connected(proxy, server)
    proxy.become(Condition.DROP)
    near.sendall(b"lost")
    assert silent(far)
    assert silent(near)
    proxy.become(Condition.GOOD)
    assert is_reset(near)
    assert is_reset(far)
    connected(proxy, server)


def test_half_open(proxy: FaultProxy, server: socket.socket) -> None:
    near, far = connected(proxy, server)
    proxy.become(Condition.HALF_OPEN)
    assert is_reset(near)
    assert silent(far)


def test_reset(proxy: FaultProxy, server: socket.socket) -> None:
    near, far = connected(proxy, server)
    proxy.become(Condition.RESET)
    assert is_reset(near)
    assert is_reset(far)
