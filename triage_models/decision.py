"""What to say about a series, now: a pure function of its scores so far.

The laws: while slices arrive only the anytime threshold may speak, and what it said stays said until the series is
closed; a closed series is judged by the final threshold; a provisional alert that the whole series does not bear out is
retracted, never silently dropped; a late slice may upgrade. With no score nothing is said: "negative" needs a reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from triage_models.manifest import Thresholds


class Verdict(StrEnum):
    """Where a series stands."""

    UNDECIDED = "undecided"
    PROVISIONAL_POSITIVE = "provisional_positive"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    RETRACTED = "retracted"


class Reason(StrEnum):
    """Why."""

    NOTHING_READ = "nothing_read"
    BELOW_ANYTIME_THRESHOLD = "below_anytime_threshold"
    ANYTIME_THRESHOLD_CROSSED = "anytime_threshold_crossed"
    REOPENED_BY_LATE_SLICES = "reopened_by_late_slices"
    CONFIRMED_ON_WHOLE_SERIES = "confirmed_on_whole_series"
    FINAL_THRESHOLD_REACHED = "final_threshold_reached"
    UPGRADED_BY_LATE_SLICES = "upgraded_by_late_slices"
    NOT_BORNE_OUT_BY_WHOLE_SERIES = "not_borne_out_by_whole_series"
    BELOW_FINAL_THRESHOLD = "below_final_threshold"


@dataclass(frozen=True)
class Decision:
    """A verdict with its evidence. `crossed_at`: index of the first score at or above the anytime threshold."""

    verdict: Verdict
    reason: Reason
    score: float | None
    threshold: float
    crossed_at: int | None


_SAID_BLEED = (Verdict.PROVISIONAL_POSITIVE, Verdict.POSITIVE)
_SAID_NO_BLEED = (Verdict.NEGATIVE, Verdict.RETRACTED)


def decide(scores: Sequence[float], *, closed: bool, thresholds: Thresholds, before: Verdict | None = None) -> Decision:
    """The decision after `scores` (the series' `any` probability after each slice, in order of arrival).

    `before`: the verdict last announced, when there was one (a reopened series).
    """
    anytime, final = thresholds.provisional.value, thresholds.final.value
    crossed = next((i for i, score in enumerate(scores) if score >= anytime), None)
    if not scores:
        return Decision(Verdict.UNDECIDED, Reason.NOTHING_READ, None, final if closed else anytime, None)
    if closed:
        verdict, reason = _closed(scores[-1] >= final, crossed is not None, before)
        return Decision(verdict, reason, scores[-1], final, crossed)
    verdict, reason = _open(crossed is not None, before)
    return Decision(verdict, reason, scores[-1], anytime, crossed)


def _open(crossed: bool, before: Verdict | None) -> tuple[Verdict, Reason]:
    if before is Verdict.POSITIVE:
        return Verdict.POSITIVE, Reason.REOPENED_BY_LATE_SLICES
    if crossed and before is not Verdict.RETRACTED:
        return Verdict.PROVISIONAL_POSITIVE, Reason.ANYTIME_THRESHOLD_CROSSED
    if before is not None and before in _SAID_NO_BLEED:
        return before, Reason.REOPENED_BY_LATE_SLICES
    return Verdict.UNDECIDED, Reason.BELOW_ANYTIME_THRESHOLD


def _closed(above: bool, crossed: bool, before: Verdict | None) -> tuple[Verdict, Reason]:
    if above and before in _SAID_NO_BLEED:
        return Verdict.POSITIVE, Reason.UPGRADED_BY_LATE_SLICES
    if above and (crossed or before in _SAID_BLEED):
        return Verdict.POSITIVE, Reason.CONFIRMED_ON_WHOLE_SERIES
    if above:
        return Verdict.POSITIVE, Reason.FINAL_THRESHOLD_REACHED
    if crossed or before in _SAID_BLEED or before is Verdict.RETRACTED:
        return Verdict.RETRACTED, Reason.NOT_BORNE_OUT_BY_WHOLE_SERIES
    return Verdict.NEGATIVE, Reason.BELOW_FINAL_THRESHOLD
