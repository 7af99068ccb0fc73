"""When to try again, by the kind of failure.

Nothing is ever given up: after a while it is shown in red, and goes on.
"""

from dataclasses import dataclass
from datetime import timedelta

from alerts.errors import FailureKind


@dataclass(frozen=True)
class BackOff:
    """Doubling waits between two bounds."""

    first_seconds: float
    longest_seconds: float
    people_must_know_after: int
    """Attempts after which the notice is shown as failed."""

    def wait(self, attempts: int) -> timedelta:
        """The wait after the ``attempts``-th failed attempt."""
        doubled = self.first_seconds * 2.0 ** min(attempts - 1, 20)
        return timedelta(seconds=min(doubled, self.longest_seconds))


BACK_OFFS = {
    FailureKind.UNREACHABLE: BackOff(1, 30, 4),
    FailureKind.TIMED_OUT: BackOff(1, 30, 3),
    FailureKind.BUSY: BackOff(2, 60, 4),
    FailureKind.REFUSED: BackOff(15, 120, 1),
    FailureKind.BROKEN: BackOff(2, 60, 3),
}
"""A refusal will not heal by itself, so people know at once; but somebody may be mending it, so it goes on."""

LONGEST_REQUESTED_WAIT_SECONDS = 60.0
"""A far side may ask for a wait (Retry-After); no longer than this while a patient waits."""


def retry_after(kind: FailureKind, attempts: int, requested_seconds: float | None) -> timedelta:
    """How long to wait before the next attempt."""
    usual = BACK_OFFS[kind].wait(attempts)
    if requested_seconds is None:
        return usual
    return max(usual, timedelta(seconds=min(requested_seconds, LONGEST_REQUESTED_WAIT_SECONDS)))


def people_must_know(kind: FailureKind, attempts: int) -> bool:
    return attempts >= BACK_OFFS[kind].people_must_know_after
