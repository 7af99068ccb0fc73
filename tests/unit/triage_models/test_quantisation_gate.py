"""A quantised network that decides otherwise is refused, and the refusal says in what."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from triage_models.datasets.case import Case
from triage_models.manifest import Threshold, Thresholds
from triage_models.quantisation.gate import BOUNDS, compared, refusals
from triage_models.training.calibration import ReadCase
from triage_models.training.evaluation import Outcome


def _threshold(value: float) -> Threshold:
    return Threshold(value=value, alpha=0.05, n_negative=1, n_positive=1, chosen_on=date(2026, 1, 1), method="test")


THRESHOLDS = Thresholds(provisional=_threshold(0.9), final=_threshold(0.5), slice=_threshold(0.5))


def outcome(name: str, probability: float, bleeds: bool) -> Outcome:
    labels = np.array([bleeds] + [False] * 5)
    slice_labels = np.tile(labels, (4, 1))
    case = Case(name, (), np.arange(4.0), labels, slice_labels, 5.0, "H30")
    logit = float(np.log(probability / (1 - probability)))
    read = ReadCase(
        name, case.positions_mm, np.full((4, 6), logit), np.zeros((4, 6)), np.zeros(4), slice_labels, labels
    )
    return Outcome(case, read, np.full(6, probability), {}, (np.full(4, probability),) * 3)


def moved(one: Outcome, probability: float) -> Outcome:
    return replace(outcome(one.case.name, probability, bool(one.case.labels[0])), case=one.case)


@pytest.fixture
def outcomes() -> list[Outcome]:
    bleeding = [outcome(f"b{k}", 0.95 - 0.003 * k, True) for k in range(60)]
    clean = [outcome(f"c{k}", 0.05 + 0.003 * k, False) for k in range(60)]
    return bleeding + clean


def test_the_same_answers_pass(outcomes: list[Outcome]) -> None:
    figures = compared(outcomes, outcomes, THRESHOLDS)
    assert refusals(figures) == []
    assert figures["series_auc"] == 1.0
    assert set(BOUNDS) <= set(figures)


def test_a_hair_of_rounding_passes(outcomes: list[Outcome]) -> None:
    small = [moved(o, float(o.probabilities[0]) + 0.001) for o in outcomes]
    assert refusals(compared(outcomes, small, THRESHOLDS)) == []


def test_missed_bleeds_are_refused_and_named(outcomes: list[Outcome]) -> None:
    small = [moved(o, 0.3) if o.case.name in ("b58", "b59", "b57") else o for o in outcomes]
    told = " ".join(refusals(compared(outcomes, small, THRESHOLDS)))
    assert "sensitivity_loss" in told
    assert "final_decisions_changed" in told
    assert "specificity_loss" not in told


def test_another_order_of_series_is_refused_even_when_no_decision_changes(outcomes: list[Outcome]) -> None:
    small = [moved(o, 0.499) if o.case.name.startswith("c") else moved(o, 0.501) for o in outcomes]
    assert any("series_probability_change_p99" in reason for reason in refusals(compared(outcomes, small, THRESHOLDS)))


def test_early_warnings_that_fall_away_are_refused(outcomes: list[Outcome]) -> None:
    small = [moved(o, 0.89) if float(o.probabilities[0]) >= 0.9 else o for o in outcomes]
    told = refusals(compared(outcomes, small, THRESHOLDS))
    assert [reason.split()[0] for reason in told] == ["provisional_decisions_changed"]


def test_too_few_series_decide_nothing(outcomes: list[Outcome]) -> None:
    few = outcomes[:60] + outcomes[60:70]
    assert "too few" in refusals(compared(few, few, THRESHOLDS))[0]
