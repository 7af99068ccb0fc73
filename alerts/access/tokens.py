"""API tokens: for programs, with scopes and an end; shown once, kept as a digest.

A token is ``tocsin_<id>_<secret>``: the id finds the row, the prefix lets secret scanners find a leaked one.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from alerts.access.permissions import Permission
from alerts.access.tables import Token
from alerts.access.user import Means, User
from alerts.errors import TokenRefused

ID_BYTES = 6
SECRET_BYTES = 32
LONGEST_DAYS = 366
SHAPE = re.compile(r"tocsin_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
NAME_SHAPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")

NOT_FOR_TOKENS = frozenset({Permission.MANAGE_ACCESS})
"""A leaked token must not make others."""

USED_AGAIN_AFTER = timedelta(minutes=1)


@dataclass(frozen=True)
class TokenView:
    """A token as it is listed."""

    token_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    used_at: datetime | None

    def state(self, now: datetime) -> str:
        return "revoked" if self.revoked_at else "expired" if self.expires_at <= now else "valid"


@dataclass(frozen=True)
class Found:
    token_id: str
    user: User
    use_is_old: bool


def create(session: Session, name: str, scopes: Iterable[Permission], days: int, now: datetime) -> str:
    """Make a token; what is returned is its only copy.

    Raises:
        TokenRefused: a name in use, no scope, one that tokens do not get, or too long a life.
    """
    wanted = sorted(set(scopes))
    if not NAME_SHAPE.fullmatch(name):
        raise TokenRefused("A token's name has 1 to 80 letters, digits, spaces, dots, dashes or underscores.")
    if not wanted or NOT_FOR_TOKENS & set(wanted):
        raise TokenRefused("A token needs scopes, and none may be access:write: tokens make no tokens.")
    if not 1 <= days <= LONGEST_DAYS:
        raise TokenRefused(f"A token lives between 1 and {LONGEST_DAYS} days.")
    in_use = select(func.count()).where(Token.name == name, Token.revoked_at.is_(None), Token.expires_at > now)
    if session.scalar(in_use):
        raise TokenRefused(f"There is a valid token {name!r} already. Revoke it, or take another name.")
    token_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    session.add(
        Token(
            token_id=token_id,
            name=name,
            scopes=",".join(wanted),
            digest=_digest(secret),
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    return f"tocsin_{token_id}_{secret}"


def find(session: Session, text: str, now: datetime) -> Found | None:
    """Whose token this is, if it is still good."""
    shape = SHAPE.fullmatch(text)
    token = session.get(Token, shape[1]) if shape else None
    if shape is None or token is None or not hmac.compare_digest(token.digest, _digest(shape[2])):
        return None
    if token.revoked_at is not None or token.expires_at <= now:
        return None
    user = User(token.token_id, token.name, _permissions(token.scopes), Means.TOKEN, token.token_id)
    return Found(token.token_id, user, token.used_at is None or token.used_at + USED_AGAIN_AFTER <= now)


def use(session: Session, token_id: str, now: datetime) -> None:
    session.execute(update(Token).where(Token.token_id == token_id).values(used_at=now))


def revoke(session: Session, name_or_id: str, now: datetime) -> int:
    """Make it worth nothing; returns how many there were.

    Raises:
        TokenRefused: there is no valid one of this name or id.
    """
    valid = select(Token).where(
        (Token.name == name_or_id) | (Token.token_id == name_or_id), Token.revoked_at.is_(None), Token.expires_at > now
    )
    found = session.scalars(valid).all()
    if not found:
        raise TokenRefused(f"There is no valid token {name_or_id!r}.")
    for token in found:
        token.revoked_at = now
    return len(found)


def every(session: Session) -> list[TokenView]:
    """All tokens that ever were, the newest first."""
    return [
        TokenView(t.token_id, t.name, tuple(t.scopes.split(",")), t.created_at, t.expires_at, t.revoked_at, t.used_at)
        for t in session.scalars(select(Token).order_by(Token.created_at.desc()))
    ]


def _permissions(text: str) -> frozenset[Permission]:
    return frozenset(Permission(word) for word in text.split(",") if word in set(Permission)) - NOT_FOR_TOKENS


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
