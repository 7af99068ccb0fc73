"""Sessions: kept in the store under the digest of a random secret that only the browser's cookie holds.

Laws: a session ends a fixed time after the sign-in, and when it has not been used for a while; only what a human does
uses it (opening a page, pressing a button), not the page that keeps itself current; roles are read anew each time,
and a disabled account's sessions are worth nothing at once.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from alerts.access.permissions import Role, permissions_of
from alerts.access.tables import Account, SignedIn
from alerts.access.user import Means, User

SECRET_BYTES = 32
NONCE_BYTES = 12
DIGEST_SHOWN = 12
"""Hex digits of the session's digest that go on record: they tell sessions apart and open nothing."""

USED_AGAIN_AFTER = timedelta(minutes=1)
"""The time of the last use is written no more often than this."""


@dataclass(frozen=True)
class Lifetime:
    """How long a session may last."""

    whole: timedelta = timedelta(hours=12)
    idle: timedelta = timedelta(hours=2)


@dataclass(frozen=True)
class Found:
    """A session that is good now."""

    digest: str
    user: User
    use_is_old: bool


def begin(session: Session, login: str, now: datetime, lifetime: Lifetime, id_token: str | None = None) -> str:
    """Make a session; returns the secret for the cookie. ``id_token``: of the sign-on that it comes from."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    session.execute(delete(SignedIn).where(SignedIn.ends_at < now))
    session.add(
        SignedIn(
            digest=digest_of(secret),
            login=login,
            began_at=now,
            used_at=now,
            ends_at=now + lifetime.whole,
            id_token=_sealed(id_token, secret) if id_token else None,
        )
    )
    return secret


def find(session: Session, secret: str, now: datetime, lifetime: Lifetime) -> Found | None:
    """The session of this secret, if it still lasts."""
    row = session.execute(
        select(SignedIn, Account).join(Account).where(SignedIn.digest == digest_of(secret))
    ).one_or_none()
    if row is None:
        return None
    signed_in, account = row
    if account.disabled_at is not None or signed_in.ends_at <= now or signed_in.used_at + lifetime.idle <= now:
        return None
    user = User(
        account.login,
        account.name,
        permissions_of(roles_in(account.roles)),
        Means.SESSION,
        signed_in.digest[:DIGEST_SHOWN],
    )
    return Found(signed_in.digest, user, signed_in.used_at + USED_AGAIN_AFTER <= now)


def use(session: Session, digest: str, now: datetime) -> None:
    session.execute(update(SignedIn).where(SignedIn.digest == digest).values(used_at=now))


def end(session: Session, secret: str) -> str | None:
    """Returns the ID token of the sign-on that it came from, if there is one."""
    row = session.get(SignedIn, digest_of(secret))
    id_token = _opened(row.id_token, secret) if row is not None and row.id_token else None
    session.execute(delete(SignedIn).where(SignedIn.digest == digest_of(secret)))
    return id_token


def end_all(session: Session, login: str) -> None:
    session.execute(delete(SignedIn).where(SignedIn.login == login))


def _sealed(id_token: str, secret: str) -> bytes:
    """The store alone, or a copy of it, cannot open it: it has no more than the secret's digest."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + _cipher(secret).encrypt(nonce, id_token.encode(), None)


def _opened(sealed: bytes, secret: str) -> str | None:
    try:
        return _cipher(secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None).decode()
    except InvalidTag:  # damaged in the store: a sign-out works without it
        return None


def _cipher(secret: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), SECRET_BYTES, salt=None, info=b"tocsin id token").derive(secret.encode()))


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def roles_in(text: str) -> tuple[Role, ...]:
    """Roles as the database keeps them; one that this version does not know gives nothing."""
    return tuple(Role(word) for word in text.split(",") if word in set(Role))
