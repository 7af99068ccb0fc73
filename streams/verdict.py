"""What may be said of a series: pure, from the facts of its state, the score and the thresholds.

The asymmetry is deliberate. A positive needs one convincing score, whatever else is missing. A negative needs the
whole head: enough slices, without a gap, none lost, none unreadable. Everything in between is *not assessable* (the
reason lies in the images) or *failed* (it lies in this system), and people are told so.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from streams import geometry
from streams.contracts.findings import (
    SYSTEM_REASONS,
    Coverage,
    FindingReason,
    FindingStatus,
    Outcome,
)
from streams.contracts.series import LedgerKind
from streams.head_extent import ends_seen, estimated_slices, shows_brain
from streams.series_state import AssociationAccount, SeriesState
from triage_models import decision as decisions
from triage_models.manifest import Thresholds

MIN_SLICES = 6
"""Fewer slices (or slabs) than this cannot cover a head at any thickness in use (10 mm and less)."""

MIN_EXTENT_MM = 100.0
"""From skull base to vertex an adult brain spans 110–140 mm; an infant's (90 mm) is not what the reader is for."""


@dataclass(frozen=True)
class Verdict:
    """A finding to be produced, and why."""

    status: FindingStatus
    outcome: Outcome
    reasons: tuple[FindingReason, ...]
    threshold: float | None = None
    said: decisions.Verdict | None = None
    """What has been announced once this finding is out."""


SAID_BLEED = (decisions.Verdict.PROVISIONAL_POSITIVE, decisions.Verdict.POSITIVE)

_REASONS = {
    decisions.Reason.ANYTIME_THRESHOLD_CROSSED: FindingReason.PROVISIONAL_THRESHOLD_CROSSED,
    decisions.Reason.CONFIRMED_ON_WHOLE_SERIES: FindingReason.FINAL_THRESHOLD_CROSSED,
    decisions.Reason.FINAL_THRESHOLD_REACHED: FindingReason.FINAL_THRESHOLD_CROSSED,
    decisions.Reason.UPGRADED_BY_LATE_SLICES: FindingReason.FINAL_THRESHOLD_CROSSED,
    decisions.Reason.NOT_BORNE_OUT_BY_WHOLE_SERIES: FindingReason.NOT_CONFIRMED,
    decisions.Reason.BELOW_FINAL_THRESHOLD: FindingReason.BELOW_FINAL_THRESHOLD,
}
"""The reader's reasons for a closed or crossed series, in the words of the contract."""


def coverage(state: SeriesState) -> Coverage:
    """How much of the series, and of the head, was read."""
    read = [frame for frame in state.eligible() if _is_read(state, frame.unit, frame.identity)]
    positions = [frame.position_mm for frame in read if frame.position_mm is not None]
    thickness = next((frame.thickness_mm for frame in read if frame.thickness_mm), None)
    unread = Counter(frame.reason for frame in state.frames.values() if frame.reason is not None)
    base, vertex = _ends_seen(state)
    return Coverage(
        slices_accepted=len(state.frames),
        slices_read=len(read),
        slices_expected=state.summary.expected,
        frames_in_ledger=sum(account.frames_accepted for account in state.summary.associations.values()),
        unread=dict(unread),
        refused=state.refused(),
        extent_mm=round(max(positions) - min(positions), 2) if positions else 0.0,
        largest_gap_mm=round(geometry.missing_between(positions, thickness), 2),
        slices_estimated=_slices_estimated(state, whole=bool(base and vertex)) if base is not None else None,
        base_seen=base,
        vertex_seen=vertex,
    )


def _ends_seen(state: SeriesState) -> tuple[bool | None, bool | None]:
    """(base, vertex); None where the slices have no place in space."""
    units = state.readings.values()
    placed = [(unit.position_mm, unit.reading.brain_share) for unit in units if unit.position_mm is not None]
    return ends_seen(placed) if placed else (None, None)


def _slices_estimated(state: SeriesState, *, whole: bool) -> int | None:
    spacing = state.spacing_mm()
    if state.summary.expected is not None or not spacing:
        return None
    return estimated_slices(spacing, len(state.frames), whole=whole)


def _is_read(state: SeriesState, unit: str, identity: str) -> bool:
    reading = state.readings.get(unit)
    return reading is not None and identity in reading.members


def while_arriving(state: SeriesState, score: float, thresholds: Thresholds) -> Verdict | None:
    """Is it time for a provisional positive? At most once until it is taken back."""
    decision = _decide(state, score, thresholds, closed=False)
    if decision.verdict is not decisions.Verdict.PROVISIONAL_POSITIVE or state.summary.said in SAID_BLEED:
        return None
    return Verdict(
        FindingStatus.PROVISIONAL,
        Outcome.POSITIVE,
        (_REASONS[decision.reason],),
        decision.threshold,
        decisions.Verdict.PROVISIONAL_POSITIVE,
    )


