"""Who can be told, and how: the recipients file.

A JSON (or YAML) document::

    {"recipients": [
        {"name": "on-call radiologist",
         "email": "oncall@hospital.example",
         "webhook": {"url": "https://pager.hospital.example/tocsin", "secret": "at least 16 characters"},
         "push": true,
         "services": ["msteams://…", "twilio://…"],
         "in_turn": ["push", "email"],
         "phone": "044 555 10 00"}]}

``services`` are Apprise addresses, tried in order until one accepts. ``push`` is for the browsers that this person
subscribes on the page. All channels are used at once, but for those that stand in ``in_turn``: there each is used when
the one before it has failed.
"""

from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Self
from urllib.parse import urlsplit

import apprise
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)


class ChannelKind(StrEnum):
    WEBHOOK = "webhook"
    PUSH = "push"
    APPRISE = "apprise"
    EMAIL = "email"

    @property
    def speaks_to_people(self) -> bool:
        """Whether somebody reads the messages; a webhook's far side is a program, which joins alerts itself."""
        return self is not ChannelKind.WEBHOOK


RecipientName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s<>,;:\"\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,253}$")]

SECRET_CHARACTERS = 16
"""The least length of a webhook's secret."""


class Webhook(BaseModel):
    """Where to POST, and the secret that signs the body."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    secret: SecretStr

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("must be an http or https address without a user name")
        return url

    @field_validator("secret")
    @classmethod
    def _long(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < SECRET_CHARACTERS:
            raise ValueError(f"must have at least {SECRET_CHARACTERS} characters")
        return secret


def _service(address: SecretStr) -> SecretStr:
    try:
        understood = apprise.Apprise.instantiate(address.get_secret_value())
    except Exception:  # noqa: BLE001 - each of the library's services raises what it likes
        understood = None
    if understood is None:
        scheme = address.get_secret_value().partition("://")[0]
        raise ValueError(f"an address that begins with {scheme[:20]!r} is none that Apprise understands")
    return address


Service = Annotated[SecretStr, AfterValidator(_service)]
"""An Apprise address, such as ``msteams://…``: it holds secrets."""


class Recipient(BaseModel):
    """A person, a role or a machine that is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: RecipientName
    user: RecipientName | None = None
    """The login of this person, where it is not the name."""
    webhook: Webhook | None = None
    email: EmailAddress | None = None
    push: bool = False
    services: tuple[Service, ...] = ()
    in_turn: tuple[ChannelKind, ...] = ()
    """Channels of which one is used when the one before it has failed."""
    phone: str | None = Field(default=None, max_length=40)
    """A number for people to call, shown with the rota; nothing is sent to it."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.channels:
            raise ValueError(f"{self.name!r} has no channel: give a webhook, an email, push or services")
        if strangers := set(self.in_turn) - set(self.channels):
            raise ValueError(f"{self.name!r} has no channel {min(strangers)} to be used in turn")
        return self

    @property
    def channels(self) -> tuple[ChannelKind, ...]:
        """All there are."""
        has = {
            ChannelKind.WEBHOOK: self.webhook,
            ChannelKind.PUSH: self.push,
            ChannelKind.APPRISE: self.services,
            ChannelKind.EMAIL: self.email,
        }
        return tuple(kind for kind, way in has.items() if way)

    @property
    def first_channels(self) -> tuple[ChannelKind, ...]:
        """Those that are used at once."""
        return tuple(kind for kind in self.channels if kind not in self.in_turn[1:])

    def after(self, kind: ChannelKind) -> ChannelKind | None:
        """The channel to turn to when this one has failed; None when none is left."""
        return dict(pairwise(self.in_turn)).get(kind)


class Recipients(BaseModel):
    """Everybody who can be told; never nobody."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipients: tuple[Recipient, ...] = Field(min_length=1)

    @field_validator("recipients")
    @classmethod
    def _distinct(cls, recipients: tuple[Recipient, ...]) -> tuple[Recipient, ...]:
        names = [recipient.name for recipient in recipients]
        if len(set(names)) != len(names):
            raise ValueError("two recipients have the same name")
        return recipients

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(recipient.name for recipient in self.recipients)

    def named(self, name: str) -> Recipient | None:
        return next((r for r in self.recipients if r.name == name), None)
