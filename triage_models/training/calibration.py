"""Turns a trained network into something that may speak: calibrated probabilities, a series model, three thresholds,
and measurements with their uncertainty.

Order: slice calibration → series model on prefixes → thresholds → measurements, each from the same labelled cases,
which must be none that the network was trained on. Where no slice is labelled, the calibration of slices and their
threshold stay as they were. Works for any labelled set and model folder (`tocsin calibrate`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from triage_models.bleeds import BleedMeasurement
from triage_models.datasets.case import Case
from triage_models.errors import DatasetError
from triage_models.labels import LABELS, TYPES
from triage_models.manifest import (
    Calibration,
    Manifest,
    MeasurementFit,
    Quantiles,
    SeriesHead,
    Threshold,
    Thresholds,
)
from triage_models.midline_shift import MidlineMeasurement
from triage_models.reader import Reader, SliceReading
from triage_models.series_score import series_features, series_probabilities
from triage_models.training.measurement_fit import fit_measurements
from triage_models.training.measures import order_statistic_threshold
from triage_models.training.pictures import Pictures

Matrix = NDArray[np.float64]

_PREFIXES_PER_CASE = 10
_FOLDS = 5
_FOLDINGS = 5
_SENSITIVITY_WEIGHT = 2.0
_LEAST_SERIES_THRESHOLD = 0.02


@dataclass(frozen=True)
class ReadCase:
    """A case after the network: positions `[S]`, logits `[S, 6]`, areas mm² `[S, 6]`, brain mm² `[S]`, labels,
    what was measured.
    """

    case_name: str
    positions_mm: Matrix
    logits: Matrix
    areas_mm2: Matrix
    brain_mm2: Matrix
    slice_labels: NDArray[np.bool_] | None
    labels: NDArray[np.bool_]
    bleeds: tuple[BleedMeasurement, ...] = ()
    midline: MidlineMeasurement | None = None


def read_case(reader: Reader, case: Case) -> ReadCase:
    """One case through the reader."""
    readings = [reading for reading, _ in reader.read(case.slices)]
    placed = list(zip(case.positions_mm.tolist(), readings, strict=True))
    return ReadCase(
        case.name,
        case.positions_mm,
        np.array([r.logits for r in readings]),
        np.array([areas_of(r) for r in readings]),
        np.array([r.brain_mm2 for r in readings]),
        case.slice_labels,
        case.labels,
        tuple(reader.measure(placed)),
        reader.measure_midline(placed),
    )


def areas_of(reading: SliceReading) -> list[float]:
    """Areas in the order of LABELS; `any` is their sum."""
    types = [reading.findings[name].area_mm2 if name in reading.findings else 0.0 for name in TYPES]
    return [sum(types), *types]


def fit_calibration(logits: Matrix, truth: NDArray[np.bool_]) -> dict[str, Calibration]:
    """Platt scaling per label: temperature and bias of least cross-entropy, classes weighted equally."""
    return {name: _platt(logits[:, i], truth[:, i]) for i, name in enumerate(LABELS)}


def _platt(logit: Matrix, truth: NDArray[np.bool_]) -> Calibration:
    if truth.all() or not truth.any():
        return Calibration(temperature=1.0)
    weight = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))

    def loss(x: Matrix) -> float:
        z = logit / np.exp(x[0]) + x[1]
        return float((weight * (np.logaddexp(0, z) - truth * z)).mean() + 1e-3 * float(x @ x))

    best = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return Calibration(temperature=round(float(np.exp(best[0])), 4), bias=round(float(best[1]), 4))


def apply_calibration(logits: Matrix, table: dict[str, Calibration]) -> Matrix:
    """Calibrated logits `[N, 6]`."""
    temperature = np.array([table[name].temperature for name in LABELS])
    bias = np.array([table[name].bias for name in LABELS])
    return np.asarray(np.clip(logits / temperature + bias, -12, 12))


def fit_series(cases: Sequence[ReadCase], seed: int) -> dict[str, SeriesHead]:
    """A logistic model per label over the features of random prefixes; no weight is negative (evidence only adds)."""
    rng = np.random.default_rng(seed)
    features, truth = zip(*(pair for case in cases for pair in _prefixes(rng, case)), strict=True)
    x, y = np.array(features), np.array(truth)
    return {name: _logistic(x[:, i], y[:, i]) for i, name in enumerate(LABELS)}


def _prefixes(rng: np.random.Generator, case: ReadCase) -> list[tuple[Matrix, NDArray[np.bool_]]]:
    """(features, what is visible) of prefixes of random length in random arrival orders, and of the whole."""
    count = len(case.positions_mm)
    pairs = []
    for i in range(_PREFIXES_PER_CASE):
        order = arrival_orders(rng, case.positions_mm)[i % 4]
        length = count if i < 4 else int(rng.integers(1, count + 1))
        seen = order[:length]
        visible = (
            case.labels if case.slice_labels is None else np.asarray(case.slice_labels[seen].any(axis=0), np.bool_)
        )
        pairs.append((series_features(case.positions_mm[seen], case.logits[seen], case.areas_mm2[seen]), visible))
    return pairs


def arrival_orders(rng: np.random.Generator, positions_mm: Matrix) -> list[NDArray[np.intp]]:
    """Foot to head, head to foot, every other slice first, and at random."""
    up = np.argsort(positions_mm)
    return [up, up[::-1], np.concatenate([up[::2], up[1::2]]), rng.permutation(len(up))]


def _logistic(x: Matrix, y: NDArray[np.bool_]) -> SeriesHead:
    if y.all() or not y.any():
        return SeriesHead(weights=(1.0, *[0.0] * (x.shape[1] - 1)), bias=0.0)
    weight = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))

    def loss(w: Matrix) -> float:
        z = x @ w[:-1] + w[-1]
        return float((weight * (np.logaddexp(0, z) - y * z)).mean() + 2e-3 * float(w[:-1] @ w[:-1]))

    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    best = optimize.minimize(loss, np.full(x.shape[1] + 1, 0.1), method="L-BFGS-B", bounds=bounds).x
    return SeriesHead(weights=tuple(round(float(v), 5) for v in best[:-1]), bias=round(float(best[-1]), 5))


def series_curve(case: ReadCase, order: NDArray[np.intp], heads: dict[str, SeriesHead]) -> Matrix:
    """The `any` probability after each slice of an arrival order, `[S]`."""
    head = heads["any"]
    out = np.empty(len(order))
    for k in range(1, len(order) + 1):
        seen = order[:k]
        row = series_features(case.positions_mm[seen], case.logits[seen], case.areas_mm2[seen])[0]
        out[k - 1] = 1 / (1 + np.exp(-np.clip(float(row @ np.array(head.weights)) + head.bias, -30, 30)))
    return out


def series_outcome(manifest: Manifest, case: ReadCase) -> Matrix:
    """Six series probabilities of the whole series."""
    features = series_features(case.positions_mm, case.logits, case.areas_mm2)
    return np.array(series_probabilities(manifest, features))


def choose_thresholds(
    cases: Sequence[ReadCase],
    heads: dict[str, SeriesHead],
    single: Threshold,
    *,
    alpha: float,
    seed: int,
    today: date,
) -> tuple[Thresholds, Quantiles]:
    """The three thresholds (`single`: that of one slice), and quantiles of the whole-series score by class."""
    rng = np.random.default_rng(seed)
    curves = [[series_curve(case, order, heads) for order in arrival_orders(rng, case.positions_mm)] for case in cases]
    truth = np.array([bool(case.labels[0]) for case in cases])
    last = np.array([c[0][-1] for c in curves])
    final = _chosen(last, truth, _weighted, today, "whole series: sensitivity weighted 2 against specificity")
    thresholds = Thresholds(
        provisional=_provisional(_unseen_maxima(cases, seed)[~truth], int(truth.sum()), alpha, final.value, today),
        final=final,
        slice=single,
    )
    steps = np.linspace(0, 1, 21)
    quantiles = Quantiles(
        negative=tuple(round(float(v), 5) for v in np.quantile(last[~truth], steps)),
        positive=tuple(round(float(v), 5) for v in np.quantile(last[truth], steps)),
    )
    return thresholds, quantiles


def choose_slice_threshold(logits: Matrix, truth: NDArray[np.bool_], today: date) -> Threshold:
    """From calibrated logits `[N, 6]` and labels `[N, 6]` of pictures with and without a bleed."""
    return _chosen(
        1 / (1 + np.exp(-logits[:, 0])),
        truth[:, 0],
        _weaker,
        today,
        "single brain-windowed pictures of a shifted set: the weaker of sensitivity and specificity at its best",
    )


def _unseen_maxima(cases: Sequence[ReadCase], seed: int) -> Matrix:
    """Highest score of each case over all prefixes of its arrival orders, by series models fitted without the case.

    The rank argument needs scores that the model has not been fitted to; with fewer than ten cases there is nothing to
    fold, and the model's own are taken. The mean over several ways to fold: one way moves the threshold by some points.
    """
    return np.asarray(np.mean([_maxima_of_one_folding(cases, seed + k) for k in range(_FOLDINGS)], axis=0))


def _maxima_of_one_folding(cases: Sequence[ReadCase], seed: int) -> Matrix:
    rng = np.random.default_rng(seed)
    folds = [int(f) for f in rng.permutation(len(cases)) % (_FOLDS if len(cases) >= 2 * _FOLDS else 1)]
    maxima = np.zeros(len(cases))
    for fold in sorted(set(folds)):
        heads = fit_series([c for c, f in zip(cases, folds, strict=True) if f != fold] or cases, seed)
        for i in (i for i, f in enumerate(folds) if f == fold):
            orders = arrival_orders(rng, cases[i].positions_mm)
            maxima[i] = max(float(series_curve(cases[i], order, heads).max()) for order in orders)
    return maxima


def _provisional(maxima: Matrix, positives: int, alpha: float, final: float, today: date) -> Threshold:
    """The order statistic, or the final threshold where that is higher: no score is told early but not at the end."""
    value = order_statistic_threshold(maxima, alpha)
    return Threshold(
        value=max(final, min(1.0, float(np.nextafter(value, np.inf)))) if np.isfinite(value) else 1.0,
        alpha=alpha,
        n_negative=len(maxima),
        n_positive=positives,
        chosen_on=today,
        method=(
            "tolerance limit (95 % confidence) of each negative's highest score over all prefixes of four arrival "
            "orders, by series models of other folds"
        ),
    )


def _weighted(sensitivity: float, specificity: float) -> float:
    """A missed series costs more than a false alarm."""
    return _SENSITIVITY_WEIGHT * sensitivity + specificity


def _weaker(sensitivity: float, specificity: float) -> float:
    """Neither may be bought with the other: the cut that stands best when a new population shifts the scores."""
    return min(sensitivity, specificity)


def _chosen(
    score: Matrix, truth: NDArray[np.bool_], worth: Callable[[float, float], float], today: date, what: str
) -> Threshold:
    """The cut worth most; of a plateau its middle on the logit scale."""
    limit = np.log(_LEAST_SERIES_THRESHOLD / (1 - _LEAST_SERIES_THRESHOLD))
    logit = np.clip(np.log(np.clip(score, 1e-6, 1 - 1e-6) / (1 - np.clip(score, 1e-6, 1 - 1e-6))), -12, 12)
    cuts = np.linspace(limit, 6, 321)
    gain = np.array([worth(float((logit[truth] >= c).mean()), float((logit[~truth] < c).mean())) for c in cuts])
    smooth = np.convolve(np.pad(gain, 10, mode="edge"), np.ones(21) / 21, mode="valid")
    cut = float(cuts[smooth >= smooth.max() - 1e-9].mean())
    value = round(float(1 / (1 + np.exp(-cut))), 4)
    above = float((score[~truth] >= value).mean()) if (~truth).any() else 0.0
    return Threshold(
        value=value,
        alpha=round(above, 4),
        n_negative=int((~truth).sum()),
        n_positive=int(truth.sum()),
        chosen_on=today,
        method=what,
    )


def recalibrated(reader: Reader, cases: Iterable[Case], *, alpha: float, seed: int, today: date) -> Manifest:
    """A manifest like the reader's with calibration, series model, thresholds and measurements fitted on `cases`.

    What they do not show (a type that none has, measurements without truth) stays as it was. Goes through them once
    and keeps no pixels. Raises DatasetError without a series with a bleed and one without.
    """
    nothing = {name: Calibration(temperature=1.0) for name in LABELS}
    neutral = reader.manifest.model_copy(update={"calibration": nothing, "measurements": MeasurementFit()})
    plain = Reader(neutral, reader.runtime)
    pictures = Pictures(plain, seed)
    known: list[Case] = []
    read: list[ReadCase] = []
    for case in cases:
        one = read_case(plain, case)
        pictures.add(case, one.brain_mm2)
        known.append(case.without_pixels())
        read.append(one)
    _check_both_classes(known)
    table, single = _of_slices(reader.manifest, read, pictures, today)
    calibrated = [replace(one, logits=apply_calibration(one.logits, table)) for one in read]
    shown = [name for i, name in enumerate(LABELS) if any(case.labels[i] for case in known)]
    heads = reader.manifest.series | {
        name: head for name, head in fit_series(calibrated, seed).items() if name in shown
    }
    thresholds, quantiles = choose_thresholds(calibrated, heads, single, alpha=alpha, seed=seed, today=today)
    measurements = fit_measurements(
        [(case, one.bleeds) for case, one in zip(known, read, strict=True)],
        [
            (one.midline.shift_mm.value, case.midline_shift_mm)
            for case, one in zip(known, read, strict=True)
            if one.midline is not None and case.midline_shift_mm is not None
        ],
    )
    return reader.manifest.model_copy(
        update={
            "calibration": table,
            "series": heads,
            "thresholds": thresholds,
            "reference_scores": quantiles,
            "measurements": _with_former(measurements, reader.manifest.measurements),
        }
    )


def _with_former(fitted: MeasurementFit, former: MeasurementFit) -> MeasurementFit:
    return MeasurementFit(
        volume_ml=former.volume_ml | fitted.volume_ml,
        diameter_mm=former.diameter_mm | fitted.diameter_mm,
        mean_hu=former.mean_hu | fitted.mean_hu,
        midline_shift_mm=fitted.midline_shift_mm or former.midline_shift_mm,
    )


def _check_both_classes(cases: Sequence[Case]) -> None:
    positive = sum(bool(case.labels[0]) for case in cases)
    negative = len(cases) - positive
    if not positive or not negative:
        raise DatasetError(f"{positive} series with a bleed and {negative} without: a threshold needs some of both")


def _of_slices(
    manifest: Manifest, read: Sequence[ReadCase], pictures: Pictures, today: date
) -> tuple[dict[str, Calibration], Threshold]:
    """Calibration and threshold of single slices; the manifest's own where the cases do not label both kinds."""
    if not pictures.show_both:
        return manifest.calibration, manifest.thresholds.slice
    pairs = [(one.logits, one.slice_labels) for one in read if one.slice_labels is not None]
    labels = np.concatenate([*(labels for _, labels in pairs), pictures.labels])
    fitted = fit_calibration(np.concatenate([*(logits for logits, _ in pairs), pictures.logits]), labels)
    shown = [name for i, name in enumerate(LABELS) if labels[:, i].any()]
    table = manifest.calibration | {name: fitted[name] for name in shown}
    return table, choose_slice_threshold(apply_calibration(pictures.logits, table), pictures.labels, today)


def renewed(manifest: Manifest, version: str, data: str, today: date) -> Manifest:
    """A recalibrated manifest as one of its own: another version, what it was recalibrated on, no figures of before."""
    final = manifest.thresholds.final
    count = final.n_negative + final.n_positive
    sentence = (
        f"Recalibrated after that on {data}, {count} series, {today.isoformat()}: what was calibrated before is gone."
    )
    int8 = manifest.int8 and manifest.int8.model_copy(
        update={"evaluation": f"{manifest.int8.evaluation} (before it was recalibrated, at the thresholds of then)"}
    )
    return manifest.model_copy(
        update={
            "version": version,
            "training_data": f"{manifest.training_data} {sentence}",
            "metrics": {},
            "volume_errors": {},
            "int8": int8,
        }
    )


def renewed_version(version: str, today: date) -> str:
    """The version with the day of its calibration as build metadata (Semantic Versioning 10)."""
    return f"{version.partition('+')[0]}+{today:%Y%m%d}"
