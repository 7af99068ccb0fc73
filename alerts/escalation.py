"""When the bell rings again, and for whom. Pure.

Laws: until a human has answered there is always a next ring; each ring reaches somebody; the reason says why it rings
for them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from alerts.oncall import EscalationPolicy, Matter, OnCall


class RingReason(StrEnum):
    STEP = "step"
    """The policy's step."""
    NOBODY_ANSWERED = "nobody_answered"
    """A later step, or the same people again."""
    GAP = "gap"
    """Nobody is on duty at this step: the fall-back rings."""
    FALL_BACK = "fall_back"
    """All steps are through."""
    EVERYBODY = "everybody"
    """Nobody at all could be found: everyone rings."""


@dataclass(frozen=True)
class Ring:
    """One round of the bell."""

    names: tuple[str, ...]
    reason: RingReason
    rings_again_at: datetime


class Escalation(Protocol):
    """Decides each ring."""

    def ring(self, matter: Matter, round_number: int, now: datetime) -> Ring: ...

    def has_other_people(self, matter: Matter, round_number: int) -> bool:
        """Whether the next ring may reach people that this one has not: then a ring that fails need not be waited
        out."""


@dataclass(frozen=True)
class RingEveryone:
    """Without an on-call file: everybody at once, again and again."""

    names: tuple[str, ...]
    again_after: timedelta

    def ring(self, matter: Matter, round_number: int, now: datetime) -> Ring:
        reason = RingReason.NOBODY_ANSWERED if round_number else RingReason.STEP
        return Ring(self.names, reason, now + self.again_after)

    def has_other_people(self, matter: Matter, round_number: int) -> bool:
        return False


@dataclass(frozen=True)
class RingByPolicy:
    """By the on-call file."""

    on_call: OnCall
    everybody: tuple[str, ...]

    def ring(self, matter: Matter, round_number: int, now: datetime) -> Ring:
        policy = self.on_call.policy_for(matter)
        if round_number < len(policy.steps) * policy.repeat:
            return self._step(policy, round_number, now)
        return self._fall_back(policy, RingReason.FALL_BACK, minutes(policy.fall_back_every_minutes), now)

    def has_other_people(self, matter: Matter, round_number: int) -> bool:
        return round_number < len(self.on_call.policy_for(matter).steps)

    def _step(self, policy: EscalationPolicy, round_number: int, now: datetime) -> Ring:
        step = policy.steps[round_number % len(policy.steps)]
        names = self._resolved(step.notify, now)
        if not names:
            return self._fall_back(policy, RingReason.GAP, minutes(step.wait_minutes), now)
        reason = RingReason.NOBODY_ANSWERED if round_number else RingReason.STEP
        return Ring(names, reason, now + minutes(step.wait_minutes))

    def _fall_back(self, policy: EscalationPolicy, reason: RingReason, wait: timedelta, now: datetime) -> Ring:
        names = self._resolved(policy.fall_back, now)
        if not names:
            return Ring(self.everybody, RingReason.EVERYBODY, now + wait)
        return Ring(names, reason, now + wait)

    def _resolved(self, names: Iterable[str], now: datetime) -> tuple[str, ...]:
        return tuple(name for name in self.on_call.resolve(names, now) if name in self.everybody)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
