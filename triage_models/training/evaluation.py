"""How good a model is on labelled series, with the uncertainty of every figure.

Series and slices, per label and per subgroup, calibration, time to decision, and the promise of the anytime threshold.
Slices are read as they are, in four arrival orders. A running pipeline also averages slices under 2.5 mm to slabs and
refuses bone kernels; here neither is done.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triage_models.datasets.case import Case
from triage_models.labels import LABELS, TYPES
from triage_models.manifest import Manifest
from triage_models.reader import Reader
from triage_models.training.calibration import ReadCase, arrival_orders, series_curve, series_outcome
from triage_models.training.calibration import read_case as read_one
from triage_models.training.measures import auc_interval, calibration_error, named, proportion_interval, roc_points
from triage_models.training.midline_figures import midline_figures, midline_metrics
from triage_models.training.pictures import Pictures

Figures = dict[str, object]
Matrix = NDArray[np.float64]

_LEAST_VOLUME_ML = 0.5
_LEAST_RATIOS = 10
_STEPS = 20

PICTURE_SEED = 17
"""Of the pictures that an evaluation makes."""

VOLUME_BANDS_ML = ((0.0, 5.0), (5.0, 25.0), (25.0, float("inf")))


@dataclass(frozen=True)
class Outcome:
    """One case, read: series probabilities `[6]`, the `any` curve of each arrival order, measured volumes."""

    case: Case
    read: ReadCase
    probabilities: Matrix
    volumes_ml: dict[str, float]
    curves: tuple[Matrix, ...]


def read_outcomes(
    reader: Reader, cases: Iterable[Case], pictures: Pictures | None = None, *, seed: int = 3
) -> list[Outcome]:
    """Every case through the reader, and into `pictures` where they are wanted; no pixels are kept."""
    rng = np.random.default_rng(seed)
    return [_outcome(reader, case, pictures, rng) for case in cases]


def _outcome(reader: Reader, case: Case, pictures: Pictures | None, rng: np.random.Generator) -> Outcome:
    read = read_one(reader, case)
    if pictures is not None:
        pictures.add(case, read.brain_mm2)
    probabilities = series_outcome(reader.manifest, read)
    volumes = {bleed.type: bleed.volume_ml.value for bleed in read.bleeds}
    curves = tuple(
        series_curve(read, order, reader.manifest.series) for order in arrival_orders(rng, read.positions_mm)
    )
    return Outcome(case.without_pixels(), read, probabilities, volumes, curves)


def report(reader: Reader, outcomes: Sequence[Outcome]) -> Figures:
    """All figures, ready for JSON."""
    manifest = reader.manifest
    return {
        "model": {"name": manifest.name, "version": manifest.version, "files": manifest.files},
        "cases": len(outcomes),
        "positive_cases": int(sum(bool(o.case.labels[0]) for o in outcomes)),
        "unreadable_slices": sum(o.case.unreadable for o in outcomes),
        "series": _series_figures(outcomes, manifest.thresholds.final.value),
        "by_volume_ml": _by_volume(outcomes, manifest.thresholds.final.value),
        "by_type": _by_type(outcomes, manifest.thresholds.final.value),
        "by_thickness_mm": _by(outcomes, manifest.thresholds.final.value, lambda c: f"{c.thickness_mm or 0:g}"),
        "by_kernel": _by(outcomes, manifest.thresholds.final.value, lambda c: c.kernel),
        "slices": _slice_figures(outcomes, manifest.thresholds.slice.value),
        "anytime": _anytime_figures(
            outcomes, manifest.thresholds.provisional.value, manifest.thresholds.provisional.alpha
        ),
        "told_by_share": _told_by_share(outcomes, manifest.thresholds.provisional.value),
        "volumes": _volume_figures(outcomes),
        "midline_shift": midline_figures([(o.case.midline_shift_mm, o.read.midline) for o in outcomes]),
    }


def recorded(manifest: Manifest, figures: Mapping[str, Any], outcomes: Sequence[Outcome]) -> Manifest:
    """The manifest with the evaluation's main figures, and with how wrong its volumes were."""
    metrics: dict[str, float] = {"evaluation_series": float(figures["cases"])}
    for part in ("series", "slices", "pictures"):
        found = figures.get(part)
        if found:
            metrics |= _flat(part, found)
    anytime = figures["anytime"]
    metrics["false_provisional_share"] = round(anytime["false_provisional"]["share"], 4)
    metrics["false_provisional_upper_95"] = anytime["false_provisional"]["upper_95"]
    one_order = anytime["false_provisional"]["in_one_order"]
    metrics["false_provisional_share_in_one_order"] = one_order["share"]
    metrics["false_provisional_upper_95_in_one_order"] = one_order["upper_95"]
    if anytime["median_share_of_slices_when_told"] is not None:
        metrics["median_share_of_slices_when_told"] = anytime["median_share_of_slices_when_told"]
    metrics |= midline_metrics(figures["midline_shift"])
    return manifest.model_copy(update={"metrics": metrics, "volume_errors": volume_errors(outcomes)})


