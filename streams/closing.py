"""When is a series complete? By the best evidence at hand, and the evidence is recorded.

Pure: facts and ``now`` in, a reason or None out. There are two kinds of evidence. *Accounts*: every association that is
known has ended, and every slice it says it brought is here; what else waits in Kafka is then no business of this
series. *Silence*: nothing came for a while, which means something only as far as the partition has been heard.
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
        settle_seconds: after the end of a series' only association, by the scanner's clock: for another one to begin.
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


def closed_by(state: SeriesState, now: datetime, rules: ClosingRules, heard_until: datetime | None) -> ClosedBy | None:
    """The evidence that the series is complete; None while it is not, or is closed already.

    Args:
        now: the whole ledger of the series is known up to this instant.
        heard_until: what was accepted before this instant on the series' partition has been processed, all of it; None
            where that is not known.
    """
    if not state.is_open:
        return None
    return _by_accounts(state, now, rules) or _by_silence(state, now, rules, heard_until)


def _by_accounts(state: SeriesState, now: datetime, rules: ClosingRules) -> ClosedBy | None:
    settled = now - state.summary.last_event
    if settled >= timedelta(seconds=rules.settle_seconds) and _expected_met(state):
        return ClosedBy.EXPECTED_COUNT
    settle = rules.settle_seconds if len(state.summary.associations) == 1 else rules.settle_many_seconds
    if settled >= timedelta(seconds=settle) and _all_over(state) and _released_contiguous(state):
        return ClosedBy.RELEASED_CONTIGUOUS
    return None


def _by_silence(
    state: SeriesState, now: datetime, rules: ClosingRules, heard_until: datetime | None
) -> ClosedBy | None:
    if heard_until is None:
        return None
    summary = state.summary
    silence = min(now - summary.last_activity, heard_until - summary.last_event)
    over = _all_over(state)
    if silence >= timedelta(seconds=rules.quiet_seconds) and (over or _released_contiguous(state)):
        return ClosedBy.RELEASED_CONTIGUOUS if _released_contiguous(state) else ClosedBy.QUIET
    if silence >= timedelta(seconds=rules.quiet_open_seconds):
        return ClosedBy.QUIET
    if summary.first_slice and heard_until - summary.first_slice >= timedelta(seconds=rules.overdue_seconds):
        return ClosedBy.WATCHDOG
    return None


def _all_over(state: SeriesState) -> bool:
    return all(account.kind is not LedgerKind.OPENED for account in state.summary.associations.values())


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
