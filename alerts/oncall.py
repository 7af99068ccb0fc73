"""Who is on call: teams, rotations and escalation policies, from one YAML file.

::

    time_zone: Europe/Zurich
    holidays: {country: CH, subdivision: ZH, dates: [2026-12-24]}   # optional
    teams:
      radiology: [dr-first, dr-second, dr-third]
    rotations:
      radiology-night:
        members: [dr-first, dr-second]
        turn: weekly                # or daily
        hand_over: "08:00"          # by the clock on the wall, in every season
        start: 2026-01-05           # the first member's first turn begins here
        shift: "18:00-08:00"        # optional: on duty only then
        days: [mon, tue, wed, thu, fri]   # optional: shifts begin only on these; a holiday counts as "holiday" alone
        overrides:
          - {start: 2026-03-01T18:00, end: 2026-03-02T08:00, who: dr-third}
    policies:
      - name: bleeds
        topics: [bleed]             # optional, all when absent: bleed, not_analysed
        types: [subdural]           # optional, all when absent: the most probable type of hemorrhage
        calling_aes: [CT1]          # optional, all when absent: the scanner, and by it the unit
        late: false                 # optional, all when absent: whether the finding came late, after an outage
        steps:
          - {notify: [radiology-night], wait_minutes: 5}
          - {notify: [radiology], wait_minutes: 5}
        repeat: 2                   # how often the steps are gone through
        fall_back: [switchboard]    # then, and in every gap: until somebody answers
        fall_back_every_minutes: 5

``notify``, ``members``, ``who`` and ``fall_back`` name recipients, teams or rotations. The first policy that fits an
alert is its policy; the last must fit every alert.

Laws: a step that resolves to nobody rings the fall-back, and a fall-back that resolves to nobody rings everybody:
never nobody. What is wrong with the file is found when it is loaded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Self
from zoneinfo import ZoneInfo

import holidays
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from alerts.life import Topic
from alerts.recipients import RecipientName


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{name!r} is not a time zone such as Europe/Zurich") from None
    return name


ZoneName = Annotated[str, AfterValidator(_zone)]


class Turn(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"

    @property
    def days(self) -> int:
        return 7 if self is Turn.WEEKLY else 1


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"
    HOLIDAY = "holiday"


WEEK = (Day.MON, Day.TUE, Day.WED, Day.THU, Day.FRI, Day.SAT, Day.SUN)


@dataclass(frozen=True)
class Matter:
    """What an alert is about, as far as it decides who is rung."""

    topic: Topic
    calling_ae: str | None = None
    leading: str | None = None
    """The most probable type of hemorrhage."""
    late: bool = False


class Holidays(Part):
    """Days that are no working days: those of a country (ISO 3166-1, and its subdivision), and further ones."""

    country: str | None = None
    subdivision: str | None = None
    dates: tuple[date, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.subdivision and not self.country:
            raise ValueError("a subdivision needs its country")
        try:
            self._of_country(date(2026, 1, 1))
        except NotImplementedError:
            where = f"{self.country} {self.subdivision or ''}".strip()
            raise ValueError(f"no holidays are known for {where!r}; give codes such as CH and ZH") from None
        return self

    def __contains__(self, day: date) -> bool:
        return day in self.dates or self._of_country(day)

    def _of_country(self, day: date) -> bool:
        return self.country is not None and day in _holidays(self.country, self.subdivision, day.year)


@cache
def _holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """A copy, for the library's own table fills itself while it is asked, which threads must not see."""
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year, expand=False))


class Override(Part):
    """Somebody else for a while. Times without an offset are local."""

    start: datetime
    end: datetime
    who: RecipientName

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if (self.start.tzinfo is None) != (self.end.tzinfo is None) or self.end <= self.start:
            raise ValueError("an override must end after it starts")
        return self


class Shift(Part):
    """Daily hours of duty, over midnight where ``end`` is not after ``start``."""

    start: time
    end: time

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if isinstance(value, str):
            start, _, end = value.partition("-")
            return {"start": start.strip(), "end": end.strip()}
        return value


