"""Figures of merit with their uncertainty: AUC (DeLong), exact binomial intervals, calibration error."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Vector = NDArray[np.floating]


def auc(truth: Vector, score: Vector) -> float:
    """Area under the ROC curve with ties counted half; NaN when one class is missing."""
    positive, negative = score[truth > 0.5], score[truth <= 0.5]
    if not len(positive) or not len(negative):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))


def roc_points(truth: Vector, score: Vector, most: int = 100) -> list[dict[str, float]]:
    """The ROC curve from (0, 0) to (1, 1) in at most `most` points; empty when one class is missing."""
    order = np.argsort(-score, kind="stable")
    there = truth[order] > 0.5
    if there.all() or not there.any():
        return []
    cuts = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    cuts = cuts[np.linspace(0, len(cuts) - 1, min(most - 1, len(cuts))).round().astype(int)]
    false, true = (np.cumsum(hit)[cuts] / hit.sum() for hit in (~there, there))
    points = [(0.0, 0.0), *zip(false.tolist(), true.tolist(), strict=True)]
    return [{"false": round(x, 4), "true": round(y, 4)} for x, y in points]


def auc_interval(truth: Vector, score: Vector, level: float = 0.95) -> tuple[float, float, float]:
    """(AUC, low, high) by DeLong's variance (DeLong et al., Biometrics 1988), on the logit scale.

    Without any variance (perfect order) the rule of three on the smaller class stands in.
    """
    positive, negative = score[truth > 0.5], score[truth <= 0.5]
    value = auc(truth, score)
    if not len(positive) > 1 or not len(negative) > 1:
        return value, float("nan"), float("nan")
    placed_p = _placements(positive, negative)
    placed_n = 1 - _placements(negative, positive)
    variance = placed_p.var(ddof=1) / len(positive) + placed_n.var(ddof=1) / len(negative)
    if not 1e-9 < value < 1 - 1e-9 or variance <= 0:
        margin = min(1.0, 3.0 / min(len(positive), len(negative)))
        return value, max(0.0, value - margin), min(1.0, value + margin)
    z = float(stats.norm.ppf(0.5 + level / 2))
    centre, spread = np.log(value / (1 - value)), z * np.sqrt(variance) / (value * (1 - value))
    return value, float(1 / (1 + np.exp(-(centre - spread)))), float(1 / (1 + np.exp(-(centre + spread))))


def _placements(values: Vector, others: Vector) -> NDArray[np.float64]:
    """For each value the share of `others` below it, ties half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left")
    upto = np.searchsorted(ordered, values, "right")
    return np.asarray((below + upto) / 2 / len(others), np.float64)


def proportion_interval(hits: int, total: int, level: float = 0.95) -> tuple[float, float, float]:
    """(share, low, high) by Clopper and Pearson (exact)."""
    if total == 0:
        return float("nan"), 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if hits == 0 else float(stats.beta.ppf(tail, hits, total - hits + 1))
    high = 1.0 if hits == total else float(stats.beta.ppf(1 - tail, hits + 1, total - hits))
    return hits / total, low, high


def calibration_error(truth: Vector, probability: Vector, bins: int = 10) -> float:
    """Expected calibration error over equally filled bins."""
    order = np.argsort(probability, kind="stable")
    parts = [p for p in np.array_split(order, bins) if len(p)]
    gaps = [abs(float(truth[p].mean()) - float(probability[p].mean())) * len(p) for p in parts]
    return float(sum(gaps) / len(order))


def order_statistic_threshold(maxima: Vector, alpha: float, confidence: float = 0.95) -> float:
    """An upper tolerance limit of the negatives' running maxima (Wilks, Ann. Math. Stat. 1941).

    The smallest of them that, with this confidence, at most a share α of exchangeable negatives exceeds: the share
    below the r-th smallest of n is distributed as Beta(r, n − r + 1). With too few negatives for what is asked,
    infinity: no threshold can promise it.
    """
    n = len(maxima)
    ranks = np.arange(1, n + 1)
    kept = np.flatnonzero(stats.beta.sf(1 - alpha, ranks, n - ranks + 1) >= confidence)
    return float(np.sort(maxima)[kept[0]]) if len(kept) else float("inf")


def least_negatives(alpha: float, confidence: float = 0.95) -> int:
    """How many negatives an order statistic needs to promise α: with fewer, the highest of them may be too low."""
    return int(np.ceil(np.log(1 - confidence) / np.log(1 - alpha)))


def named(triple: tuple[float, float, float]) -> dict[str, float | None]:
    """A value and its interval as JSON: None where it is not known."""
    names = ("value", "low", "high")
    return {name: None if np.isnan(v) else round(v, 4) for name, v in zip(names, triple, strict=True)}
