"""Connections that are not yet associations: who may come in, and who must make room.

A silent or slow connection costs one waiting thread and no more. When there are too many, the oldest of the same
address goes first, then the oldest of all: a newcomer is never turned away for the sake of a silent one.
"""

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dicom_listener.peers import IPAddress

MAX_PENDING = 128
"""Connections that have not yet requested an association."""
MAX_PENDING_PER_ADDRESS = 32


@dataclass(frozen=True, slots=True)
class _Pending:
    address: IPAddress
    since: float


class PendingConnections:
    """Thread-safe. ``displaced`` is called for each connection that had to go."""

    def __init__(
        self,
        displaced: Callable[[], None],
        total: int = MAX_PENDING,
        per_address: int = MAX_PENDING_PER_ADDRESS,
    ) -> None:
        self._displaced, self._total, self._per_address = displaced, total, per_address
        self._pending: OrderedDict[socket.socket, _Pending] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, connection: socket.socket, address: IPAddress, now: float = 0.0) -> None:
        with self._lock:
            self._make_room(address)
            self._pending[connection] = _Pending(address, now)

    def exchange(self, connection: socket.socket, secured: socket.socket) -> bool:
        """TLS has wrapped the connection. False where it had been displaced."""
        with self._lock:
            entry = self._pending.pop(connection, None)
            if entry is not None:
                self._pending[secured] = entry
                self._pending.move_to_end(secured, last=True)
            return entry is not None

    def hang_up_before(self, since: float) -> None:
        """End those that came before ``since`` and still have not requested an association."""
        with self._lock:
            for connection in [c for c, entry in self._pending.items() if entry.since < since]:
                self._displace(connection)

    def remove(self, connection: socket.socket) -> bool:
        """It became an association, or ended. False where it had been displaced."""
        with self._lock:
            return self._pending.pop(connection, None) is not None

    def close_all(self) -> None:
        with self._lock:
            for connection in self._pending:
                _hang_up(connection)
            self._pending.clear()

    def _make_room(self, address: IPAddress) -> None:
        same = [connection for connection, entry in self._pending.items() if entry.address == address]
        if len(same) >= self._per_address:
            self._displace(same[0])
        elif len(self._pending) >= self._total:
            self._displace(next(iter(self._pending)))

    def _displace(self, connection: socket.socket) -> None:
        del self._pending[connection]
        _hang_up(connection)
        self._displaced()


def _hang_up(connection: socket.socket) -> None:
    """Wake whoever reads from it; that thread closes the descriptor."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
