"""Who is on call: teams, rotations and escalation policies, from one YAML file.

::

    time_zone: Europe/Zurich
    teams:
      radiology: [dr-first, dr-second, dr-third]
    rotations:
      radiology-night:
        members: [dr-first, dr-second]
        turn: weekly                # or daily
        hand_over: "08:00"          # by the clock on the wall, in every season
        start: 2026-01-05           # the first member's first turn begins here
        shift: "18:00-08:00"        # optional: on duty only then
        days: [mon, tue, wed, thu, fri]   # optional: shifts begin only on these
        overrides:
          - {start: 2026-03-01T18:00, end: 2026-03-02T08:00, who: dr-third}
    policies:
      - name: bleeds
        topics: [bleed]             # optional: bleed, not_analysed; all when absent
        calling_aes: [CT1]          # optional: all when absent
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

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Protocol, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from alerts.life import Topic
from alerts.recipients import RecipientName

GAP_DAYS = 28
"""How far ahead the rota is searched for gaps."""

GAP_STEP = timedelta(minutes=15)


class Clock(Protocol):
    def now(self) -> datetime: ...


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


WEEK = tuple(Day)


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
    days: tuple[Day, ...] = WEEK
    overrides: tuple[Override, ...] = ()

    def on_duty(self, at: datetime, zone: ZoneInfo) -> str | None:
        """Who has the turn at an instant; None in a gap."""
        for override in self.overrides:
            if _instant(override.start, zone) <= at < _instant(override.end, zone):
                return override.who
        if not self._within_shift(at, zone):
            return None
        turns = self._hand_overs(at, zone) // self.turn.days
        return self.members[turns % len(self.members)] if turns >= 0 else None

    def _hand_overs(self, at: datetime, zone: ZoneInfo) -> int:
        """Days, from hand-over to hand-over, since the start; the wall clock rules, also when it is put back."""
        today = at.astimezone(zone).date()
        begun = today if _wall(today, self.hand_over, zone) <= at else today - timedelta(days=1)
        return (begun - self.start).days

    def _within_shift(self, at: datetime, zone: ZoneInfo) -> bool:
        today = at.astimezone(zone).date()
        return any(self._covers(day, at, zone) for day in (today - timedelta(days=1), today))

    def _covers(self, day: date, at: datetime, zone: ZoneInfo) -> bool:
        if WEEK[day.weekday()] not in self.days:
            return False
        shift = self.shift or Shift(start=self.hand_over, end=self.hand_over)
        ends_on = day if shift.end > shift.start else day + timedelta(days=1)
        return _wall(day, shift.start, zone) <= at < _wall(ends_on, shift.end, zone)


def _wall(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The instant at which the clock on the wall shows this: the first, where it shows it twice."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _instant(value: datetime, zone: ZoneInfo) -> datetime:
    return value.replace(tzinfo=zone).astimezone(UTC) if value.tzinfo is None else value


class EscalationStep(Part):
    notify: tuple[RecipientName, ...] = Field(min_length=1)
    wait_minutes: PositiveFloat = 5


class EscalationPolicy(Part):
    name: str
    topics: tuple[Topic, ...] = tuple(Topic)
    calling_aes: tuple[str, ...] | None = None
    steps: tuple[EscalationStep, ...] = Field(min_length=1)
    repeat: PositiveInt = 2
    fall_back: tuple[RecipientName, ...] = Field(min_length=1)
    fall_back_every_minutes: PositiveFloat = 5

    def fits(self, topic: Topic, calling_ae: str | None) -> bool:
        return topic in self.topics and (self.calling_aes is None or calling_ae in self.calling_aes)

    @property
    def fits_all(self) -> bool:
        return set(self.topics) == set(Topic) and self.calling_aes is None


class OnCall(Part):
    """The whole file, checked against itself; :func:`mistakes` checks it against the recipients."""

    time_zone: ZoneName = "UTC"
    teams: dict[RecipientName, tuple[RecipientName, ...]] = {}
    rotations: dict[RecipientName, Rotation] = {}
    policies: tuple[EscalationPolicy, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _somebody_for_every_alert(self) -> Self:
        if not self.policies[-1].fits_all:
            raise ValueError("the last policy must fit every alert: give it neither topics nor calling_aes")
        if both := set(self.teams) & set(self.rotations):
            raise ValueError(f"{min(both)!r} is the name of a team and of a rotation")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    def policy_for(self, topic: Topic, calling_ae: str | None) -> EscalationPolicy:
        return next(policy for policy in self.policies if policy.fits(topic, calling_ae))

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
            on_duty = self.rotations[name].on_duty(at, self.zone)
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


def gaps(on_call: OnCall, start: datetime) -> Mapping[str, datetime]:
    """The first instant in the next weeks at which a rotation that a policy uses has nobody, by rotation."""
    used = {who for policy in on_call.policies for step in policy.steps for who in step.notify}
    found: dict[str, datetime] = {}
    for name in sorted(used & set(on_call.rotations)):
        rotation, at = on_call.rotations[name], start
        while at < start + timedelta(days=GAP_DAYS):
            if rotation.on_duty(at, on_call.zone) is None:
                found[name] = at
                break
            at += GAP_STEP
    return found


class GapWatch:
    """The gaps ahead, worked out once an hour."""

    def __init__(self, on_call: OnCall | None, clock: Clock) -> None:
        self._on_call = on_call
        self._clock = clock
        self._seen: tuple[datetime, list[tuple[str, datetime]]] | None = None

    def __call__(self) -> list[tuple[str, datetime]]:
        if self._on_call is None:
            return []
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        if self._seen is None or self._seen[0] != hour:
            self._seen = hour, list(gaps(self._on_call, hour).items())
        return self._seen[1]
