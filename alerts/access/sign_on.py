"""How the hospital's single sign-on is set up, and what its claims mean here.

Law: the provider says who somebody is, our table of groups says what that person may do; who is in none of them gets in
nowhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from alerts.access.permissions import Role

CALLBACK = "/sign-in/sso/callback"
"""Where the provider sends people back to; to be registered there."""

AFTER_SIGN_OUT = "/sign-in"
"""Where the provider sends people back to after they have signed out there; to be registered there as well."""

FLOW_SECONDS = 600
"""How long somebody may take at the provider."""

LOGIN_CHARACTERS = 100
NAME_CHARACTERS = 80

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


@dataclass(frozen=True)
class Person:
    """Somebody whom the hospital's sign-on vouches for."""

    issuer: str
    subject: str
    login: str
    name: str
    roles: tuple[Role, ...]


class SignOn(BaseModel):
    """The provider, as set in ``TOCSIN_ALERTS_SIGN_ON`` (JSON)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Text
    """As in its metadata; ``/.well-known/openid-configuration`` is below it."""
    client_id: Text
    client_secret_file: Path | None = None
    """Without it we are a public client, safe by PKCE alone."""
    scopes: Text = "openid profile email"
    roles_claim: Text = "groups"
    """Claim with the groups; dots lead into objects, as in ``realm_access.roles``."""
    roles: dict[str, tuple[Role, ...]] = Field(min_length=1)
    """What each group may be here."""
    login_claim: Text = "preferred_username"
    name_claim: Text = "name"
    label: Text = "hospital account"
    """Words on the button."""

    @field_validator("issuer")
    @classmethod
    def _safe(cls, value: str) -> str:
        parts = urlsplit(value)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (local and parts.scheme == "http"):
            raise ValueError("must begin with https://")
        return value.rstrip("/")

    @field_validator("roles", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """One role may be given without a list."""
        if not isinstance(value, Mapping):
            return value
        return {group: [roles] if isinstance(roles, str) else roles for group, roles in value.items()}

    def roles_of(self, claims: Mapping[str, Any]) -> tuple[Role, ...]:
        """What the groups in these claims come to."""
        found: Any = claims
        for part in self.roles_claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        groups = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return tuple(sorted({role for group in groups for role in self.roles.get(str(group), ())}))

    def person(self, claims: Mapping[str, Any]) -> Person:
        """Who these checked claims are about."""
        subject = str(claims["sub"])
        login = _printable(claims.get(self.login_claim) or claims.get("email") or subject)[:LOGIN_CHARACTERS]
        name = _printable(claims.get(self.name_claim) or login)[:NAME_CHARACTERS]
        return Person(self.issuer, subject, login, name, self.roles_of(claims))


def _printable(claim: object) -> str:
    return "".join(c for c in " ".join(str(claim).split()) if c.isprintable())
