"""What a worker has processed of its partitions, how far the broker says they reach, and what was passed over.

Laws: silence is only what the broker confirms (a partition is heard up to the instant at which it was asked, never up
to now); a partition that waits behind others is not one whose messages were passed over.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streams.broker_view import Place

IDLE_LOOKS = 3
"""A partition whose next message was not delivered between so many looks, though nothing else was either, was passed
over."""

STARVED_SECONDS = 60.0
"""So long no message of a partition comes while others do: it does not wait its turn any more. A round of the
partitions takes a few seconds behind a backlog (16 messages each)."""


@dataclass
class Delivered:
    """What Faust has delivered to an agent: what its stream holds ready, and the message that is being processed."""

    buffered: Callable[[], Sequence[object]]
    working: bool = False

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """While a message is processed, or waits for its turn to be."""
        self.working = True
        try:
            yield
        finally:
            self.working = False

    @property
    def idle(self) -> bool:
        return not self.working and not self.buffered()


@dataclass(frozen=True, slots=True)
class _Standstill:
    """The next offset of a partition, since when it is that (monotonic), and how often nothing was on its way."""

    offset: int
    since: float
    idle_looks: int


@dataclass
class Progress:
    """What this worker has processed."""

    done: dict[Place, int] = field(default_factory=dict)
    """Last offset that was processed since the partitions were assigned."""
    ranges: Mapping[Place, tuple[int, int]] = field(default_factory=dict)
    """First and end offset of each partition, by the broker's account; empty where it did not answer."""
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """Before the broker was asked for them."""
    heard: dict[int, datetime] = field(default_factory=dict)
    """When the last slice was accepted that was processed of each partition."""
    caught_up: dict[int, datetime] = field(default_factory=dict)
    """When nothing waited on a slice partition for the last time."""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the partitions were assigned."""
    last_progress: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When a message was processed, or a part of the work on one was over."""
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    """Partitions are assigned, state is recovered, and it is known where each partition goes on."""
    delivered: dict[str, Delivered] = field(default_factory=dict)
    """By topic, of every topic."""
    _durable: dict[Place, set[int]] = field(default_factory=dict)
    """Offsets whose outcome is durable, from the last that was asked for on."""
    _still: dict[Place, _Standstill] = field(default_factory=dict)

    def told(self, ranges: Mapping[Place, tuple[int, int]], asked_at: datetime) -> None:
        """The broker's answer to a question that was put then."""
        self.ranges, self.asked_at = ranges, asked_at

    def passed_over(self, place: Place, offset: int, now: float) -> bool:
        """Has Faust passed over the next message of a partition on which messages wait? To be asked at every look.

        Args:
            offset: of that message.
            now: monotonic seconds.
        """
        known = self._still.get(place)
        if known is None or known.offset != offset:
            known = _Standstill(offset, now, 0)
        if all(delivered.idle for delivered in self.delivered.values()):  # one consumer brings all, one after the other
            known = _Standstill(offset, known.since, known.idle_looks + 1)
        self._still[place] = known
        return known.idle_looks >= IDLE_LOOKS or now - known.since >= STARVED_SECONDS

    @property
    def ready(self) -> bool:
        return self.resumed.is_set()

    def suspend(self) -> None:
        """State is about to be recovered: what is written until then may be overwritten by what is older."""
        self.resumed.clear()

    def begin(self) -> None:
        """Go on."""
        self.done.clear()
        self.heard.clear()
        self.caught_up.clear()
        self.since = datetime.now(UTC)
        self._still.clear()
        self.resumed.set()

    def moved(self) -> None:
        """A part of a message's work is over, well or badly: many slow parts are no standstill."""
        self.last_progress = datetime.now(UTC)

    def confirmed(self, place: Place, offset: int) -> None:
        """What came of a message is durable."""
        self._durable.setdefault(place, set()).add(offset)

    def durable_until(self, place: Place, start: int) -> int:
        """The first offset from ``start`` on whose outcome is not durable; what is before ``start`` is forgotten."""
        known = self._durable[place] = {offset for offset in self._durable.get(place, ()) if offset >= start}
        end = start
        while end in known:
            end += 1
        return end

    def processed(self, place: Place, offset: int) -> None:
        if not self.ready:
            return  # fetched before the partition was sought: it will be seen again, or fetched
        self.done[place] = max(offset, self.done.get(place, offset))
        self.moved()
