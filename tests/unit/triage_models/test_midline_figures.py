"""The evaluation tells how wrong midline shifts were, and counts what could not be measured against it."""

import pytest

from triage_models.bleeds import Measured
from triage_models.midline_shift import MidlineMeasurement
from triage_models.training.midline_figures import midline_figures, midline_metrics


def found(value: float, half: float = 2.0) -> MidlineMeasurement:
    return MidlineMeasurement(shift_mm=Measured(value=value, low=value - half, high=value + half), slice=0)


SERIES = [
    (8.0, found(7.0)),
    (-6.0, found(-3.0)),
    (7.0, None),
    (0.5, found(-0.5)),
    (1.0, found(-5.5)),
    (None, found(9.0)),
]


def test_errors_are_of_what_was_measured_and_has_a_truth() -> None:
    figures = midline_figures(SERIES)
    assert figures["n"] == 5
    assert figures["mean_absolute_error_mm"] == pytest.approx((1 + 3 + 1 + 6.5) / 4, abs=0.01)
    assert figures["told"] == {"n": 3, "to_the_wrong_side": 1}


def test_what_could_not_be_measured_was_not_found() -> None:
    metrics = midline_metrics(midline_figures(SERIES))
    assert metrics["midline_shift_5_mm_sensitivity"] == pytest.approx(1 / 3, abs=1e-3)
    assert metrics["midline_shift_5_mm_specificity"] == pytest.approx(1 / 2)
    assert metrics["midline_shift_within_interval"] == pytest.approx(1 / 2)
    assert metrics["midline_shift_measured_share"] == pytest.approx(0.8)


def test_without_a_truth_nothing_is_said() -> None:
    assert midline_figures([(None, found(3.0))]) == {}
    assert midline_metrics({}) == {}
    assert midline_metrics(midline_figures([(3.0, None)])) == {}
