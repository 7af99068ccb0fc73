"""How wrong the midline shift was on labelled series, and how well it tells a shift that matters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from triage_models.midline_shift import MidlineMeasurement
from triage_models.training.measures import named, proportion_interval

LARGE_MM = 5.0
"""A shift from which on a mass is evacuated (Brain Trauma Foundation, Neurosurgery 2006;58(S2))."""

Told = Sequence[tuple[float | None, MidlineMeasurement | None]]
"""(true shift, None where nobody knows it; what was measured, None where it could not be)."""


def midline_figures(series: Told) -> dict[str, object]:
    """Errors of what was measured, and detection of large shifts among all series with a truth; empty without any."""
    known = [(true, found) for true, found in series if true is not None]
    if not known:
        return {}
    return {
        "n": len(known),
        "measured": named(proportion_interval(sum(found is not None for _, found in known), len(known))),
        **_errors([(true, found) for true, found in known if found is not None]),
        "large": _large(known),
    }


def _errors(measured: Sequence[tuple[float, MidlineMeasurement]]) -> dict[str, object]:
    """Of the value, of the interval, and of the side where a shift was told."""
    if not measured:
        return {}
    error = np.array([found.shift_mm.value - true for true, found in measured])
    intervals = [
        (true, found.shift_mm.low, found.shift_mm.high)
        for true, found in measured
        if found.shift_mm.low is not None and found.shift_mm.high is not None
    ]
    told = [(true, found) for true, found in measured if found.is_certain]
    return {
        "bias_mm": round(float(error.mean()), 2),
        "mean_absolute_error_mm": round(float(np.abs(error).mean()), 2),
        "median_absolute_error_mm": round(float(np.median(np.abs(error))), 2),
        "limits_of_agreement_mm": [round(float(v), 1) for v in np.quantile(error, (0.025, 0.975))],
        "within_interval": named(
            proportion_interval(sum(low <= true <= high for true, low, high in intervals), len(intervals))
        ),
        "told": {"n": len(told), "to_the_wrong_side": sum(true * found.shift_mm.value < 0 for true, found in told)},
    }


def _large(known: Told) -> dict[str, object]:
    """A measured shift of 5 mm or more against a true one; what could not be measured was not found."""
    truth = np.array([abs(true or 0.0) >= LARGE_MM for true, _ in known])
    said = np.array([found is not None and abs(found.shift_mm.value) >= LARGE_MM for _, found in known])
    return {
        "from_mm": LARGE_MM,
        "n": int(truth.sum()),
        "sensitivity": named(proportion_interval(int((said & truth).sum()), int(truth.sum()))),
        "specificity": named(proportion_interval(int((~said & ~truth).sum()), int((~truth).sum()))),
    }


def midline_metrics(figures: Mapping[str, Any]) -> dict[str, float]:
    """The main figures, flat, for a manifest."""
    if "mean_absolute_error_mm" not in figures:
        return {}
    shares = {
        "measured_share": figures["measured"],
        "within_interval": figures["within_interval"],
        "5_mm_sensitivity": figures["large"]["sensitivity"],
        "5_mm_specificity": figures["large"]["specificity"],
    }
    flat = {
        f"midline_shift_{name}{suffix}": share[key]
        for name, share in shares.items()
        for suffix, key in (("", "value"), ("_low", "low"), ("_high", "high"))
        if share[key] is not None
    }
    return {"midline_shift_mean_absolute_error_mm": figures["mean_absolute_error_mm"], **flat}
