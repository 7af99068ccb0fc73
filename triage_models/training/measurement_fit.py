"""From what was segmented to what is there: fitted on labelled cases, with the error that a new case must expect.

Few cases have any one type, so every fit is pulled towards "as segmented", and its error is what each case would have
had if the fit had been made without it, widened by Student's t for how few they are.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from triage_models.bleeds import BleedMeasurement
from triage_models.datasets.case import Case
from triage_models.labels import TYPES
from triage_models.manifest import MeasurementFit, OffsetFit, PowerFit

Vector = NDArray[np.float64]
Pairs = Sequence[tuple[float, float]]
"""(measured, true)."""

_LEAST_CASES = 6
_LEAST_VOLUME_ML = 0.5
_LEAST_MEASURED = 0.05
_LEVEL = 0.975
_HELD = 0.95

_NOISE, _FACTOR_PRIOR, _EXPONENT_PRIOR = 0.5, 0.7, 0.3
"""Standard deviations on the log scale: of one case, and of factor and exponent around 0 and 1."""


def fit_measurements(cases: Sequence[tuple[Case, Sequence[BleedMeasurement]]], shifts_mm: Pairs = ()) -> MeasurementFit:
    """The fit of (case with its truth, what was measured as segmented) pairs, and of midline shifts.

    What has too few cases is left out.
    """
    return MeasurementFit(
        volume_ml=_powers(lambda name: pairs_of(cases, name, "volume_ml", lambda case: case.volumes_ml)),
        diameter_mm=_powers(lambda name: pairs_of(cases, name, "diameter_mm", lambda case: case.diameters_mm)),
        mean_hu=_offsets(lambda name: pairs_of(cases, name, "mean_hu", lambda case: case.mean_hu)),
        midline_shift_mm=fit_shift(shifts_mm),
    )


def pairs_of(
    cases: Sequence[tuple[Case, Sequence[BleedMeasurement]]],
    name: str,
    what: str,
    truth: Callable[[Case], dict[str, float]],
) -> list[tuple[float, float]]:
    """(measured, true) of one type where it is there (at least 0.5 mL), was segmented, and its truth is known."""
    return [
        (getattr(bleed, what).value, truth(case)[name])
        for case, bleeds in cases
        for bleed in bleeds
        if bleed.type == name and case.volumes_ml.get(name, 0.0) >= _LEAST_VOLUME_ML and name in truth(case)
    ]


def _powers(pairs: Callable[[str], Pairs]) -> dict[str, PowerFit]:
    return {name: fit for name in TYPES if (fit := fit_power(pairs(name))) is not None}


def _offsets(pairs: Callable[[str], Pairs]) -> dict[str, OffsetFit]:
    return {name: fit for name in TYPES if (fit := fit_offset(pairs(name))) is not None}


def fit_power(pairs: Pairs) -> PowerFit | None:
    """A line on the log scale; None with too few cases."""
    kept = np.log([(m, t) for m, t in pairs if min(m, t) >= _LEAST_MEASURED])
    if len(kept) < _LEAST_CASES:
        return None
    measured, true = kept.T
    factor, exponent = _line(measured, true)
    apart = [_line(np.delete(measured, i), np.delete(true, i)) for i in range(len(kept))]
    left_out = [t - a - b * m for m, t, (a, b) in zip(measured, true, apart, strict=True)]
    half = _half_width(np.array(left_out))
    return PowerFit(
        factor=round(float(np.exp(factor)), 4),
        exponent=round(exponent, 4),
        low=round(float(np.exp(-half)), 4),
        high=round(float(np.exp(half)), 4),
        n=len(kept),
    )


def fit_offset(pairs: Pairs) -> OffsetFit | None:
    """The mean difference; None with too few cases."""
    if len(pairs) < _LEAST_CASES:
        return None
    difference = np.array([true - measured for measured, true in pairs])
    n = len(difference)
    left_out = (difference - difference.mean()) * n / (n - 1)
    half = _half_width(left_out)
    return OffsetFit(offset=round(float(difference.mean()), 2), low=round(-half, 2), high=round(half, 2), n=n)


def fit_shift(pairs: Pairs) -> OffsetFit | None:
    """No offset, because a mirrored head has the mirrored shift; None with fewer than 19 cases.

    The half-width is an order statistic of the absolute errors: the smallest that holds 95 % of new cases whatever the
    errors' distribution (split conformal prediction: Lei et al., J. Am. Stat. Assoc. 2018). Landmarks are now and then
    mistaken, and such errors have longer tails than Student's t.
    """
    errors = np.sort([abs(true - measured) for measured, true in pairs])
    rank = int(np.ceil((len(errors) + 1) * _HELD))
    if rank > len(errors):
        return None
    half = float(np.ceil(errors[rank - 1] * 100) / 100)
    return OffsetFit(offset=0.0, low=-half, high=half, n=len(errors))


def _line(measured: Vector, true: Vector) -> tuple[float, float]:
    """(intercept, slope) of ridge regression towards (0, 1)."""
    design = np.stack([np.ones_like(measured), measured], 1) / _NOISE
    priors = np.diag([1 / _FACTOR_PRIOR**2, 1 / _EXPONENT_PRIOR**2])
    best = np.linalg.solve(design.T @ design + priors, design.T @ ((true - measured) / _NOISE))
    return float(best[0]), float(np.clip(best[1] + 1, 0.2, 2.0))


def _half_width(left_out: Vector) -> float:
    """Half of the interval that should hold 95 % of new cases."""
    n = len(left_out)
    spread = float(np.sqrt((left_out**2).mean()))
    return float(stats.t.ppf(_LEVEL, n - 1)) * spread * float(np.sqrt(1 + 1 / n))