class Rotation(Part):
    members: tuple[RecipientName, ...] = Field(min_length=1)
    turn: Turn = Turn.WEEKLY
    hand_over: time = time(8)
    start: date
    shift: Shift | None = None
    days: tuple[Day, ...] = tuple(Day)
    overrides: tuple[Override, ...] = ()

    def on_duty(self, at: datetime, zone: ZoneInfo, free: Holidays) -> str | None:
        """Who has the turn at an instant; None in a gap."""
        for override in self.overrides:
            if instant(override.start, zone) <= at < instant(override.end, zone):
                return override.who
        if not self._within_shift(at, zone, free):
            return None
        turns = self._hand_overs(at, zone) // self.turn.days
        return self.members[turns % len(self.members)] if turns >= 0 else None

    def _hand_overs(self, at: datetime, zone: ZoneInfo) -> int:
        """Days, from hand-over to hand-over, since the start; the wall clock rules, also when it is put back."""
        today = at.astimezone(zone).date()
        begun = today if _wall(today, self.hand_over, zone) <= at else today - timedelta(days=1)
        return (begun - self.start).days

    def _within_shift(self, at: datetime, zone: ZoneInfo, free: Holidays) -> bool:
        today = at.astimezone(zone).date()
        return any(self._covers(day, at, zone, free) for day in (today - timedelta(days=1), today))

    def _covers(self, day: date, at: datetime, zone: ZoneInfo, free: Holidays) -> bool:
        if (Day.HOLIDAY if day in free else WEEK[day.weekday()]) not in self.days:
            return False
        shift = self.hours
        ends_on = day if shift.end > shift.start else day + timedelta(days=1)
        return _wall(day, shift.start, zone) <= at < _wall(ends_on, shift.end, zone)

    @property
    def hours(self) -> Shift:
        """The hours of duty: from hand-over to hand-over where no shift is given."""
        return self.shift or Shift(start=self.hand_over, end=self.hand_over)

    def may_change_at(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        """The instants of a day at which somebody else may come on duty, overrides aside."""
        for clock in {self.hand_over, self.hours.start, self.hours.end}:
            yield _wall(day, clock, zone)


def _wall(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The instant at which the clock on the wall shows this: the first, where it shows it twice."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def instant(value: datetime, zone: ZoneInfo) -> datetime:
    """A time of the file in UTC; without an offset it is local."""
    return value.replace(tzinfo=zone).astimezone(UTC) if value.tzinfo is None else value


class EscalationStep(Part):
    notify: tuple[RecipientName, ...] = Field(min_length=1)
    wait_minutes: PositiveFloat = 5


class EscalationPolicy(Part):
    name: str
    topics: tuple[Topic, ...] = tuple(Topic)
    types: tuple[str, ...] | None = None
    calling_aes: tuple[str, ...] | None = None
    late: bool | None = None
    steps: tuple[EscalationStep, ...] = Field(min_length=1)
    repeat: PositiveInt = 2
    fall_back: tuple[RecipientName, ...] = Field(min_length=1)
    fall_back_every_minutes: PositiveFloat = 5

    def fits(self, matter: Matter) -> bool:
        return (
            matter.topic in self.topics
            and (self.types is None or matter.leading in self.types)
            and (self.calling_aes is None or matter.calling_ae in self.calling_aes)
            and (self.late is None or matter.late is self.late)
        )

    @property
    def fits_all(self) -> bool:
        asked = (self.types, self.calling_aes, self.late)
        return set(self.topics) == set(Topic) and all(condition is None for condition in asked)


class OnCall(Part):
    """The whole file, checked against itself; :func:`mistakes` checks it against the recipients."""

    time_zone: ZoneName = "UTC"
    holidays: Holidays = Holidays()
    teams: dict[RecipientName, tuple[RecipientName, ...]] = {}
    rotations: dict[RecipientName, Rotation] = {}
    policies: tuple[EscalationPolicy, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _somebody_for_every_alert(self) -> Self:
        if not self.policies[-1].fits_all:
            raise ValueError("the last policy must fit every alert: give it no topics, types, calling_aes or late")
        if both := set(self.teams) & set(self.rotations):
            raise ValueError(f"{min(both)!r} is the name of a team and of a rotation")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def policy_for(self, matter: Matter) -> EscalationPolicy:
        return next(policy for policy in self.policies if policy.fits(matter))

    def resolve(self, names: Iterable[str], at: datetime) -> tuple[str, ...]:
        """The recipients behind these names at an instant, each once."""
        found = (person for name in names for person in self._people(name, at, frozenset()))
        return tuple(dict.fromkeys(found))

    def _people(self, name: str, at: datetime, seen: frozenset[str]) -> Iterator[str]:
        if name in seen:
            return
        seen |= {name}
        if name in self.teams:
            for member in self.teams[name]:
                yield from self._people(member, at, seen)
        elif name in self.rotations:
            on_duty = self.rotations[name].on_duty(at, self.zone, self.holidays)
            if on_duty is not None:
                yield from self._people(on_duty, at, seen)
        else:
            yield name

    def names_used(self) -> Iterator[tuple[str, str]]:
        """Every (place, name) that must mean somebody."""
        for team, members in self.teams.items():
            yield from ((f"team {team}", member) for member in members)
        for name, rotation in self.rotations.items():
            yield from ((f"rotation {name}", member) for member in rotation.members)
            yield from ((f"rotation {name}", override.who) for override in rotation.overrides)
        for policy in self.policies:
            yield from ((f"policy {policy.name}", who) for step in policy.steps for who in step.notify)
            yield from ((f"policy {policy.name}", who) for who in policy.fall_back)


def mistakes(on_call: OnCall, recipients: Iterable[str]) -> list[str]:
    """What makes the file unusable: names that mean nobody."""
    known = {*recipients, *on_call.teams, *on_call.rotations}
    unknown = [
        f"{place} names {name!r}, who is no recipient, team or rotation"
        for place, name in on_call.names_used()
        if name not in known
    ]
    clashes = sorted(set(recipients) & {*on_call.teams, *on_call.rotations})
    return unknown + [f"{name!r} is both a recipient and a team or rotation" for name in clashes]
