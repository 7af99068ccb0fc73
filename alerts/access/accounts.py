"""Accounts: added, invited, disabled and listed. An administrator never knows anybody's password.

Laws: every change is on record with who made it; an account is disabled, never deleted, so that the names on record
keep their meaning; an invitation works once, for a limited time, and replaces password and second factor.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts.access import recovery
from alerts.access.permissions import Role
from alerts.access.sessions import end_all, roles_in
from alerts.access.tables import Account
from alerts.access.trail import AccessEvent, record_access
from alerts.errors import AccountRefused

INVITED_FOR = timedelta(hours=72)
INVITATION_BYTES = 24
LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
NAME_CHARACTERS = 80


class Origin(StrEnum):
    LOCAL = "local"
    """Password and second factor are kept here."""
    SIGN_ON = "sign-on"
    """Comes from the hospital's OIDC provider, and brings its roles from there."""


@dataclass(frozen=True)
class AccountView:
    """An account as it is listed."""

    login: str
    name: str
    roles: tuple[Role, ...]
    origin: Origin
    is_set_up: bool
    has_second_factor: bool
    invited_until: datetime | None
    signed_in_at: datetime | None
    disabled_at: datetime | None

    def state(self, now: datetime) -> str:
        if self.disabled_at:
            return "disabled"
        if self.is_set_up:
            return "active"
        return "invited" if self.invited_until and self.invited_until > now else "invitation expired"


def any_account(session: Session) -> bool:
    return session.scalar(select(func.count()).select_from(select(Account.login).limit(1).subquery())) == 1


def every(session: Session) -> list[AccountView]:
    return [view_of(account) for account in session.scalars(select(Account).order_by(Account.login))]


def view_of(account: Account) -> AccountView:
    return AccountView(
        account.login,
        account.name,
        roles_in(account.roles),
        Origin(account.origin),
        account.password is not None or account.origin == Origin.SIGN_ON,
        account.totp is not None,
        account.invited_until,
        account.signed_in_at,
        account.disabled_at,
    )


def add(session: Session, login: str, name: str, roles: Iterable[Role], now: datetime, by: str) -> str:
    """Make an account; returns the invitation by which its owner sets it up.

    Raises:
        AccountRefused: the login is taken or malformed, the name is none, or there is no role.
    """
    if not LOGIN.fullmatch(login):
        raise AccountRefused("A login has 1 to 64 small letters, digits, dots, dashes, underscores or @.")
    if session.get(Account, login):
        raise AccountRefused(f"There is an account {login} already.")
    account = Account(
        login=login, name=checked_name(name), roles=_joined(roles), origin=Origin.LOCAL, totp_step=0, created_at=now
    )
    session.add(account)
    invitation = _invite(account, now)
    record_access(session, now, AccessEvent.ACCOUNT_ADDED, login=login, name=account.name, roles=account.roles, by=by)
    return invitation


def reset(session: Session, login: str, now: datetime, by: str) -> str:
    """Password and second factor are worth nothing any more; returns a new invitation.

    Raises:
        AccountRefused: no such account, or it is not kept here.
    """
    account = held(session, login)
    if account.origin != Origin.LOCAL:
        raise AccountRefused(f"{login} signs in with the hospital's sign-on; reset it there.")
    account.password = account.totp = None
    recovery.forget(session, login)
    end_all(session, login)
    record_access(session, now, AccessEvent.ACCOUNT_RESET, login=login, by=by)
    return _invite(account, now)


def disable(session: Session, login: str, now: datetime, by: str) -> None:
    """Nobody signs in with it any more, and who is signed in is no longer."""
    account = held(session, login)
    account.disabled_at = account.disabled_at or now
    account.invitation = account.invited_until = None
    end_all(session, login)
    record_access(session, now, AccessEvent.ACCOUNT_DISABLED, login=login, by=by)


def enable(session: Session, login: str, now: datetime, by: str) -> None:
    held(session, login).disabled_at = None
    record_access(session, now, AccessEvent.ACCOUNT_ENABLED, login=login, by=by)


def set_roles(session: Session, login: str, roles: Iterable[Role], now: datetime, by: str) -> None:
    account = held(session, login)
    if account.origin != Origin.LOCAL:
        raise AccountRefused(f"{login} brings its roles from the hospital's sign-on; change them there.")
    account.roles = _joined(roles)
    record_access(session, now, AccessEvent.ROLES_CHANGED, login=login, roles=account.roles, by=by)


def held(session: Session, login: str) -> Account:
    """The account, held until the end of the transaction.

    Raises:
        AccountRefused: there is none.
    """
    account = session.get(Account, login, with_for_update=True)
    if account is None:
        raise AccountRefused(f"There is no account {login}.")
    return account


def invited(session: Session, invitation: str, now: datetime) -> Account | None:
    """Whose invitation this is, while it is good."""
    found = select(Account).where(Account.invitation == digest_of(invitation)).with_for_update()
    account = session.scalars(found).one_or_none()
    good = account and account.disabled_at is None and account.invited_until and account.invited_until > now
    return account if good else None


def checked_name(name: str) -> str:
    """Raises: AccountRefused: empty, too long, or with characters that do not print."""
    words = " ".join(name.split())
    if not 0 < len(words) <= NAME_CHARACTERS or not words.isprintable():
        raise AccountRefused(f"A name has 1 to {NAME_CHARACTERS} printable characters.")
    return words


def digest_of(invitation: str) -> str:
    return hashlib.sha256(invitation.encode()).hexdigest()


def _invite(account: Account, now: datetime) -> str:
    invitation = secrets.token_urlsafe(INVITATION_BYTES)
    account.invitation, account.invited_until = digest_of(invitation), now + INVITED_FOR
    return invitation


def _joined(roles: Iterable[Role]) -> str:
    chosen = sorted(set(roles))
    if not chosen:
        raise AccountRefused("An account needs at least one role: doctor, admin or ops.")
    return ",".join(chosen)
