"""Calibration and evaluation on readings whose truth is known."""

from datetime import date

import numpy as np
import pytest

from triage_models.labels import LABELS
from triage_models.series_score import series_features
from triage_models.training.calibration import (
    ReadCase,
    arrival_orders,
    choose_slice_threshold,
    choose_thresholds,
    fit_calibration,
    fit_series,
    series_curve,
)


def a_case(rng: np.random.Generator, positive: bool, slices: int = 20) -> ReadCase:
    labels = np.zeros((slices, 6), np.bool_)
    if positive:
        labels[8:13, [0, 5]] = True
    logits = rng.normal(-2.5, 1.0, (slices, 6)) + 5.0 * labels
    areas = np.where(labels, 300.0, 0.0)
    return ReadCase("case", np.arange(slices) * 5.0, logits, areas, np.full(slices, 9e3), labels, labels.any(0))


@pytest.fixture(scope="module")
def cases() -> list[ReadCase]:
    rng = np.random.default_rng(0)
    return [a_case(rng, positive=k % 2 == 0) for k in range(60)]


def test_overconfident_logits_are_cooled() -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(0, 2, 4000)
    truth = rng.random(4000) < 1 / (1 + np.exp(-z))
    table = fit_calibration(np.repeat(3 * z[:, None], 6, 1), np.repeat(truth[:, None], 6, 1))
    assert table["any"].temperature == pytest.approx(3.0, rel=0.15)


def test_series_model_never_counts_evidence_against_a_bleed(cases: list[ReadCase]) -> None:
    heads = fit_series(cases, 0)
    assert set(heads) == set(LABELS)
    assert all(w >= 0 for head in heads.values() for w in head.weights)


def test_thresholds_separate_and_keep_alpha(cases: list[ReadCase]) -> None:
    heads = fit_series(cases, 0)
    logits = np.concatenate([c.logits for c in cases])
    truth = np.concatenate([c.slice_labels for c in cases if c.slice_labels is not None])
    single = choose_slice_threshold(logits, truth, date(2026, 1, 1))
    thresholds, quantiles = choose_thresholds(cases, heads, single, alpha=0.1, seed=0, today=date(2026, 1, 1))
    rng = np.random.default_rng(5)
    fresh = [a_case(rng, positive=False) for _ in range(60)]
    curves = [series_curve(c, arrival_orders(rng, c.positions_mm)[0], heads) for c in fresh]
    assert np.mean([curve.max() >= thresholds.provisional.value for curve in curves]) < 0.25
    assert np.mean([curve[-1] >= thresholds.final.value for curve in curves]) < 0.1
    told = [series_curve(c, np.arange(20), heads)[-1] for c in cases if c.labels[0]]
    assert np.mean(np.array(told) >= thresholds.final.value) > 0.95
    assert len(quantiles.negative) == 21


def test_features_do_not_depend_on_the_order(cases: list[ReadCase]) -> None:
    case, order = cases[0], np.random.default_rng(3).permutation(20)
    straight = series_features(case.positions_mm, case.logits, case.areas_mm2)
    shuffled = series_features(case.positions_mm[order], case.logits[order], case.areas_mm2[order])
    assert np.allclose(straight, shuffled)
