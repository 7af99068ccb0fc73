"""The audit trail: who saw which study when, who signed in, who was given or lost access, on the hash-chained record.

Laws: an entry names the person, never a patient; the same look by the same session is written once per
:data:`SAME_LOOK`, so that a page which keeps itself current does not drown the rest; when the record cannot be written
the look still succeeds, for a doctor at night needs the picture, and goes to the journal instead, loudly.
"""

import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.access.permissions import Permission
from alerts.access.user import User
from alerts.errors import StoreRefused, StoreUnavailable
from alerts.ports import Clock
from alerts.store.database import Database
from alerts.store.record import BATCH, EntryKind, append
from alerts.store.schema import Entry

log = logging.getLogger(__name__)

SAME_LOOK = timedelta(minutes=10)
REMEMBERED = 50_000
"""Looks that are remembered; forgetting one only means that it is written again."""


class Look(StrEnum):
    """How somebody saw a study."""

    LISTED = "listed"
    """As a line of the worklist."""
    OPENED = "opened"
    """Its page or its details."""
    IMAGES = "images"
    """Its pictures or slices."""


class AccessEvent(StrEnum):
    """What is recorded about access itself."""

    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    LOCKED_OUT = "locked_out"
    SIGN_ON_REFUSED = "sign_on_refused"
    RECOVERY_CODE_USED = "recovery_code_used"
    ACCOUNT_ADDED = "account_added"
    ACCOUNT_SET_UP = "account_set_up"
    ACCOUNT_RESET = "account_reset"
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_ENABLED = "account_enabled"
    ROLES_CHANGED = "roles_changed"
    TOKEN_CREATED = "token_created"  # noqa: S105 - a word, no secret
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - likewise


def record_access(session: Session, at: datetime, event: AccessEvent, /, **facts: Any) -> None:
    """Put an event of access on record, in the transaction of what it records."""
    append(session, EntryKind.ACCESS, at, "", {"event": event, **facts})


class Views:
    """Puts looks at studies on record."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._recent: OrderedDict[tuple[str, str, Look, str], datetime] = OrderedDict()
        self._lock = Lock()

    def saw(self, user: User, look: Look, study_keys: Iterable[str]) -> None:
        """This user is being shown these studies. Call it outside any transaction."""
        now = self._clock.now()
        new = self._not_lately(user, look, study_keys, now)
        if not new:
            return
        facts: dict[str, object] = {
            "login": user.login,
            "name": user.name,
            "means": user.means,
            "session": user.session,
            "look": look,
            "identities": user.may(Permission.SEE_IDENTITIES),
        }
        try:
            with self._database.writing() as session:
                if len(new) == 1:
                    append(session, EntryKind.VIEW, now, new[0], facts)
                else:
                    append(session, EntryKind.VIEW, now, "", facts | {"studies": new})
        except (StoreUnavailable, StoreRefused) as error:
            self._forget(user, look, new)
            log.critical("a look at studies is not on record", extra={"look": facts, "studies": new, "why": str(error)})

    def _not_lately(self, user: User, look: Look, study_keys: Iterable[str], now: datetime) -> list[str]:
        """Those that this session has not been seen looking at, now remembered."""
        new = []
        with self._lock:
            for study_key in study_keys:
                mark = (user.login, user.session, look, study_key)
                last = self._recent.get(mark)
                if last is not None and now - last < SAME_LOOK:
                    continue
                self._recent[mark] = now
                self._recent.move_to_end(mark)
                new.append(study_key)
            while len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
        return new

    def _forget(self, user: User, look: Look, study_keys: list[str]) -> None:
        with self._lock:
            for study_key in study_keys:
                self._recent.pop((user.login, user.session, look, study_key), None)


@dataclass(frozen=True)
class Viewed:
    """One look at one study, as it is listed."""

    at: datetime
    study_key: str
    login: str
    name: str
    means: str
    look: str


def views(session: Session, study: str | None = None, login: str | None = None) -> Iterator[Viewed]:
    """Who saw what, oldest first.

    Args:
        study: key of a study, or its first digits.
    """
    rows = select(Entry).where(Entry.kind == EntryKind.VIEW).order_by(Entry.number)
    for entry in session.scalars(rows.execution_options(yield_per=BATCH)):
        facts = json.loads(entry.body)
        if login is not None and facts["login"] != login:
            continue
        for study_key in facts.get("studies", [entry.study_key]):
            if study is None or study_key.startswith(study):
                yield Viewed(entry.at, study_key, facts["login"], facts["name"], facts["means"], facts["look"])
