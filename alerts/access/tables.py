"""The tables of accounts, sessions and tokens.

Laws: passwords as argon2id, sessions, tokens and invitations as SHA-256 of random secrets, the second factor sealed,
recovery codes as keyed digests, ID tokens sealed under the session's secret.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from alerts.store.schema import NAME, WORD, Base, Instant

DIGEST = String(64)


class Account(Base):
    """A person who may sign in."""

    __tablename__ = "accounts"
    login: Mapped[str] = mapped_column(NAME, primary_key=True)
    name: Mapped[str] = mapped_column(NAME)
    """As people say it; goes on record when this person acts."""
    roles: Mapped[str] = mapped_column(NAME)
    """Comma-separated."""
    origin: Mapped[str] = mapped_column(WORD)
    subject: Mapped[str | None] = mapped_column(Text, unique=True)
    """Of an account of the hospital's sign-on: ``issuer sub``."""
    password: Mapped[str | None] = mapped_column(Text)
    totp: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_step: Mapped[int] = mapped_column(default=0)
    """The last time step (30 s since 1970) whose code was taken: a code counts once."""
    invitation: Mapped[str | None] = mapped_column(DIGEST, unique=True)
    invited_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]
    disabled_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """What may stand in once for a code of the app."""

    __tablename__ = "recovery_codes"
    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    login: Mapped[str] = mapped_column(ForeignKey("accounts.login", ondelete="CASCADE"), index=True)


class SignedIn(Base):
    """A session."""

    __tablename__ = "sessions"
    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    login: Mapped[str] = mapped_column(ForeignKey("accounts.login", ondelete="CASCADE"), index=True)
    began_at: Mapped[datetime]
    used_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(Instant, index=True)
    id_token: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Of a sign-on, for its provider's sign-out; only the browser's cookie opens it."""


class Token(Base):
    """An API token."""

    __tablename__ = "tokens"
    token_id: Mapped[str] = mapped_column(WORD, primary_key=True)
    name: Mapped[str] = mapped_column(NAME)
    scopes: Mapped[str] = mapped_column(Text)
    """Comma-separated."""
    digest: Mapped[str] = mapped_column(DIGEST)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class Attempts(Base):
    """Failed attempts to sign in, by whom and from where; only digests of these."""

    __tablename__ = "sign_in_attempts"
    subject: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(Instant, index=True)