def when_closed(state: SeriesState, covered: Coverage, score: float | None, thresholds: Thresholds | None) -> Verdict:
    """The one outcome of a closed series.

    Args:
        score: of the series; None where nothing was read.
        thresholds: None where there is no model.
    """
    remarks = _remarks(state, covered)
    failures = _failures(state, covered)
    if score is None or thresholds is None:
        return _unread(failures, remarks)
    decision = _decide(state, score, thresholds, closed=True)
    reason, said, threshold = _REASONS[decision.reason], decision.verdict, decision.threshold
    if said is decisions.Verdict.POSITIVE:
        return Verdict(FindingStatus.FINAL, Outcome.POSITIVE, (reason, *remarks), threshold, said)
    if failures:
        reasons = (*failures, *_without(remarks, failures))
        return Verdict(FindingStatus.FAILED, Outcome.FAILED, reasons, threshold, state.summary.said)
    obstacles = _obstacles(state, covered)
    if obstacles:
        reasons = (*obstacles, *_without(remarks, obstacles))
        return Verdict(FindingStatus.NOT_ASSESSABLE, Outcome.NOT_ASSESSABLE, reasons, threshold, state.summary.said)
    status = FindingStatus.RETRACTED if said is decisions.Verdict.RETRACTED else FindingStatus.FINAL
    return Verdict(status, Outcome.NEGATIVE, (reason, *remarks), threshold, said)


def _decide(state: SeriesState, score: float, thresholds: Thresholds, *, closed: bool) -> decisions.Decision:
    peak = max(state.summary.peak_score, score)
    return decisions.decide([peak, score], closed=closed, thresholds=thresholds, before=state.summary.said)


def _unread(failures: tuple[FindingReason, ...], remarks: tuple[FindingReason, ...]) -> Verdict:
    if failures:
        return Verdict(FindingStatus.FAILED, Outcome.FAILED, (*failures, *_without(remarks, failures)))
    reasons = (FindingReason.NO_READABLE_SLICE, *remarks)
    return Verdict(FindingStatus.NOT_ASSESSABLE, Outcome.NOT_ASSESSABLE, reasons)


def _failures(state: SeriesState, covered: Coverage) -> tuple[FindingReason, ...]:
    """Why a negative would be this system's lie."""
    found = []
    if state.summary.model_failed:
        found.append(FindingReason.MODEL_FAILED)
    if any(reason in SYSTEM_REASONS for reason in covered.unread):
        found.append(FindingReason.SLICES_UNREADABLE)
    if state.frames_missing() or state.stale_units():
        found.append(FindingReason.SLICES_MISSING)
    return tuple(found)


def _obstacles(state: SeriesState, covered: Coverage) -> tuple[FindingReason, ...]:
    """Why the images do not carry a negative."""
    found = []
    eligible = state.eligible()
    readings = (unit.reading for unit in state.readings.values())
    if not any(shows_brain(reading.brain_share, reading.soft_share) for reading in readings):
        found.append(FindingReason.NO_BRAIN_SEEN)
    if len(state.readings) < MIN_SLICES or covered.extent_mm < MIN_EXTENT_MM:
        found.append(FindingReason.TOO_FEW_SLICES)
    if covered.largest_gap_mm > 0 or any(frame.position_mm is None for frame in eligible):
        found.append(FindingReason.COVERAGE_GAP)
    if covered.refused:
        found.append(FindingReason.SLICES_REFUSED)
    if _transfer_broke_off(state):
        found.append(FindingReason.TRANSFER_INCOMPLETE)
    return tuple(found)


def _transfer_broke_off(state: SeriesState) -> bool:
    """Did nobody say that this was all?

    An association that was aborted, or whose end nobody saw, may have had more to bring. It is made good by one that
    was released and had begun after the last slice of the broken one: the scanner has sent again, and finished. One
    that ran beside it has brought its own part.
    """
    accounts = state.summary.associations
    broken = [key for key, account in accounts.items() if account.kind is not LedgerKind.RELEASED]
    if not broken:
        return False
    begun = [_begun_at(state, key, account) for key, account in accounts.items() if key not in broken]
    latest = max(filter(None, begun), default=None)
    given_up = [max(brought) for key in broken if (brought := _brought(state, key))]
    return latest is None or any(last >= latest for last in given_up)


def _begun_at(state: SeriesState, association: str, account: AssociationAccount) -> datetime | None:
    """When an association brought its first object, new or known; None where it said nothing and brought nothing."""
    return account.opened_at or min(_brought(state, association), default=None)


def _brought(state: SeriesState, association: str) -> list[datetime]:
    """When an association brought its new frames."""
    return [frame.accepted_at for frame in state.frames.values() if frame.association == association]


def _remarks(state: SeriesState, covered: Coverage) -> tuple[FindingReason, ...]:
    """What the reader of the finding should know besides."""
    found = []
    if covered.refused:
        found.append(FindingReason.SLICES_REFUSED)
    if any(frame.conflicting for frame in state.frames.values()):
        found.append(FindingReason.CONFLICTING_INSTANCES)
    if state.summary.late:
        found.append(FindingReason.LATE_SLICES)
    if state.summary.model_changed:
        found.append(FindingReason.MODEL_CHANGED)
    return tuple(found)


def _without(remarks: tuple[FindingReason, ...], said: tuple[FindingReason, ...]) -> tuple[FindingReason, ...]:
    return tuple(remark for remark in remarks if remark not in said)
