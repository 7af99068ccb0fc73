"""What the alert service needs from the outside, one to three methods each."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from alerts.messages import Message
from alerts.recipients import ChannelKind
from streams.contracts.event import Event


class Clock(Protocol):
    """Wall-clock time, always in UTC."""

    def now(self) -> datetime: ...


class Channel(Protocol):
    """A way to reach one recipient."""

    kind: ChannelKind
    provider: str
    """What it shares with other channels and fails with: a mail server, a host."""

    def send(self, message: Message) -> None:
        """Return when the far side has accepted the message.

        Raises:
            ChannelError: it has not, or may not have.
        """


class Outlet(Protocol):
    """Where the events of ``triage.alerts.v1`` go."""

    def publish(self, events: list[tuple[str, Event]]) -> int:
        """Publish (key, event) pairs in order; returns how many, from the first on, the broker has confirmed."""


class Stop(Protocol):
    """A request to end that can be waited for (``threading.Event``)."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> bool: ...


Wake = Callable[[], None]