def _flat(part: str, found: Mapping[str, Any]) -> dict[str, float]:
    """AUC per label with its interval for `any`, sensitivity, specificity, calibration error."""
    out = {f"{part}_auc_{name}": value["value"] for name, value in found["auc"].items() if value["value"] is not None}
    for name in ("sensitivity", "specificity"):
        out |= {f"{part}_{name}{suffix}": found[name][key] for suffix, key in _SUFFIXES if found[name][key] is not None}
    return {**out, f"{part}_calibration_error": found["calibration_error"]}


_SUFFIXES = (("", "value"), ("_low", "low"), ("_high", "high"))


def volume_errors(outcomes: Sequence[Outcome]) -> dict[str, tuple[float, float, float]]:
    """Per type the 2.5 %, 50 % and 97.5 % quantile of true over measured volume, where both are at least 0.5 mL."""
    out = {}
    for name in TYPES:
        pairs = [(o.case.volumes_ml.get(name, 0.0), o.volumes_ml.get(name, 0.0)) for o in outcomes]
        ratios = [true / measured for true, measured in pairs if min(true, measured) >= _LEAST_VOLUME_ML]
        if len(ratios) >= _LEAST_RATIOS:
            low, middle, high = (round(float(v), 3) for v in np.quantile(ratios, (0.025, 0.5, 0.975)))
            out[name] = (low, middle, high)
    return out


def picture_report(reader: Reader, pictures: Pictures) -> Figures:
    """Single slices through somebody's viewer, at the slice threshold; empty without pictures of both kinds."""
    if not pictures.show_both:
        return {}
    truth, probability = pictures.labels, 1 / (1 + np.exp(-pictures.logits))
    return {
        **_label_figures(truth, probability),
        **_operating(truth[:, 0], probability[:, 0], reader.manifest.thresholds.slice.value),
    }


def _series_figures(outcomes: Sequence[Outcome], cut: float) -> Figures:
    truth = np.array([o.case.labels for o in outcomes])
    probability = np.array([o.probabilities for o in outcomes])
    return {
        **_label_figures(truth, probability),
        **_operating(truth[:, 0], probability[:, 0], cut),
        "roc": roc_points(truth[:, 0].astype(float), probability[:, 0]),
    }


def _slice_figures(outcomes: Sequence[Outcome], cut: float) -> Figures:
    known = [o for o in outcomes if o.read.slice_labels is not None]
    if not known:
        return {}
    truth = np.concatenate([o.read.slice_labels for o in known if o.read.slice_labels is not None])
    probability = np.concatenate([1 / (1 + np.exp(-o.read.logits)) for o in known])
    return {**_label_figures(truth, probability), **_operating(truth[:, 0], probability[:, 0], cut)}


def _label_figures(truth: NDArray[np.bool_], probability: Matrix) -> Figures:
    columns = [(name, truth[:, i].astype(float), probability[:, i]) for i, name in enumerate(LABELS)]
    return {
        "n": len(truth),
        "n_positive": {name: int(there.sum()) for name, there, _ in columns},
        "auc": {name: named(auc_interval(there, score)) for name, there, score in columns},
        "calibration_errors": {name: round(calibration_error(there, score), 4) for name, there, score in columns},
    }


def _operating(truth: NDArray[np.bool_], score: Matrix, cut: float) -> Figures:
    above = score >= cut
    return {
        "threshold": cut,
        "sensitivity": named(proportion_interval(int((above & truth).sum()), int(truth.sum()))),
        "specificity": named(proportion_interval(int((~above & ~truth).sum()), int((~truth).sum()))),
        "calibration_error": round(calibration_error(truth.astype(float), score), 4),
        "reliability": _reliability(truth, score),
    }


def _reliability(truth: NDArray[np.bool_], score: Matrix) -> list[dict[str, float]]:
    edges = np.linspace(0, 1, 11)
    bins = np.clip(np.digitize(score, edges) - 1, 0, 9)
    return [
        {
            "predicted": round(float(score[bins == b].mean()), 4),
            "observed": round(float(truth[bins == b].mean()), 4),
            "n": int((bins == b).sum()),
        }
        for b in range(10)
        if (bins == b).any()
    ]


def _by_volume(outcomes: Sequence[Outcome], cut: float) -> Figures:
    """Sensitivity by total volume of blood."""
    out: Figures = {}
    for low, high in VOLUME_BANDS_ML:
        chosen = [
            o
            for o in outcomes
            if o.case.labels[0] and low <= sum(o.case.volumes_ml.values()) < high and o.case.volumes_ml
        ]
        hits = sum(bool(o.probabilities[0] >= cut) for o in chosen)
        out[f"{low:g}-{high:g}"] = {"n": len(chosen), "sensitivity": named(proportion_interval(hits, len(chosen)))}
    return out


def _by_type(outcomes: Sequence[Outcome], cut: float) -> Figures:
    """Share of the series with each type that are told, whatever type is told of them."""
    out: Figures = {}
    for index, name in enumerate(TYPES, start=1):
        chosen = [o for o in outcomes if o.case.labels[index]]
        hits = sum(bool(o.probabilities[0] >= cut) for o in chosen)
        out[name] = {"n": len(chosen), "sensitivity": named(proportion_interval(hits, len(chosen)))}
    return out


