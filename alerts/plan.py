"""The plan that is in force: the on-call document of the newest version, taken up by every instance within a second.

Laws: a document that cannot be read never replaces one that can; without any document everybody is rung; whatever
stands in it, a ring reaches somebody (:mod:`alerts.escalation`).
"""

import logging
from datetime import datetime, timedelta
from typing import Any

import yaml
from pydantic import ValidationError

from alerts.errors import RotaRefused
from alerts.escalation import Escalation, Ring, RingByPolicy, RingEveryone
from alerts.oncall import Matter, OnCall
from alerts.ports import Clock
from alerts.recipients import Recipients
from alerts.rota import Problem, problems
from alerts.store import rotas
from alerts.store.database import Database

log = logging.getLogger(__name__)


def read_document(text: str) -> OnCall:
    """The on-call document.

    Raises:
        RotaRefused: not YAML, or not such a document; the sentence names the place.
    """
    try:
        return OnCall.model_validate(yaml.safe_load(text))
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise RotaRefused(f"it is not YAML{where}: {error.problem}") from None
    except yaml.YAMLError:
        raise RotaRefused("it is not YAML") from None
    except ValidationError as error:
        first: Any = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        words = first["msg"].removeprefix("Value error, ")
        raise RotaRefused(f"{place}: {words}" if place else words) from None


def checked_document(text: str, recipients: Recipients | None, now: datetime) -> tuple[OnCall, list[Problem]]:
    """The document and what is unwise about it.

    Raises:
        RotaRefused: it cannot be used with these recipients.
    """
    on_call = read_document(text)
    found = problems(on_call, recipients, now)
    if unusable := [problem for problem in found if problem.makes_unusable]:
        raise RotaRefused(unusable[0].words)
    return on_call, found


class Plan:
    """An :class:`Escalation` that follows the store."""

    def __init__(
        self, recipients: Recipients | None, remind_after: timedelta, database: Database, clock: Clock
    ) -> None:
        self._recipients = recipients
        self._names = recipients.names if recipients else ()
        self._database = database
        self._clock = clock
        self._now: Escalation = RingEveryone(self._names, remind_after)
        self._known: tuple[datetime, int, list[Problem]] | None = None
        self.number = 0
        """The version in force; 0 where there is no document."""
        self.unreadable: str | None = None
        """Why the newest version was not taken up, if it was not."""

    @property
    def on_call(self) -> OnCall | None:
        return self._now.on_call if isinstance(self._now, RingByPolicy) else None

    def start(self, file_text: str | None) -> None:
        """Take up what the store has, after a file that is new to it.

        Raises:
            StoreUnavailable: try again.
        """
        if file_text is not None:
            with self._database.writing() as session:
                rotas.adopt_file(session, file_text, self._clock.now())
        self.refresh()

    def refresh(self) -> None:
        """Take up a newer version, if there is one.

        Raises:
            StoreUnavailable: what was in force stays so.
        """
        with self._database.reading() as session:
            number = rotas.newest_number(session)
            version = rotas.version(session, number) if number != self.number else None
        if version is None:
            return
        self.number = version.number
        try:
            self._now = RingByPolicy(read_document(version.text), self._names)
            self.unreadable = None
        except RotaRefused as error:
            self.unreadable = str(error)
            log.error("a version of the rota cannot be read", extra={"version": version.number, "why": str(error)})
        else:
            log.info("another rota is in force", extra={"version": version.number})

    def problems(self) -> list[Problem]:
        """What is wrong with it now or will be soon; worked out once an hour and for each version."""
        if self.on_call is None:
            return []
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        if self._known is None or self._known[:2] != (hour, self.number):
            self._known = hour, self.number, problems(self.on_call, self._recipients, hour)
        return self._known[2]

    def ring(self, matter: Matter, round_number: int, now: datetime) -> Ring:
        return self._now.ring(matter, round_number, now)

    def has_other_people(self, matter: Matter, round_number: int) -> bool:
        return self._now.has_other_people(matter, round_number)
