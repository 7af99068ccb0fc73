"""Who can be told, and how: the recipients file.

A JSON (or YAML) document::

    {"recipients": [
        {"name": "on-call radiologist",
         "email": "oncall@hospital.example",
         "webhook": {"url": "https://pager.hospital.example/tocsin", "secret": "at least 16 characters"}}]}
"""

from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator


class ChannelKind(StrEnum):
    WEBHOOK = "webhook"
    EMAIL = "email"


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


class Recipient(BaseModel):
    """A person, a role or a machine that is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: RecipientName
    webhook: Webhook | None = None
    email: EmailAddress | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not self.channels:
            raise ValueError(f"{self.name!r} has no channel: give a webhook or an email")
        return self

    @property
    def channels(self) -> tuple[ChannelKind, ...]:
        """In the order in which they are tried: all at once, in fact."""
        has = {ChannelKind.WEBHOOK: self.webhook, ChannelKind.EMAIL: self.email}
        return tuple(kind for kind, way in has.items() if way is not None)


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
