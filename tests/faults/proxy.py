"""A TCP proxy that does to a connection what networks do: delay, dribble, go silent, vanish, reset.

One asyncio loop in a thread of its own. The condition can be changed at any time and holds for open and new connections
alike; what a silent network has swallowed stays swallowed, so those connections are reset when it mends.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

CHUNK_BYTES = 64 * 1024
LATENCY_SECONDS = 0.1
"""Of each chunk, one way."""
DRIBBLED_BYTES = 48
"""Of each chunk, so many go one by one, each in a segment of its own."""
DRIBBLE_SECONDS = 0.0005
"""Between two of them."""
RESET_EVERY_SECONDS = 0.7
LINGER_RESET = struct.pack("ii", 1, 0)
"""``SO_LINGER`` on, 0 s: closing sends RST."""


class Condition(StrEnum):
    """Of the network between two parties."""

    GOOD = "good"
    LATENCY = "latency"
    ONE_BYTE_WRITES = "one-byte writes"
    DROP = "drop"
    """Nothing gets through, in either direction, and nobody is told."""
    HALF_OPEN = "half-open"
    """Who connected is reset; the other party is not told, and its connection stays."""
    RESET = "reset"
    """Every connection is reset, again and again."""


class Link:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near, self.far = near, far
        self.swallowed = False

    def reset(self, *writers: asyncio.StreamWriter) -> None:
        for writer in writers or (self.near, self.far):
            sock = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            writer.transport.abort()


class FaultProxy:
    """Listens on a free port of loopback (or the given one) and passes on to a port of loopback."""

    def __init__(self, target_port: int, port: int = 0) -> None:
        self._target_port, self.port = target_port, port
        self.condition = Condition.GOOD
        self.touched = 0
        """Chunks and connections that met a bad condition."""
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._open())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def become(self, condition: Condition) -> None:
        """Change the network."""
        self._do(self._become(condition))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    # In the loop

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=CHUNK_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]
        self._keep(self._resetter())

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for link in list(self._links):
            link.reset()

    async def _become(self, condition: Condition) -> None:
        self.condition = condition
        for link in list(self._links):
            if condition is Condition.GOOD and link.swallowed:
                link.reset()
            if condition is Condition.HALF_OPEN:
                self._vanish(link)

    def _vanish(self, link: Link) -> None:
        """The near party is reset; the far one hears nothing more."""
        link.swallowed = True
        self.touched += 1
        link.reset(link.near)

    async def _resetter(self) -> None:
        while True:
            if self.condition is Condition.RESET:
                for link in list(self._links):
                    self.touched += 1
                    link.reset()
            await asyncio.sleep(RESET_EVERY_SECONDS)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._target_port, limit=CHUNK_BYTES)
        except OSError:
            near.transport.abort()
            return
        for writer in (near, far):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(near, far)
        self._links.add(link)
        self._keep(self._carry(link, near_reader, far))
        self._keep(self._carry(link, far_reader, near))

    async def _carry(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._pass_on(link, data, writer)
        if link.swallowed:
            return  # whoever is left is not told
        writer.close()
        self._links.discard(link)

    async def _pass_on(self, link: Link, data: bytes, writer: asyncio.StreamWriter) -> None:
        if self.condition is not Condition.GOOD:
            self.touched += 1
        if self.condition is Condition.DROP or link.swallowed:
            link.swallowed = True
            return
        if self.condition is Condition.LATENCY:
            await asyncio.sleep(LATENCY_SECONDS)
        if self.condition is Condition.ONE_BYTE_WRITES:
            data = await self._dribble(data, writer)
        writer.write(data)
        await writer.drain()

    async def _dribble(self, data: bytes, writer: asyncio.StreamWriter) -> bytes:
        """Write the first bytes one by one; returns the rest."""
        for byte in data[:DRIBBLED_BYTES]:
            writer.write(bytes([byte]))
            await asyncio.sleep(DRIBBLE_SECONDS)
        return data[DRIBBLED_BYTES:]
