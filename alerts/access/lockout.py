"""How long somebody who guesses has to wait.

Three counts: of a login from one address, of a login from anywhere, of an address whatever the login. The first locks
soon and hurts only whoever sits there; the other two leave room for a ward that mistypes. A locked account can still
acknowledge by the link in its message: nobody can silence the bell by guessing.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from alerts.access.tables import Attempts
from alerts.store.studies import insert_missing

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Subject:
    """Something whose failures are counted."""

    digest: str
    free: int
    """Failures before the first wait."""


def subjects_of(login: str, address: str) -> tuple[Subject, ...]:
    """What an attempt counts against; as digests, for a password is sometimes typed in the place of the name."""
    who = login.casefold()
    return (
        Subject(_digest("pair", who, address), 5),
        Subject(_digest("login", who), 50),
        Subject(_digest("address", address), 50),
    )


def wait_after(failures: int, free: int) -> timedelta:
    """Doubling from the first failure that is not free, up to the longest."""
    if failures < free:
        return timedelta(0)
    doublings = min(failures - free, 16)
    return min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)


@dataclass(frozen=True)
class Count:
    """Where an attempt stands."""

    wait: timedelta
    """Zero: go ahead."""
    locks: bool
    """Its failure begins a wait."""


def count_attempt(session: Session, subjects: tuple[Subject, ...], now: datetime) -> Count:
    """Count an attempt before it is made, so that many at once gain nothing.

    While somebody has to wait nothing is counted, or a lock would never end.
    """
    rows: list[tuple[Attempts, int]] = []
    for subject in sorted(subjects, key=lambda s: s.digest):
        insert_missing(session, Attempts, subject=subject.digest, failures=0, last_at=now)
        row = session.scalars(select(Attempts).where(Attempts.subject == subject.digest).with_for_update()).one()
        rows.append((row, subject.free))
    wait = max(row.last_at + wait_after(row.failures, free) - now for row, free in rows)
    if wait > timedelta(0):
        return Count(wait, False)
    for row, _ in rows:
        row.failures, row.last_at = row.failures + 1, now
    return Count(timedelta(0), any(row.failures == free for row, free in rows))


def forgive(session: Session, subjects: tuple[Subject, ...], now: datetime) -> None:
    """It was the right password after all; what came from the address stays counted less this one."""
    pair, login, address = subjects
    session.execute(delete(Attempts).where(Attempts.last_at < now - FORGOTTEN_AFTER))
    session.execute(delete(Attempts).where(Attempts.subject.in_((pair.digest, login.digest))))
    row = session.get(Attempts, address.digest, with_for_update=True)
    if row:
        row.failures = max(0, row.failures - 1)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
