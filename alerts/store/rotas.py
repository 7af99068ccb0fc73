"""The versions of the on-call document: only ever added to; the newest is in force, for every instance."""

import hashlib
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts.errors import RotaChanged
from alerts.store.record import EntryKind, append
from alerts.store.schema import RotaVersion
from alerts.store.studies import insert_missing

LISTED = 50


def newest_number(session: Session) -> int:
    """The number of the version in force; 0 where there is none."""
    return session.scalar(select(func.max(RotaVersion.number))) or 0


def version(session: Session, number: int) -> RotaVersion | None:
    return session.get(RotaVersion, number)


def versions(session: Session) -> list[RotaVersion]:
    """The last versions, newest first."""
    return list(session.scalars(select(RotaVersion).order_by(RotaVersion.number.desc()).limit(LISTED)))


def save(session: Session, text: str, by: str, now: datetime, after: int) -> int:
    """Put a version in force; returns its number.

    Args:
        after: the version that was edited, 0 for none.

    Raises:
        RotaChanged: that is not the newest any more; nothing was saved.
    """
    return _add(session, text, by, now, after, from_file=False)


def adopt_file(session: Session, text: str, now: datetime) -> int | None:
    """Put the site's file in force if it is not the one that was last adopted: what was written on the page since
    then is not undone by a restart. Returns the new version's number."""
    last = session.scalar(
        select(RotaVersion.text).where(RotaVersion.from_file).order_by(RotaVersion.number.desc()).limit(1)
    )
    if last == text:
        return None
    return _add(session, text, "the on-call file", now, newest_number(session), from_file=True)


def _add(session: Session, text: str, by: str, now: datetime, after: int, *, from_file: bool) -> int:
    number = after + 1
    added = newest_number(session) == after and insert_missing(
        session, RotaVersion, number=number, text=text, saved_at=now, saved_by=by, from_file=from_file
    )
    if not added:
        raise RotaChanged("Somebody else has saved another version in the meantime.")
    facts = {"version": number, "by": by, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    append(session, EntryKind.ROTA, now, "", facts)
    return number
