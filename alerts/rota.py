"""The coming days of the rota: who is on duty from when to when, and what is wrong with it. Pure.

Laws: a problem is found before it hurts, when the rota is loaded or edited and again every hour; what is merely
unwise (a gap: the fall-back rings) is told apart from what makes the rota unusable (a name that means nobody).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from alerts.oncall import EscalationPolicy, OnCall, Rotation, instant, mistakes
from alerts.recipients import Recipients

LOOKS_AHEAD = timedelta(days=28)
"""How far ahead the rota is searched for problems."""


@dataclass(frozen=True)
class Span:
    """The same people from ``start`` to ``end``; nobody where ``names`` is empty."""

    start: datetime
    end: datetime
    names: tuple[str, ...]


class ProblemKind(StrEnum):
    UNKNOWN_NAME = "unknown_name"
    GAP = "gap"
    FALL_BACK_GAP = "fall_back_gap"
    NO_CHANNEL = "no_channel"
    OVERRIDES_OVERLAP = "overrides_overlap"


@dataclass(frozen=True)
class Problem:
    kind: ProblemKind
    words: str
    """A sentence without its full stop."""

    @property
    def makes_unusable(self) -> bool:
        return self.kind is ProblemKind.UNKNOWN_NAME


def spans(on_call: OnCall, names: Iterable[str], start: datetime, end: datetime) -> list[Span]:
    """Who is behind these names, from ``start`` to ``end``, without a hole between the spans."""
    names = tuple(names)
    rotations = [on_call.rotations[name] for name in _rotations_behind(on_call, names)]
    changes = {at for rotation in rotations for at in _changes(rotation, on_call, start, end)}
    instants = sorted({start, end} | {at for at in changes if start < at < end})
    found: list[Span] = []
    for begin, finish in pairwise(instants):
        people = on_call.resolve(names, begin)
        if found and found[-1].names == people:
            found[-1] = Span(found[-1].start, finish, people)
        else:
            found.append(Span(begin, finish, people))
    return found


def _rotations_behind(on_call: OnCall, names: Iterable[str]) -> set[str]:
    """The rotations that these names lead to, through teams, members and overrides."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += on_call.teams.get(name, ())
        if name in on_call.rotations:
            rotation = on_call.rotations[name]
            waiting += [*rotation.members, *(override.who for override in rotation.overrides)]
    return seen & set(on_call.rotations)


def _changes(rotation: Rotation, on_call: OnCall, start: datetime, end: datetime) -> Iterator[datetime]:
    zone = on_call.zone
    day = start.astimezone(zone).date() - timedelta(days=1)
    while day <= end.astimezone(zone).date() + timedelta(days=1):
        yield from rotation.may_change_at(day, zone)
        day += timedelta(days=1)
    for override in rotation.overrides:
        yield from (instant(override.start, zone), instant(override.end, zone))


def problems(on_call: OnCall, recipients: Recipients | None, start: datetime) -> list[Problem]:
    """Everything that is wrong with a rota, or will be in the coming weeks; the worst first."""
    names = recipients.names if recipients else ()
    return [
        *(Problem(ProblemKind.UNKNOWN_NAME, sentence) for sentence in mistakes(on_call, names)),
        *(problem for policy in on_call.policies for problem in _of_policy(on_call, policy, start)),
        *_overlaps(on_call, start),
    ]


def _of_policy(on_call: OnCall, policy: EscalationPolicy, start: datetime) -> Iterator[Problem]:
    zone = on_call.zone
    for number, step in enumerate(policy.steps, 1):
        if gap := _first_gap(on_call, step.notify, start):
            who, when = " or ".join(step.notify), f"{gap.start.astimezone(zone):%a %Y-%m-%d %H:%M}"
            place = f"step {number} of policy {policy.name} ({who})"
            words = f"nobody is on duty at {place} from {when} on: the fall-back rings"
            yield Problem(ProblemKind.GAP, words)
    if gap := _first_gap(on_call, policy.fall_back, start):
        when = f"{gap.start.astimezone(zone):%a %Y-%m-%d %H:%M}"
        words = f"the fall-back of policy {policy.name} has nobody from {when} on: everybody would ring"
        yield Problem(ProblemKind.FALL_BACK_GAP, words)


def _first_gap(on_call: OnCall, names: Iterable[str], start: datetime) -> Span | None:
    return next((span for span in spans(on_call, names, start, start + LOOKS_AHEAD) if not span.names), None)


def _overlaps(on_call: OnCall, start: datetime) -> Iterator[Problem]:
    zone = on_call.zone
    for name, rotation in on_call.rotations.items():
        ahead = sorted((instant(o.start, zone), instant(o.end, zone), o.who) for o in rotation.overrides)
        for (_, ends, one), (begins, until, other) in pairwise(ahead):
            if begins < ends and until > start and one != other:
                when = f"{begins.astimezone(zone):%Y-%m-%d %H:%M}"
                words = f"in rotation {name} both {one} and {other} stand in at {when}: the one written first has it"
                yield Problem(ProblemKind.OVERRIDES_OVERLAP, words)
