"""Everything that Apprise speaks to: Teams, Slack, Twilio, Pushover, PagerDuty and a hundred others.

A recipient's addresses are tried in order until one service accepts. Apprise says no more than yes or no; why it was
no is taken from what it logs, of which nothing else is kept: its lines may quote addresses with their secrets.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import apprise

from alerts.channels.webhook import failure_of
from alerts.errors import ChannelBroken, ChannelError, ChannelRefused, ChannelTimedOut, ChannelUnreachable
from alerts.messages import Message, Purpose
from alerts.recipients import ChannelKind, Service

STEP_SECONDS = 4.0
"""To connect, and again for an answer."""

TIMEOUT_SECONDS = 12.0
"""For all of a recipient's services together; shorter than the outbox's lease."""

STATUS = re.compile(r"error[= ](\d{3})\b")
NO_CONNECTION = re.compile(r"connection error", re.IGNORECASE)

URGENT = frozenset({Purpose.ALARM, Purpose.REMINDER, Purpose.HANDED_OVER, Purpose.AMENDED})

LOG = logging.getLogger("apprise")
LOG.propagate = False
LOG.setLevel(logging.WARNING)


class ServicesChannel:
    """Tells one recipient through the first of its services that accepts."""

    kind = ChannelKind.APPRISE

    def __init__(self, services: tuple[Service, ...]) -> None:
        self._services = services
        self.provider = urlsplit(services[0].get_secret_value()).scheme

    def send(self, message: Message) -> None:
        """Deliver: done when a service has accepted.

        Raises:
            ChannelError: none has; the first one's failure.
        """
        failures: list[ChannelError] = []

        def try_each() -> bool:
            for service in self._services:
                failure = told(service, message)
                if failure is None:
                    return True
                failures.append(failure)
            return False

        accepted = within(TIMEOUT_SECONDS, try_each)
        if not accepted:
            raise failures[0] if failures else ChannelTimedOut("no answer in time")


def told(service: Service, message: Message) -> ChannelError | None:
    """Hand the message to one service; None when it accepted."""
    address = f"{service.get_secret_value()}{'&' if '?' in service.get_secret_value() else '?'}"
    asked = apprise.Apprise.instantiate(f"{address}cto={STEP_SECONDS}&rto={STEP_SECONDS}")
    if asked is None:
        return ChannelRefused("the address of the service is not understood any more")
    kind = apprise.NotifyType.WARNING if message.purpose in URGENT else apprise.NotifyType.INFO
    with what_it_says() as said:
        accepted = asked.notify(title=message.headline, body=message.text, notify_type=kind)
    return None if accepted else failure_in(said)


def failure_in(said: list[str]) -> ChannelError:
    """The failure, from Apprise's log lines; nothing of them is repeated but a status."""
    for line in said:
        if (status := STATUS.search(line)) and (failure := failure_of(int(status[1]))):
            return failure
    if any(NO_CONNECTION.search(line) for line in said):
        return ChannelUnreachable("no connection to the service")
    return ChannelBroken("the service did not accept")


@contextmanager
def what_it_says() -> Iterator[list[str]]:
    """The lines that Apprise logs in this thread."""
    said: list[str] = []
    thread = threading.get_ident()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                said.append(record.getMessage())

    listener = Listener(logging.WARNING)
    LOG.addHandler(listener)
    try:
        yield said
    finally:
        LOG.removeHandler(listener)


def within(seconds: float, work: Callable[[], bool]) -> bool:
    """The result of ``work``, in a thread of its own that is left behind when it takes longer; False then."""
    done: list[bool] = []
    broken: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except Exception as error:  # noqa: BLE001 - carried to the caller's thread
            broken.append(error)

    thread = threading.Thread(target=run, name="apprise", daemon=True)
    thread.start()
    thread.join(seconds)
    if broken:
        raise broken[0]
    return bool(done and done[0])
