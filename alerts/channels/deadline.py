"""A deadline for a whole conversation: a socket's own timeout only bounds each single read, and a far side that sends
one byte a second would hold a worker for ever."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Deadline:
    """Closes the conversation's socket when the time is over."""

    passed: threading.Event = field(default_factory=threading.Event)
    _sockets: list[socket.socket] = field(default_factory=list)

    def watch(self, connection: socket.socket | None) -> None:
        """Include this socket."""
        if connection is not None:
            self._sockets.append(connection)

    def strike(self) -> None:
        self.passed.set()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[Deadline]:
    """Whatever is watched inside is cut off after ``seconds``."""
    conversation = Deadline()
    timer = threading.Timer(seconds, conversation.strike)
    timer.daemon = True
    timer.start()
    try:
        yield conversation
    finally:
        timer.cancel()
