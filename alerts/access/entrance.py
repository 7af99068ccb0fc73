"""The ways in."""

from dataclasses import dataclass

from alerts.access.provider import Provider
from alerts.access.signing_in import SignIn


@dataclass(frozen=True)
class Entrance:
    """How people get in."""

    sign_in: SignIn
    provider: Provider | None
    """The hospital's sign-on, where one is configured."""