def _by(outcomes: Sequence[Outcome], cut: float, key: Callable[[Case], str]) -> Figures:
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(key(outcome.case), []).append(outcome)
    return {name: _series_figures_short(group, cut) for name, group in sorted(groups.items())}


def _series_figures_short(group: Sequence[Outcome], cut: float) -> Figures:
    truth = np.array([bool(o.case.labels[0]) for o in group])
    above = np.array([bool(o.probabilities[0] >= cut) for o in group])
    return {
        "n": len(group),
        "sensitivity": named(proportion_interval(int((above & truth).sum()), int(truth.sum()))),
        "specificity": named(proportion_interval(int((~above & ~truth).sum()), int((~truth).sum()))),
    }


def _anytime_figures(outcomes: Sequence[Outcome], cut: float, alpha: float) -> Figures:
    """How early positives are told, and how often negatives are.

    A series comes in one order; `false_provisional` counts a negative that would have alerted in any of the arrival
    orders tried, `in_one_order` each order for itself. Upper bounds are one-sided; that of one order is the worst's.
    """
    positives = [o for o in outcomes if o.case.labels[0]]
    negatives = [o for o in outcomes if not o.case.labels[0]]
    shares = np.array([[_first(curve, cut) for curve in o.curves] for o in positives])
    told = np.isfinite(shares) if len(shares) else np.zeros((0, 1), bool)
    crossed = np.array([[bool((curve >= cut).any()) for curve in o.curves] for o in negatives], bool)
    crossed = crossed.reshape(len(negatives), crossed.size // max(1, len(negatives)))
    false, by_order = int(crossed.any(axis=1).sum()), [int(count) for count in crossed.sum(axis=0)]
    _, _, high = proportion_interval(false, len(negatives), level=0.90)
    _, _, high_of_one = proportion_interval(max(by_order, default=0), len(negatives), level=0.90)
    return {
        "threshold": cut,
        "alpha": alpha,
        "false_provisional": {
            "n": len(negatives),
            "count": false,
            "share": false / max(1, len(negatives)),
            "upper_95": round(high, 4),
            "in_one_order": {
                "counts": by_order,
                "share": round(float(crossed.mean()), 4) if crossed.size else 0.0,
                "upper_95": round(high_of_one, 4),
            },
        },
        "positives_told_early": round(float(told.mean()), 4) if len(positives) else None,
        "median_share_of_slices_when_told": round(float(np.median(shares[told])), 4) if told.any() else None,
        "median_share_of_slices_counting_untold_as_whole": round(float(np.median(np.where(told, shares, 1.0))), 4)
        if len(positives)
        else None,
    }


def _told_by_share(outcomes: Sequence[Outcome], cut: float) -> list[dict[str, float]]:
    """How many positives (over the arrival orders) are told when a share of their slices has been seen; cumulative."""
    shares = np.array([_first(curve, cut) for o in outcomes if o.case.labels[0] for curve in o.curves])
    if not len(shares):
        return []
    seen = [step / _STEPS for step in range(1, _STEPS + 1)]
    return [{"seen": share, "told": round(float((shares <= share).mean()), 4)} for share in seen]


def _first(curve: Matrix, cut: float) -> float:
    """Share of the slices that had come in at the first crossing; infinite when it never crossed."""
    crossed = np.flatnonzero(curve >= cut)
    return float((crossed[0] + 1) / len(curve)) if len(crossed) else float("inf")


def _volume_figures(outcomes: Sequence[Outcome]) -> Figures:
    """Measured against true volumes (mL) where the type is present: median bias, median absolute error, correlation."""
    out: Figures = {}
    for name in TYPES:
        pairs = np.array(
            [
                (o.case.volumes_ml[name], o.volumes_ml.get(name, 0.0))
                for o in outcomes
                if o.case.volumes_ml.get(name, 0.0) >= 0.5
            ]
        )
        if len(pairs) < 3:
            continue
        error = pairs[:, 1] - pairs[:, 0]
        out[name] = {
            "n": len(pairs),
            "median_bias_ml": round(float(np.median(error)), 2),
            "median_absolute_error_ml": round(float(np.median(np.abs(error))), 2),
            "limits_of_agreement_ml": [round(float(v), 1) for v in np.quantile(error, (0.025, 0.975))],
            "correlation": round(float(np.corrcoef(pairs.T)[0, 1]), 3),
            "within_interval": _within_interval(outcomes, name),
        }
    return out


def _within_interval(outcomes: Sequence[Outcome], name: str) -> dict[str, float | None]:
    """How often the truth lay in the interval told, of the bleeds of a type that were there and segmented."""
    told = [
        bleed.volume_ml.low <= o.case.volumes_ml[name] <= bleed.volume_ml.high
        for o in outcomes
        for bleed in o.read.bleeds
        if bleed.type == name
        and o.case.volumes_ml.get(name, 0.0) >= _LEAST_VOLUME_ML
        and bleed.volume_ml.low is not None
        and bleed.volume_ml.high is not None
    ]
    return named(proportion_interval(sum(told), len(told)))
