"""The ways in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alerts.access.signing_in import SignIn

if TYPE_CHECKING:
    from alerts.access.provider import (
        Provider,  # its libraries are loaded where a sign-on is configured, and only there
    )


@dataclass(frozen=True)
class Entrance:
    """How people get in."""

    sign_in: SignIn
    provider: "Provider | None"
    """The hospital's sign-on, where one is configured."""
