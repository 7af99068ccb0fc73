"""The record: every decision and everything that was done about it, append-only and hash-chained.

``hash(n) = SHA-256(hash(n-1) || number || at || kind || study_key || body)`` with ``hash(0)`` 64 zeros, each part as
UTF-8 behind its length. Changing, removing or inserting an entry breaks every hash after it; cutting off the end
contradicts the head. Who can write the whole database can forge the whole chain: so the head's hash goes to the
journal regularly, out of this database's reach.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.store.schema import EPOCH, MICROSECOND, Entry, RecordHead
from alerts.store.studies import insert_missing

START_HASH = "0" * 64
HEAD = "head"
BATCH = 1000


class EntryKind(StrEnum):
    DECISION = "decision"
    """A finding, what it rests on, and what was decided about it."""
    FEEDBACK = "feedback"
    """What a doctor saw in the images."""
    ALERT = "alert"
    """Something in the life of an alert: who was told, who answered."""
    ROTA = "rota"
    """Another version of the on-call document came into force, by whom."""
    VIEW = "view"
    """Somebody was shown studies."""
    ACCESS = "access"
    """Sign-ins, and changes of accounts and tokens."""


def append(session: Session, kind: EntryKind, at: datetime, study_key: str, facts: dict[str, object]) -> None:
    """Add an entry, in the transaction of what it records."""
    insert_missing(session, RecordHead, name=HEAD, number=0, hash=START_HASH)
    head = session.scalars(select(RecordHead).where(RecordHead.name == HEAD).with_for_update()).one()
    body = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    entry = Entry(number=head.number + 1, at=at, kind=kind, study_key=study_key, body=body)
    entry.hash = chained(head.hash, entry)
    session.add(entry)
    head.number, head.hash = entry.number, entry.hash


def chained(previous: str, entry: Entry) -> str:
    """The hash of an entry behind the one whose hash is ``previous``."""
    instant = str((entry.at - EPOCH) // MICROSECOND)
    digest = hashlib.sha256()
    for part in (previous, str(entry.number), instant, entry.kind, entry.study_key, entry.body):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


@dataclass(frozen=True)
class Verification:
    entries: int
    head: str
    broken_at: int | None
    """The first entry that does not fit; one past the last where the end is missing."""


def verify(session: Session) -> Verification:
    """Walk the whole chain."""
    hash_so_far, number = START_HASH, 0
    for entry in _entries(session):
        number += 1
        if entry.number != number or entry.hash != chained(hash_so_far, entry):
            return Verification(number - 1, hash_so_far, number)
        hash_so_far = entry.hash
    head = session.get(RecordHead, HEAD)
    whole = (head.number, head.hash) == (number, hash_so_far) if head else number == 0
    return Verification(number, hash_so_far, None if whole else number + 1)


def head_of(session: Session) -> tuple[int, str]:
    """Number and hash of the last entry."""
    head = session.get(RecordHead, HEAD)
    return (head.number, head.hash) if head else (0, START_HASH)


def _entries(session: Session) -> Iterable[Entry]:
    return session.scalars(select(Entry).order_by(Entry.number).execution_options(yield_per=BATCH))
