"""Which runtime reads now, which rests, and when a resting one is tried again. Pure: facts and `now` in, facts out.

Laws: the best runtime that is ready reads. One that failed rests, each time twice as long, and is tried again away from
the slices. When none is ready the resting ones are tried all the same, the plainest first: no slice goes unread because
a clock has not run out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from triage_models.runtimes.faults import RuntimeFault


@dataclass(frozen=True)
class Rest:
    """Seconds until the first new attempt, and the longest between two."""

    first_seconds: float
    longest_seconds: float


RESTS: dict[RuntimeFault, Rest] = {
    RuntimeFault.OUT_OF_MEMORY: Rest(15.0, 300.0),  # somebody else's job on the device ends
    RuntimeFault.DEVICE_LOST: Rest(10.0, 300.0),  # a reset takes seconds
    RuntimeFault.DRIVER_MISMATCH: Rest(120.0, 1800.0),  # only an administrator ends this
    RuntimeFault.NONSENSE: Rest(60.0, 3600.0),  # trust comes back slowly
    RuntimeFault.UNAVAILABLE: Rest(60.0, 600.0),  # an engine may be built, a device plugged in
    RuntimeFault.OTHER: Rest(10.0, 600.0),
}

STEADY_SECONDS = 900.0
"""A runtime that has read for this long without a fault starts again from the first rest."""


class Phase(StrEnum):
    """Where a runtime stands."""

    READY = "ready"
    RESTING = "resting"


@dataclass(frozen=True)
class Standing:
    """One runtime of the chain. `since` and `try_at` are seconds of a monotonic clock."""

    name: str
    phase: Phase
    since: float
    fault: RuntimeFault | None = None
    failures: int = 0
    try_at: float = 0.0


def ready(name: str, now: float, failures: int = 0) -> Standing:
    """A runtime that was tried and may read."""
    return Standing(name, Phase.READY, now, failures=failures)


def after_fault(standing: Standing, fault: RuntimeFault, now: float) -> Standing:
    """It rests, twice as long as the last time unless it had been steady in between."""
    steady = standing.phase is Phase.READY and now - standing.since >= STEADY_SECONDS
    failures = 1 if steady else standing.failures + 1
    rest = RESTS[fault]
    seconds = min(rest.longest_seconds, rest.first_seconds * 2.0 ** min(failures - 1, 32))
    return Standing(standing.name, Phase.RESTING, now, fault, failures, now + seconds)


def after_return(standing: Standing, now: float) -> Standing:
    """It was tried and may read again; its past failures are remembered until it has been steady."""
    return ready(standing.name, now, standing.failures)


def order_of_attempts(standings: Sequence[Standing]) -> list[str]:
    """For the next batch: who is ready, best first; then who rests, plainest first."""
    able = [s.name for s in standings if s.phase is Phase.READY]
    return able + [s.name for s in reversed(standings) if s.phase is Phase.RESTING]


def to_try(standings: Sequence[Standing], now: float) -> Standing | None:
    """The best resting runtime whose time has come."""
    due = (s for s in standings if s.phase is Phase.RESTING and now >= s.try_at)
    return next(due, None)


def exchanged(standings: Sequence[Standing], new: Standing) -> tuple[Standing, ...]:
    """The standings with one of them replaced."""
    return tuple(new if s.name == new.name else s for s in standings)


def postponed(standing: Standing, now: float) -> Standing:
    """Tried in vain: it goes on resting, longer."""
    return replace(after_fault(standing, standing.fault or RuntimeFault.OTHER, now), since=standing.since)
