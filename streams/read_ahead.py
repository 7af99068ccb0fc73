"""Slices that wait behind the one whose turn it is, decoded and read together while Kafka confirms what was written.

Laws: nothing here is state and nothing here decides. What was not, or could not be, read ahead is read when its turn
comes, with the errors that it has then; slices count in the order of their partition. Where nothing waits nothing is
read ahead: the first slice of a quiet hour goes alone. Lives on the event loop; only the work on pixels is elsewhere.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from streams.contracts.errors import MalformedEvent
from streams.contracts.slices import SliceAccepted
from streams.ports import Models
from streams.reading import Ahead, PixelWork

logger = logging.getLogger(__name__)

Place = tuple[int, int]
"""Partition and offset."""

KEPT = 64
"""Places remembered, so that nothing is read ahead twice."""


@dataclass(frozen=True)
class WaitingSlice:
    """A message of ``ct.slices.v1`` as it lies in the buffer: nothing of it has been checked."""

    place: Place
    header: bytes
    pixels: bytes


@dataclass
class ReadAhead:
    """Reads ahead at most ``most`` slices at a time; below two it is off.

    Args:
        executor: the thread on which pixels are worked on; what is read ahead shares it with what is due.
    """

    pixels: PixelWork
    models: Models
    executor: Executor
    most: int
    _known: dict[Place, Ahead | None] = field(default_factory=dict)
    """What was begun, oldest first; None until it is done, where nothing came of it, and once it was taken."""
    _job: "asyncio.Task[None] | None" = None
    _begun: frozenset[Place] = frozenset()

    @property
    def is_free(self) -> bool:
        """Whether something could be begun now: it is on, and nothing is under way."""
        return self.most >= 2 and (self._job is None or self._job.done())

    def begin(self, due: WaitingSlice, waiting: Sequence[WaitingSlice]) -> None:
        """Read ahead of the slice that is due, and it with them, if nothing is under way."""
        if not waiting or not self.is_free:
            return
        fresh = [one for one in (due, *waiting) if one.place not in self._known][: self.most]
        if fresh:
            self._known |= dict.fromkeys((one.place for one in fresh), None)
            for place in list(self._known)[:-KEPT]:
                del self._known[place]
            self._begun = frozenset(one.place for one in fresh)
            self._job = asyncio.create_task(self._read(fresh))

    async def taken(self, place: Place) -> Ahead | None:
        """What was read ahead of a slice; waits where that is under way. Once."""
        if place in self._begun and self._job is not None:
            await asyncio.shield(self._job)
        found = self._known.get(place)
        if found is not None:
            self._known[place] = None
        return found

    async def _read(self, waiting: Sequence[WaitingSlice]) -> None:
        loop, model = asyncio.get_running_loop(), self.models.in_use()
        headers = {one.place: header for one in waiting if (header := _decoded(one)) is not None}
        frames = [(headers[one.place], *one.place, one.pixels) for one in waiting if one.place in headers]
        try:
            found = await loop.run_in_executor(self.executor, self.pixels.read_ahead, model, frames)
        except Exception:
            logger.exception("slices could not be read ahead; each is read when its turn comes")
            return
        done = {(partition, offset): ahead for (_, partition, offset, _), ahead in zip(frames, found, strict=True)}
        self._known |= {place: ahead for place, ahead in done.items() if place in self._known}


def _decoded(waiting: WaitingSlice) -> SliceAccepted | None:
    try:
        return SliceAccepted.decode(waiting.header)
    except MalformedEvent:
        return None
