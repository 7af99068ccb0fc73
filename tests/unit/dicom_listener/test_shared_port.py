"""Who takes the next connection."""

import socket
from collections.abc import Iterator

import pytest

from dicom_listener.errors import CannotStart
from dicom_listener.shared_port import PortShare, SharedPort


@pytest.fixture
def port() -> Iterator[SharedPort]:
    shared = SharedPort("127.0.0.1", 0, 2)
    yield shared
    shared.close()


class Processes:
    """Two that share a port, in one. A process that gives way lets the other take what it can."""

    def __init__(self, port: SharedPort) -> None:
        listening, board = port.descriptors
        self.other_hangs = False
        self.number = socket.socket(fileno=socket.dup(listening)).getsockname()[1]
        self.shares = [
            PortShare(socket.socket(fileno=socket.dup(listening)), board, 2, n, lambda n=n: self._give_way(n))  # type: ignore[misc]
            for n in range(2)
        ]
        self.taken: list[list[socket.socket]] = [[], []]

    def _give_way(self, by: int) -> None:
        if not self.other_hangs:
            self.wakes(1 - by)

    def wakes(self, number: int) -> bool:
        try:
            self.taken[number].append(self.shares[number].accept()[0])
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def two(port: SharedPort) -> Iterator[Processes]:
    processes = Processes(port)
    yield processes
    for taken in processes.taken:
        for connection in taken:
            connection.close()


def connect(two: Processes) -> socket.socket:
    return socket.create_connection(("127.0.0.1", two.number), timeout=10)


def test_connections_are_spread_although_the_same_process_always_wakes_first(two: Processes) -> None:
    clients = []
    for _ in range(6):
        clients.append(connect(two))
        two.wakes(0)
    assert [len(taken) for taken in two.taken] == [3, 3]
    for client in clients:
        client.close()


def test_a_process_that_hangs_keeps_nobody_waiting(two: Processes) -> None:
    two.other_hangs = True
    for _ in range(3):
        with connect(two):
            assert two.wakes(0)


def test_what_has_left_counts_no_more(two: Processes) -> None:
    with connect(two):
        two.wakes(0)
        two.shares[0].left()
        with connect(two):
            two.wakes(0)
    assert [len(taken) for taken in two.taken] == [2, 0]


def test_a_process_that_is_started_again_begins_from_nothing(port: SharedPort, two: Processes) -> None:
    with connect(two), connect(two):
        two.wakes(0)
        listening, board = port.descriptors
        two.shares[0] = PortShare(socket.socket(fileno=socket.dup(listening)), board, 2, 0)
        two.wakes(1)
        assert [len(taken) for taken in two.taken] == [1, 1]


def test_closed_by_the_watcher_means_refused_for_all() -> None:
    port = SharedPort("127.0.0.1", 0, 2)
    two = Processes(port)
    connect(two).close()
    port.close()
    with pytest.raises(ConnectionRefusedError):
        connect(two)


def test_a_taken_port(port: SharedPort) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(CannotStart, match="cannot be opened"):
            SharedPort("127.0.0.1", holder.getsockname()[1], 2)
