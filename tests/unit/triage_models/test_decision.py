"""The decision says what DESIGN.md promises, at every moment of a series."""

from datetime import date

import pytest

from triage_models.decision import Reason, Verdict, decide
from triage_models.manifest import Threshold, Thresholds


def _threshold(value: float) -> Threshold:
    return Threshold(value=value, alpha=0.05, n_negative=100, n_positive=100, chosen_on=date(2026, 1, 1), method="test")


THRESHOLDS = Thresholds(provisional=_threshold(0.9), final=_threshold(0.5), slice=_threshold(0.5))


@pytest.mark.parametrize(
    ("scores", "closed", "before", "verdict", "reason"),
    [
        ([], False, None, Verdict.UNDECIDED, Reason.NOTHING_READ),
        ([], True, None, Verdict.UNDECIDED, Reason.NOTHING_READ),
        ([0.1, 0.8], False, None, Verdict.UNDECIDED, Reason.BELOW_ANYTIME_THRESHOLD),
        ([0.1, 0.95], False, None, Verdict.PROVISIONAL_POSITIVE, Reason.ANYTIME_THRESHOLD_CROSSED),
        ([0.95, 0.2], False, None, Verdict.PROVISIONAL_POSITIVE, Reason.ANYTIME_THRESHOLD_CROSSED),
        ([0.95, 0.7], True, Verdict.PROVISIONAL_POSITIVE, Verdict.POSITIVE, Reason.CONFIRMED_ON_WHOLE_SERIES),
        ([0.1, 0.6], True, None, Verdict.POSITIVE, Reason.FINAL_THRESHOLD_REACHED),
        ([0.1, 0.4], True, None, Verdict.NEGATIVE, Reason.BELOW_FINAL_THRESHOLD),
        ([0.95, 0.2], True, Verdict.PROVISIONAL_POSITIVE, Verdict.RETRACTED, Reason.NOT_BORNE_OUT_BY_WHOLE_SERIES),
        ([0.1, 0.6], True, Verdict.NEGATIVE, Verdict.POSITIVE, Reason.UPGRADED_BY_LATE_SLICES),
        ([0.1, 0.6], False, Verdict.NEGATIVE, Verdict.NEGATIVE, Reason.REOPENED_BY_LATE_SLICES),
        ([0.1, 0.95], False, Verdict.NEGATIVE, Verdict.PROVISIONAL_POSITIVE, Reason.ANYTIME_THRESHOLD_CROSSED),
        ([0.6, 0.4], True, Verdict.POSITIVE, Verdict.RETRACTED, Reason.NOT_BORNE_OUT_BY_WHOLE_SERIES),
    ],
)
def test_says(scores: list[float], closed: bool, before: Verdict | None, verdict: Verdict, reason: Reason) -> None:
    decision = decide(scores, closed=closed, thresholds=THRESHOLDS, before=before)
    assert (decision.verdict, decision.reason) == (verdict, reason)


def test_a_provisional_alert_stays_until_the_series_is_closed() -> None:
    scores = [0.2, 0.92, 0.3, 0.1]
    said = [decide(scores[:n], closed=False, thresholds=THRESHOLDS).verdict for n in range(1, 5)]
    assert said == [Verdict.UNDECIDED, *[Verdict.PROVISIONAL_POSITIVE] * 3]


def test_names_the_slice_that_crossed() -> None:
    assert decide([0.2, 0.92, 0.95], closed=False, thresholds=THRESHOLDS).crossed_at == 1
