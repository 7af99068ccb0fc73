"""Writes that are confirmed together: while Kafka confirms some, the next gather, and go when it has.

Laws: writes reach Kafka in the order in which they were made, also when they are repeated; what is to be done once they
are durable is done in that order, too; of several values of one key that have gathered only the last is written.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

from streams.durably import durably
from streams.errors import StateNotDurable

logger = logging.getLogger(__name__)

MOST_GATHERED = 64
"""Writes that wait for those before them; more have to wait before they are taken."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class GroupCommit(Generic[K, V]):
    """Lives on one event loop.

    Args:
        write: writes these in order; awaited until all are confirmed.
        what: is written, for a person.
        attempt_seconds: an attempt that takes longer has failed.
        patience_seconds: attempts to write the same are made for so long.
        lost: told when they have ended without success; nothing is written after that.
    """

    def __init__(
        self,
        write: Callable[[Sequence[tuple[K, V]]], Awaitable[object]],
        what: str,
        attempt_seconds: float,
        patience_seconds: float,
        lost: Callable[[StateNotDurable], None],
    ) -> None:
        self._write, self._what, self._limits, self._lost = write, what, (attempt_seconds, patience_seconds), lost
        self._gathered: dict[K, V] = {}
        self._afterwards: list[Callable[[], object]] = []
        self._rounds: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._error: StateNotDurable | None = None

    async def put(self, writes: Sequence[tuple[K, V]]) -> None:
        """Take writes; waits only where many have gathered.

        Raises:
            StateNotDurable: of earlier ones.
        """
        await self._until(lambda: len(self._gathered) < MOST_GATHERED)
        for key, value in writes:
            self._gathered.pop(key, None)  # its place is behind those that came since
            self._gathered[key] = value
        self._begin()

    def then(self, do: Callable[[], object]) -> None:
        """Do something once everything that was put until now is durable."""
        self._afterwards.append(do)
        self._begin()

    async def settled(self) -> None:
        """Everything that was put is durable.

        Raises:
            StateNotDurable: it is not.
        """
        await self._until(lambda: self._rounds is None)

    async def _until(self, condition: Callable[[], bool]) -> None:
        if self._error is None and not condition():
            async with self._changed:
                await self._changed.wait_for(lambda: self._error is not None or condition())
        if self._error is not None:
            raise self._error

    def _begin(self) -> None:
        if self._rounds is None and self._error is None:
            self._rounds = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._gathered or self._afterwards:
                await self._round()
        except StateNotDurable as error:
            self._fail(error)
        except Exception as error:  # of what was to be done afterwards: whoever waits for it must not wait for ever
            logger.exception("what was confirmed could not be followed up")
            self._fail(StateNotDurable(f"{self._what}: {type(error).__name__}"))
        finally:
            self._rounds = None
            async with self._changed:
                self._changed.notify_all()

    def _fail(self, error: StateNotDurable) -> None:
        self._error = error
        self._lost(error)

    async def _round(self) -> None:
        writes, self._gathered = list(self._gathered.items()), {}
        afterwards, self._afterwards = self._afterwards, []
        async with self._changed:  # there is room again
            self._changed.notify_all()
        if writes:
            await durably(partial(self._write, writes), self._what, *self._limits)
        for do in afterwards:
            do()
