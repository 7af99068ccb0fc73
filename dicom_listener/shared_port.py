"""One DICOM port for several processes: they share the listening socket; who has the fewest connections takes the next.

The watcher opens the socket and a small board in shared memory; both are inherited. On the board each process says how
many connections it has; one that has more than another lets the others go first for a moment. Left to chance (with
SO_REUSEPORT the kernel hashes addresses), four scanners are spread evenly over two processes in three cases of eight.
And a connection that waits to be accepted belongs to no process: it survives the death of any.
"""

import contextlib
import mmap
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from dicom_listener.errors import CannotStart

VARIABLE = "TOCSIN_LISTENER_SHARED_PORT"
"""Descriptors of the socket and of the board, for the processes that inherit them."""
LISTEN_BACKLOG = 128
GIVE_WAY_SECONDS = 0.05
"""A process with fewer connections accepts within a few milliseconds; where it does not, the busier one does."""
_COUNT = struct.Struct("=I")


class SharedPort:
    """In the watcher: the socket and the board.

    Args:
        port: 0 takes a free one.

    Raises:
        CannotStart: the address is taken or not ours.
    """

    def __init__(self, host: str, port: int, processes: int) -> None:
        self.processes = processes
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
            self._socket.listen(LISTEN_BACKLOG)
        except OSError as error:
            raise CannotStart(f"the DICOM port {host}:{port} cannot be opened: {error.strerror}") from error
        self._socket.setblocking(False)
        self._board = os.memfd_create("tocsin-listeners")
        os.ftruncate(self._board, mmap.PAGESIZE)

    @property
    def descriptors(self) -> tuple[int, int]:
        """To be inherited."""
        return self._socket.fileno(), self._board

    @property
    def variable(self) -> str:
        """Value of the environment variable for the processes."""
        return ",".join(map(str, (*self.descriptors, self.processes)))

    def close(self) -> None:
        """For all processes: who connects now is refused at once, and does not wait for someone who never accepts."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.close(self._board)


class PortShare:
    """In one of the processes: its share of the connections.

    Args:
        worker: which of the processes this is, from 0.
        give_way: waits a moment.
    """

    def __init__(
        self,
        listening: socket.socket,
        board: int,
        processes: int,
        worker: int,
        give_way: Callable[[], None] = lambda: time.sleep(GIVE_WAY_SECONDS),
    ) -> None:
        self.listening, self._processes, self._worker, self._give_way = listening, processes, worker, give_way
        self._board = mmap.mmap(board, mmap.PAGESIZE)
        self._lock = threading.Lock()
        self._connections = 0
        self._tell(0)

    @classmethod
    def inherited(cls, variable: str, worker: int) -> Self:
        """From the watcher."""
        listening, board, processes = map(int, variable.split(","))
        return cls(socket.socket(fileno=listening), board, processes, worker)

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, if it is ours to take; it counts until it has :meth:`left`.

        Raises:
            BlockingIOError: another process took it.
        """
        if self._has_more_than_another():
            self._give_way()
        accepted = self.listening.accept()
        self._tell(+1)
        return accepted

    def left(self) -> None:
        """One of our connections is over."""
        self._tell(-1)

    def close(self) -> None:
        """We accept no more; the others do."""
        self.listening.close()

    def _tell(self, change: int) -> None:
        with self._lock:
            self._connections = max(0, self._connections + change)
            _COUNT.pack_into(self._board, self._worker * _COUNT.size, self._connections)

    def _has_more_than_another(self) -> bool:
        others = (n for n in range(self._processes) if n != self._worker)
        return any(self._connections > _COUNT.unpack_from(self._board, n * _COUNT.size)[0] for n in others)
