"""Measurements are corrected by labelled cases, and say how wrong a new one may be."""

import numpy as np
import pytest

from triage_models.bleeds import BleedMeasurement, Measured
from triage_models.datasets.case import Case
from triage_models.midline import ImageSide
from triage_models.training.measurement_fit import fit_measurements, fit_offset, fit_power, fit_shift

LOW_BY = 3.0


def pairs(count: int, seed: int = 0) -> list[tuple[float, float]]:
    """(measured, true): a third is segmented, give or take a factor of 1.35 (one standard deviation)."""
    rng = np.random.default_rng(seed)
    true = np.exp(rng.uniform(np.log(1), np.log(100), count))
    return [(float(t / LOW_BY * np.exp(rng.normal(0, 0.3))), float(t)) for t in true]


def test_what_is_always_too_low_is_raised() -> None:
    fit = fit_power(pairs(60))
    assert fit is not None
    assert fit.estimate(10.0)[0] == pytest.approx(30.0, rel=0.15)


def test_the_interval_holds_what_it_says() -> None:
    fit = fit_power(pairs(40))
    assert fit is not None
    inside = [low <= true <= high for m, true in pairs(2000, 1) for _, low, high in [fit.estimate(m)]]
    assert 0.91 < np.mean(inside) < 0.99


def test_few_cases_make_a_wide_interval_and_fewer_none() -> None:
    few, many = fit_power(pairs(7)), fit_power(pairs(200))
    assert few is not None
    assert many is not None
    assert few.high > many.high
    assert fit_power(pairs(5)) is None
    assert fit_offset([(50.0, 60.0)] * 5) is None


def test_density_is_shifted() -> None:
    fit = fit_offset([(50.0 + k, 57.0 + k + (-1) ** k) for k in range(20)])
    assert fit is not None
    assert fit.offset == pytest.approx(7.0, abs=0.2)
    assert fit.low == pytest.approx(-2.2, abs=0.3)


def test_the_interval_of_a_shift_holds_what_it_says_whatever_the_errors() -> None:
    def shifts(count: int, seed: int) -> list[tuple[float, float]]:
        rng = np.random.default_rng(seed)
        true = rng.normal(0, 4, count)
        return [(float(t + e), float(t)) for t, e in zip(true, rng.standard_t(2, count), strict=True)]

    fit = fit_shift(shifts(400, 0))
    assert fit is not None
    assert fit.offset == 0
    inside = [low <= true <= high for m, true in shifts(4000, 1) for _, low, high in [fit.estimate(m)]]
    assert 0.93 < np.mean(inside) < 0.97
    assert fit_measurements([], shifts(400, 0)).midline_shift_mm == fit


def test_a_shift_with_few_truths_has_no_interval() -> None:
    assert fit_shift([(1.0, 2.0)] * 18) is None
    assert fit_shift([(1.0, 2.0)] * 19) is not None


def a_case(volume_ml: float, measured_ml: float, diameters_mm: dict[str, float]) -> tuple[Case, list[BleedMeasurement]]:
    labels = np.array([True, False, False, False, False, True])
    case = Case(
        "case", (), np.zeros(1), labels, labels[None], 5.0, "H30", {"subdural": volume_ml}, diameters_mm=diameters_mm
    )
    bleed = BleedMeasurement(
        type="subdural",
        volume_ml=Measured(value=measured_ml),
        mean_hu=Measured(value=60.0),
        diameter_mm=Measured(value=40.0),
        extent_mm=30.0,
        side=ImageSide.IMAGE_LEFT,
        slices=(0,),
    )
    return case, [bleed]


def test_only_what_has_a_truth_is_fitted() -> None:
    fit = fit_measurements([a_case(30.0 + k, 10.0 + k / 3, {}) for k in range(20)])
    assert set(fit.volume_ml) == {"subdural"}
    assert fit.diameter_mm == {}
    assert fit.mean_hu == {}


def test_a_false_segmentation_teaches_nothing() -> None:
    assert fit_measurements([a_case(0.0, 10.0, {}) for _ in range(20)]).volume_ml == {}
