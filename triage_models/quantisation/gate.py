"""The gate of a quantised network: it decides as the network it was made from, within stated bounds, or it is refused.

Pure: both networks' outcomes on the same labelled series in, figures and refusals out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from triage_models.manifest import Thresholds
from triage_models.training.evaluation import Outcome
from triage_models.training.measures import auc

Vector = NDArray[np.float64]

BOUNDS: dict[str, float] = {
    "series_auc_loss": 0.005,
    "slice_auc_loss": 0.005,
    "sensitivity_loss": 0.015,
    "specificity_loss": 0.015,
    "final_decisions_changed": 0.02,
    "provisional_decisions_changed": 0.03,
    "slice_decisions_changed": 0.01,
    "series_probability_change_p99": 0.10,
}
"""The most that is allowed of each figure; shares and differences, 0–1."""

LEAST_CASES = 25
"""Series with a bleed, and series without, below which nothing can be said."""


def compared(whole: Sequence[Outcome], small: Sequence[Outcome], thresholds: Thresholds) -> dict[str, float]:
    """What changed from the network in floating point (`whole`) to the quantised one (`small`), case by case."""
    truth = np.array([bool(o.case.labels[0]) for o in whole])
    one, other = (np.array([o.probabilities[0] for o in each]) for each in (whole, small))
    slice_truth, slice_one = _slices(whole)
    _, slice_other = _slices(small)
    final, early, single = thresholds.final.value, thresholds.provisional.value, thresholds.slice.value
    return {
        "series_auc": _auc(truth, one),
        "series_auc_int8": _auc(truth, other),
        "series_auc_loss": _auc(truth, one) - _auc(truth, other),
        "slice_auc": _auc(slice_truth, slice_one),
        "slice_auc_int8": _auc(slice_truth, slice_other),
        "slice_auc_loss": _auc(slice_truth, slice_one) - _auc(slice_truth, slice_other),
        "sensitivity_loss": _share(one[truth] >= final) - _share(other[truth] >= final),
        "specificity_loss": _share(one[~truth] < final) - _share(other[~truth] < final),
        "final_decisions_changed": _share((one >= final) != (other >= final)),
        "provisional_decisions_changed": _share(_crossed(whole, early) != _crossed(small, early)),
        "slice_decisions_changed": _share((slice_one >= single) != (slice_other >= single)),
        "series_probability_change_p99": float(np.quantile(np.abs(one - other), 0.99)),
        "series": float(len(truth)),
        "series_with_a_bleed": float(truth.sum()),
    }


def refusals(figures: Mapping[str, float], bounds: Mapping[str, float] = BOUNDS) -> list[str]:
    """Why the quantised network is refused; empty when it passes."""
    positives, negatives = figures["series_with_a_bleed"], figures["series"] - figures["series_with_a_bleed"]
    if min(positives, negatives) < LEAST_CASES:
        return [f"{positives:.0f} series with a bleed and {negatives:.0f} without are too few; {LEAST_CASES} of each"]
    return [f"{name} is {figures[name]:.4f}, at most {most:g}" for name, most in bounds.items() if figures[name] > most]


def _auc(truth: NDArray[np.bool_], score: Vector) -> float:
    return float(auc(truth.astype(np.float64), score))


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else 0.0


def _crossed(outcomes: Sequence[Outcome], cut: float) -> NDArray[np.bool_]:
    """Per series and arrival order: would a provisional finding have been published?"""
    return np.array([bool((curve >= cut).any()) for o in outcomes for curve in o.curves])


def _slices(outcomes: Sequence[Outcome]) -> tuple[NDArray[np.bool_], Vector]:
    """(truth, probability) of `any` of every labelled slice."""
    labelled = [o for o in outcomes if o.case.slice_labels is not None]
    truth = [np.asarray(o.case.slice_labels)[:, 0] for o in labelled]
    logits = [o.read.logits[:, 0] for o in labelled]
    if not labelled:
        return np.zeros(0, np.bool_), np.zeros(0)
    return np.concatenate(truth).astype(np.bool_), 1 / (1 + np.exp(-np.concatenate(logits)))
