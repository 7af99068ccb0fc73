"""Which channel leads to an address, by the recipients and the settings as they are now."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from alerts.channels.email import EmailChannel, Smtp
from alerts.channels.push import PushChannel, PushService
from alerts.channels.services import ServicesChannel
from alerts.channels.webhook import WebhookChannel
from alerts.errors import ChannelRefused
from alerts.ports import Channel, Clock
from alerts.recipients import Recipient, Recipients
from alerts.store.outbox import Address


@dataclass(frozen=True)
class Switchboard:
    """Every address and its channel."""

    channels: Mapping[Address, Channel]

    @classmethod
    def of(cls, recipients: Recipients | None, smtp: Smtp | None, push: PushService, clock: Clock) -> "Switchboard":
        people = recipients.recipients if recipients else ()
        channels = [channel for person in people for channel in _channels(person, smtp, push, clock)]
        return cls({Address(name, channel.kind): channel for name, channel in channels})

    def __call__(self, address: Address) -> Channel:
        if address not in self.channels:
            raise ChannelRefused("this recipient no longer has this channel")
        return self.channels[address]

    @property
    def providers(self) -> dict[Address, str]:
        """What each address depends on, by channel: a mail server is one thing, a webhook on the same host another."""
        return {address: f"{channel.kind}: {channel.provider}" for address, channel in self.channels.items()}


def _channels(person: Recipient, smtp: Smtp | None, push: PushService, clock: Clock) -> Iterator[tuple[str, Channel]]:
    if person.webhook:
        yield person.name, WebhookChannel(person.webhook, clock)
    if person.push:
        yield person.name, PushChannel(person.name, push)
    if person.services:
        yield person.name, ServicesChannel(person.services)
    if person.email and smtp:
        yield person.name, EmailChannel(smtp, person.email)
