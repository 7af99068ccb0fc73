"""The ways in."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from alerts.access.signing_in import SignIn

if TYPE_CHECKING:
    from alerts.access.provider import (
        Provider,  # its libraries are loaded where a sign-on is configured, and only there
    )


class Method(StrEnum):
    """How somebody came in, or wanted to."""

    PASSWORD = "password"  # noqa: S105 - the name of a way in
    SIGN_ON = "sign_on"
    INVITATION = "invitation"


class Outcome(StrEnum):
    """What came of it."""

    SIGNED_IN = "signed_in"
    REFUSED = "refused"
    """Something that was given is wrong, or the account may not enter."""
    MUST_WAIT = "must_wait"
    """Too many attempts: not even looked at."""
    BROKEN = "broken"
    """The provider is away, or the sign-on was not completed."""


@dataclass(frozen=True)
class Entrance:
    """How people get in."""

    sign_in: SignIn
    provider: "Provider | None"
    """The hospital's sign-on, where one is configured."""
