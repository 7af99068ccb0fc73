"""Volumes, density, side and size of a bleed, from what was segmented in the slices."""

import pytest

from triage_models.bleeds import Segmented, TypeFinding, measure_bleeds
from triage_models.manifest import MeasurementFit, OffsetFit, PowerFit
from triage_models.midline import ImageSide

AS_SEGMENTED = MeasurementFit()


def a_finding(area_mm2: float, mean_hu: float = 60.0, left: float = 1.0, right: float = 0.0) -> TypeFinding:
    return TypeFinding(
        area_mm2=area_mm2, mean_hu=mean_hu, diameter_mm=20.0, left=left, right=right, centroid=(0.5, 0.3)
    )


def slices_at(*positions_mm: float, area_mm2: float = 1000.0, name: str = "subdural") -> list[Segmented]:
    return [Segmented(position, {name: a_finding(area_mm2)}) for position in positions_mm]


def test_volume_is_area_times_spacing_whatever_the_order() -> None:
    (measured,) = measure_bleeds(slices_at(15, 5, 0, 10, area_mm2=400.0), AS_SEGMENTED)
    assert measured.volume_ml.value == pytest.approx(8.0)
    assert measured.slices == (2, 1, 3, 0)
    assert measured.volume_ml.low is None


def test_gaps_are_not_filled_in() -> None:
    (measured,) = measure_bleeds(slices_at(0, 60), AS_SEGMENTED)
    assert measured.volume_ml.value == pytest.approx(24.0)


def test_thick_slices_stand_for_all_of_their_thickness() -> None:
    (measured,) = measure_bleeds(slices_at(0, 10, 20), AS_SEGMENTED)
    assert measured.volume_ml.value == pytest.approx(30.0)


def test_slices_at_the_same_place_are_counted_once_between_them() -> None:
    (once,) = measure_bleeds(slices_at(0, 5, 10), AS_SEGMENTED)
    (twice,) = measure_bleeds(slices_at(0, 0, 5, 5, 10, 10), AS_SEGMENTED)
    assert (twice.volume_ml, twice.extent_mm) == (once.volume_ml, once.extent_mm)
    (alone,) = measure_bleeds(slices_at(20), AS_SEGMENTED)
    (repeated,) = measure_bleeds(slices_at(20, 20, 20, 20), AS_SEGMENTED)
    assert (repeated.volume_ml, repeated.extent_mm) == (alone.volume_ml, alone.extent_mm)
    assert alone.volume_ml.value > 0


def test_the_unsure_rim_of_a_bleed_counts_by_its_probability() -> None:
    rim = Segmented(5.0, {}, {"subdural": 200.0, "epidural": 50.0})
    core = Segmented(0.0, {"subdural": a_finding(400.0)}, {"subdural": 600.0})
    (measured,) = measure_bleeds([core, rim], AS_SEGMENTED)
    assert measured.volume_ml.value == pytest.approx(4.0)


def test_density_and_side_are_weighted_by_area() -> None:
    readings = [
        Segmented(0.0, {"epidural": a_finding(300.0, 70.0, left=0.0, right=1.0)}),
        Segmented(5.0, {"epidural": a_finding(100.0, 50.0, left=1.0, right=0.0)}),
    ]
    (measured,) = measure_bleeds(readings, AS_SEGMENTED)
    assert measured.mean_hu.value == pytest.approx(65.0)
    assert measured.side is ImageSide.IMAGE_RIGHT


def test_blood_on_both_sides_has_no_side() -> None:
    readings = [Segmented(0.0, {"subarachnoid": a_finding(300.0, left=0.5, right=0.4)})]
    assert measure_bleeds(readings, AS_SEGMENTED)[0].side is ImageSide.BOTH


def test_uncertainty_is_the_models_own() -> None:
    fit = MeasurementFit(
        volume_ml={"epidural": PowerFit(factor=1.1, exponent=1.0, low=0.5, high=2.0, n=30)},
        mean_hu={"epidural": OffsetFit(offset=3.0, low=-4.0, high=4.0, n=30)},
    )
    (measured,) = measure_bleeds(slices_at(0, name="epidural"), fit)
    volume, density = measured.volume_ml, measured.mean_hu
    assert (volume.low, volume.value, volume.high) == (2.75, 5.5, 11.0)
    assert (density.low, density.value, density.high) == (59.0, 63.0, 67.0)
    assert measured.diameter_mm.low is None


def test_largest_comes_first() -> None:
    readings = [Segmented(0.0, {"epidural": a_finding(100.0), "subarachnoid": a_finding(500.0)})]
    assert [m.type for m in measure_bleeds(readings, AS_SEGMENTED)] == ["subarachnoid", "epidural"]


def test_nothing_segmented_is_nothing_measured() -> None:
    assert measure_bleeds([Segmented(0.0, {}, {"subdural": 80.0})], AS_SEGMENTED) == []
