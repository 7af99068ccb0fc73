"""When is a series complete? By the best evidence at hand, and the evidence is recorded.

Pure: facts and ``now`` in, a reason or None out.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from streams import geometry
from streams.contracts.findings import ClosedBy
from streams.contracts.series import LedgerKind
from streams.series_state import SeriesState


@dataclass(frozen=True)
class ClosingRules:
    """How long to wait for more; seconds.

    Attributes:
        settle_seconds: after the last slice of a series whose only association was released.
        settle_many_seconds: likewise where several associations carried it: some scanners open one per slice.
        quiet_seconds: without a slice, all associations being over, positions not contiguous or slices missing.
        quiet_open_seconds: without a slice while an association is still open: the scanner may be reconstructing. An
            association whose end nobody saw (the listener was killed) counts as open; where another one was released
            and the positions are contiguous, ``quiet_seconds`` are enough.
        overdue_seconds: since the first sign of a series; after this it is closed whatever it looks like.
    """

    settle_seconds: float = 1.0
    settle_many_seconds: float = 4.0
    quiet_seconds: float = 10.0
    quiet_open_seconds: float = 30.0
    overdue_seconds: float = 1800.0


def closed_by(state: SeriesState, now: datetime, rules: ClosingRules) -> ClosedBy | None:
    """The evidence that the series is complete; None while it is not, or is closed already."""
    if not state.is_open:
        return None
    summary = state.summary
    idle = now - summary.last_activity
    accounts = summary.associations.values()
    over = all(account.kind is not LedgerKind.OPENED for account in accounts)
    if _expected_met(state) and idle >= timedelta(seconds=rules.settle_seconds):
        return ClosedBy.EXPECTED_COUNT
    settle = rules.settle_seconds if len(accounts) == 1 else rules.settle_many_seconds
    if over and idle >= timedelta(seconds=settle) and _released_contiguous(state):
        return ClosedBy.RELEASED_CONTIGUOUS
    if idle >= timedelta(seconds=rules.quiet_seconds) and _released_contiguous(state):
        return ClosedBy.RELEASED_CONTIGUOUS
    if idle >= timedelta(seconds=rules.quiet_seconds if over else rules.quiet_open_seconds):
        return ClosedBy.QUIET
    if summary.first_slice and now - summary.first_slice >= timedelta(seconds=rules.overdue_seconds):
        return ClosedBy.WATCHDOG
    return None


def _expected_met(state: SeriesState) -> bool:
    expected = state.summary.expected
    return state.summary.expected_closes and expected is not None and len(state.frames) >= expected


def _released_contiguous(state: SeriesState) -> bool:
    accounts = state.summary.associations.values()
    kinds = {account.kind for account in accounts}
    if LedgerKind.RELEASED not in kinds or LedgerKind.ABORTED in kinds:
        return False
    if state.frames_missing():
        return False
    eligible = state.eligible()
    positions = [frame.position_mm for frame in eligible if frame.position_mm is not None]
    if len(positions) < len(eligible):
        return False
    thickness = next((frame.thickness_mm for frame in eligible if frame.thickness_mm), None)
    return geometry.missing_between(positions, thickness) == 0.0
