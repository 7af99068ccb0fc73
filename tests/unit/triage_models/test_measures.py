"""Figures of merit agree with what is known about them."""

from itertools import pairwise

import numpy as np
import pytest

from triage_models.training.measures import (
    auc,
    auc_interval,
    calibration_error,
    least_negatives,
    order_statistic_threshold,
    proportion_interval,
    roc_points,
)


def test_auc_of_order_chance_and_ties() -> None:
    truth = np.array([0.0, 0, 1, 1])
    assert auc(truth, np.array([1.0, 2, 3, 4])) == 1.0
    assert auc(truth, np.array([1.0, 1, 1, 1])) == 0.5
    assert np.isnan(auc(np.zeros(3), np.arange(3.0)))


def test_auc_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0.0, 1.0], 60)
    true_auc = 0.7602  # P(Z < 1/√2) for two unit normals one apart
    hits = 0
    for _ in range(300):
        _, low, high = auc_interval(truth, rng.normal(truth, 1))
        hits += low <= true_auc <= high
    assert 0.91 < hits / 300 < 0.99


def test_exact_interval_is_clopper_pearson() -> None:
    share, low, high = proportion_interval(9, 10)
    assert (share, low, high) == pytest.approx((0.9, 0.5550, 0.9975), abs=1e-4)
    assert proportion_interval(0, 0)[1:] == (0.0, 1.0)
    assert proportion_interval(10, 10)[2] == 1.0


def test_calibration_error_is_zero_for_honest_probabilities() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(20000)
    assert calibration_error((rng.random(20000) < p).astype(float), p) < 0.02
    assert calibration_error(np.ones(100), np.zeros(100)) == 1.0


def test_nineteen_of_twenty_calibrations_keep_alpha_and_are_not_far_below() -> None:
    rng = np.random.default_rng(2)
    above = np.array([1 - order_statistic_threshold(rng.random(199), 0.05) for _ in range(2000)])
    assert 0.01 < np.mean(above > 0.05) < 0.06
    assert np.mean(above) > 0.015


def test_too_few_negatives_promise_nothing() -> None:
    assert order_statistic_threshold(np.random.default_rng(3).random(10), 0.05) == float("inf")


@pytest.mark.parametrize(("alpha", "needed"), [(0.05, 59), (0.1, 29), (0.01, 299)])
def test_how_many_negatives_a_promise_needs(alpha: float, needed: int) -> None:
    assert least_negatives(alpha) == needed
    scores = np.random.default_rng(4).random(needed)
    assert order_statistic_threshold(scores[1:], alpha) == float("inf")
    assert order_statistic_threshold(scores, alpha) == scores.max()


def test_the_roc_curve_goes_from_nothing_to_everything() -> None:
    points = roc_points(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.9]))
    assert [(p["false"], p["true"]) for p in points] == [(0, 0), (0, 0.5), (0.5, 1), (1, 1)]


def test_the_roc_curve_has_few_points_and_the_same_area() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 3000).astype(float)
    score = truth + rng.normal(0, 1, 3000)
    points = roc_points(truth, score)
    assert len(points) == 100
    assert points[-1] == {"false": 1, "true": 1}
    area = sum((b["false"] - a["false"]) * (a["true"] + b["true"]) / 2 for a, b in pairwise(points))
    assert area == pytest.approx(auc(truth, score), abs=0.005)
    assert roc_points(np.ones(5), np.arange(5.0)) == []
