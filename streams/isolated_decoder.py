"""The worker's side of the decoding child: start it, ask it, and outlive it."""

import contextlib
import os
import select
import subprocess
import sys
import time

import numpy as np
import numpy.typing as npt

from streams.contracts.slices import SliceAccepted
from streams.decoding_child import ERROR, LENGTH
from streams.errors import PixelsUnreadable

TIMEOUT_SECONDS = 10.0
"""For one frame; a 512 × 512 frame takes a few hundredths of a second."""

COMMAND = (sys.executable, "-m", "streams.decoding_child")


class IsolatedDecoder:
    """Decodes in a child process; used by one thread.

    Args:
        command: runs the child; for tests.
        timeout_seconds: a child that takes longer is killed, and its frame is unreadable.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._command = command
        self._timeout_seconds = timeout_seconds
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child ahead of the first frame, so that no patient waits for it."""
        self._running()

    def stored_values(self, header: SliceAccepted, encoded: bytes) -> npt.NDArray[np.integer]:
        """The frame's stored values, int32 [Rows, Columns].

        Raises:
            PixelsUnreadable: they do not decode, or the child died or hung over them.
        """
        child = self._running()
        try:
            kind, answer = self._ask(child, header.encode(), encoded)
        except TimeoutError as error:
            self._discard(child)
            raise PixelsUnreadable(f"{header.TransferSyntax}: the decoder did not finish this frame") from error
        except (OSError, EOFError) as error:
            self._discard(child)
            raise PixelsUnreadable(f"{header.TransferSyntax}: the decoder died over this frame") from error
        if kind == ERROR:
            raise PixelsUnreadable(answer.decode(errors="replace"))
        return np.frombuffer(answer, "<i4").reshape(header.Rows, header.Columns)

    def close(self) -> None:
        if self._child is not None:
            self._discard(self._child)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self._child = subprocess.Popen(  # noqa: S603 - our own command line
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
            assert self._child.stdin
            os.set_blocking(self._child.stdin.fileno(), False)
        return self._child

    def _ask(self, child: subprocess.Popen[bytes], header: bytes, encoded: bytes) -> tuple[bytes, bytes]:
        assert child.stdin
        assert child.stdout
        deadline = time.monotonic() + self._timeout_seconds
        request = b"".join((LENGTH.pack(len(header)), header, LENGTH.pack(len(encoded)), encoded))
        _write(child.stdin.fileno(), request, deadline)
        head = _read(child.stdout.fileno(), 1 + LENGTH.size, deadline)
        return head[:1], _read(child.stdout.fileno(), LENGTH.unpack(head[1:])[0], deadline)

    def _discard(self, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            with contextlib.suppress(OSError):
                pipe.close() if pipe else None
        self._child = None


def _write(descriptor: int, data: bytes, deadline: float) -> None:
    """All of ``data``.

    Raises:
        TimeoutError: not by the deadline.
        BrokenPipeError: the other side is gone.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    view = memoryview(data)
    while view:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        view = view[os.write(descriptor, view) :]


def _read(descriptor: int, length: int, deadline: float) -> bytes:
    """Exactly ``length`` bytes.

    Raises:
        TimeoutError: not by the deadline.
        EOFError: the other side is gone.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLHUP)
    parts, missing = [], length
    while missing:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError
        part = os.read(descriptor, missing)
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
