"""Signing in and out, and setting an account up: each in its transactions, with what goes on record.

Laws: an attempt is counted before it is made; the answer to a wrong login, password or code is the same sentence in the
same time.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.access import recovery, sessions
from alerts.access.accounts import Origin, any_account, checked_name, digest_of, invited
from alerts.access.lockout import count_attempt, forgive, subjects_of
from alerts.access.passwords import check_new, fits, hashed, is_outdated
from alerts.access.second_factor import Sealer, enrolment_uri, step_of
from alerts.access.sessions import DIGEST_SHOWN, Lifetime
from alerts.access.sign_on import Person
from alerts.access.tables import Account
from alerts.access.trail import AccessEvent, record_access
from alerts.errors import CodeRefused, InvitationRefused, SignInRefused, TriedTooOften
from alerts.ports import Clock
from alerts.store.database import Database

log = logging.getLogger(__name__)

WRONG = "Login, password or code is wrong. A code counts once: if you have just used this one, wait for the next."
NOT_INVITED = "This invitation has been used or has expired. Ask for another one."
LONGEST_FIELD = 256
SUBJECT_DIGITS = 6


@dataclass(frozen=True)
class Enrolment:
    """What the page behind an invitation shows."""

    login: str
    name: str
    secret: str
    uri: str
    recovery_codes: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """A session that somebody has ended."""

    origin: Origin
    """Of the account."""
    id_token: str | None = field(default=None, repr=False)
    """Of the sign-on that it came from."""


@dataclass(frozen=True)
class SignIn:
    database: Database
    clock: Clock
    sealer: Callable[[], Sealer]
    lifetime: Lifetime
    needs_second_factor: bool = True

    def with_password(self, login: str, password: str, code: str, address: str) -> str:
        """Returns the session's secret.

        Raises:
            SignInRefused: wrong.
            TriedTooOften: not even looked at.
        """
        now = self.clock.now()
        login = login.strip().casefold()[:LONGEST_FIELD]
        subjects = subjects_of(login, address)
        with self.database.writing() as session:
            count = count_attempt(session, subjects, now)
        if count.wait > timedelta(0):
            raise TriedTooOften(f"Too many attempts. Try again in {_span(count.wait)}.", count.wait.total_seconds())
        with self.database.reading() as session:
            account = session.get(Account, login)
        right = fits(password, account.password if account else None)  # slow on purpose: outside any transaction
        with self.database.writing() as session:
            account = session.get(Account, login, with_for_update=True)
            if account and right and self._takes(session, account, code, now):
                forgive(session, subjects, now)
                if account.password and is_outdated(account.password):
                    account.password = hashed(password)
                return self._begin(session, account, Origin.LOCAL, now)
            if count.locks:
                known = account.login if account else None
                record_access(session, now, AccessEvent.LOCKED_OUT, login=known, address=address)
        log.warning("a sign-in was refused", extra={"address": address, "locks": count.locks})
        raise SignInRefused(WRONG)

    def enrolment(self, invitation: str) -> Enrolment:
        """Raises: InvitationRefused: used, expired, or never given."""
        with self.database.reading() as session:
            account = invited(session, invitation, self.clock.now())
        if account is None:
            raise InvitationRefused(NOT_INVITED)
        secret = self.sealer().secret_for(invitation)
        codes = self.sealer().recovery_codes(invitation)
        return Enrolment(account.login, account.name, secret, enrolment_uri(secret, account.login), codes)

    def set_up(self, invitation: str, password: str, code: str) -> str:
        """The owner of an account chooses a password and shows that the app is set up; returns the session's secret.

        Raises:
            InvitationRefused, PasswordRefused, CodeRefused: nothing was changed.
        """
        now = self.clock.now()
        check_new(password, self.enrolment(invitation).login)
        secret = self.sealer().secret_for(invitation)
        step = step_of(secret, code, now, 0)
        skipped = not code.strip() and not self.needs_second_factor
        if step is None and not skipped:
            raise CodeRefused("This is not the code that the app shows now. Look at the clock of your phone.")
        kept = hashed(password)
        with self.database.writing() as session:
            account = invited(session, invitation, now)
            if account is None:
                raise InvitationRefused(NOT_INVITED)
            account.password = kept
            account.totp = None if skipped else self.sealer().seal(secret, account.login)
            account.totp_step = step or 0
            recovery.keep(session, account.login, () if skipped else self._recovery_digests(invitation, account.login))
            account.invitation = account.invited_until = None
            sessions.end_all(session, account.login)
            facts = {"login": account.login, "second_factor": not skipped}
            record_access(session, now, AccessEvent.ACCOUNT_SET_UP, **facts)
            return self._begin(session, account, Origin.LOCAL, now)

    def with_sign_on(self, person: Person, id_token: str | None = None) -> str:
        """The hospital's sign-on has vouched for somebody; returns the session's secret.

        Raises:
            SignInRefused: no role, or disabled here.
        """
        now = self.clock.now()
        with self.database.writing() as session:
            account = _account_of(session, person, now)
            if account is not None and account.disabled_at is None:
                account.name, account.roles = person.name, ",".join(sorted(person.roles))
                return self._begin(session, account, Origin.SIGN_ON, now, id_token)
            why = "has no role here" if account is None else "is disabled here"
            record_access(session, now, AccessEvent.SIGN_ON_REFUSED, login=person.login, why=why)
        raise SignInRefused(f"The hospital's sign-on knows you as {person.login}, but this account {why}.")

    def recovery_codes_left(self, login: str) -> int | None:
        """None for an account whose second factor is not kept here, or that has none."""
        with self.database.reading() as session:
            account = session.get(Account, login)
            return recovery.left(session, login) if account and account.totp else None

    def any_account(self) -> bool:
        with self.database.reading() as session:
            return any_account(session)

    def out(self, secret: str) -> Ended | None:
        """The session ends; None where there was none."""
        now = self.clock.now()
        with self.database.writing() as session:
            found = sessions.find(session, secret, now, self.lifetime)
            if found:
                facts = {"login": found.user.login, "session": found.user.session}
                record_access(session, now, AccessEvent.SIGNED_OUT, **facts)
            id_token = sessions.end(session, secret)
            account = session.get(Account, found.user.login) if found else None
            return Ended(Origin(account.origin), id_token) if account else None

    def _takes(self, session: Session, account: Account, code: str, now: datetime) -> bool:
        """Whether an account whose password was right may be entered with this code."""
        if account.disabled_at is not None:
            return False
        if account.totp is None:
            return not self.needs_second_factor
        secret = self.sealer().open(account.totp, account.login)
        if secret is None:
            log.error("a second factor was sealed under another key: reset the account", extra={"login": account.login})
            return False
        step = step_of(secret, code, now, account.totp_step)
        if step is None:
            return self._recovers(session, account, code, now)
        account.totp_step = step
        return True

    def _recovers(self, session: Session, account: Account, code: str, now: datetime) -> bool:
        """Whether this is one of the recovery codes that are left."""
        if not recovery.spend(session, account.login, self.sealer().recovery_digest(code, account.login)):
            return False
        left = recovery.left(session, account.login)
        record_access(session, now, AccessEvent.RECOVERY_CODE_USED, login=account.login, left=left)
        return True

    def _recovery_digests(self, invitation: str, login: str) -> list[str]:
        sealer = self.sealer()
        return [sealer.recovery_digest(code, login) for code in sealer.recovery_codes(invitation)]

    def _begin(
        self, session: Session, account: Account, method: Origin, now: datetime, id_token: str | None = None
    ) -> str:
        secret = sessions.begin(session, account.login, now, self.lifetime, id_token)
        account.signed_in_at = now
        shown = sessions.digest_of(secret)[:DIGEST_SHOWN]
        record_access(session, now, AccessEvent.SIGNED_IN, login=account.login, session=shown, method=method)
        return secret


def _account_of(session: Session, person: Person, now: datetime) -> Account | None:
    """The account of somebody from the sign-on, made at the first time; None for somebody new who has no role."""
    subject = f"{person.issuer} {person.subject}"
    found = session.scalars(select(Account).where(Account.subject == subject).with_for_update()).one_or_none()
    if not person.roles:
        if found:
            sessions.end_all(session, found.login)
        return None
    if found:
        return found
    account = Account(
        login=_free_login(session, person.login, subject),
        name=checked_name(person.name),
        roles="",
        origin=Origin.SIGN_ON,
        subject=subject,
        totp_step=0,
        created_at=now,
    )
    session.add(account)
    session.flush()
    return account


def _free_login(session: Session, wanted: str, subject: str) -> str:
    """A local account of the same name, or an earlier person's, stays whose it is."""
    login = wanted.casefold()
    return f"{login}-{digest_of(subject)[:SUBJECT_DIGITS]}" if session.get(Account, login) else login


def _span(wait: timedelta) -> str:
    seconds = max(1, round(wait.total_seconds()))
    return f"{seconds} seconds" if seconds < 120 else f"{round(seconds / 60)} minutes"
