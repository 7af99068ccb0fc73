"""Volumes, density, side and size of a bleed, from what was segmented in the slices."""

import pytest

from triage_models.bleeds import ImageSide, TypeFinding, measure_bleeds


def a_finding(area_mm2: float, mean_hu: float = 60.0, side: ImageSide = ImageSide.IMAGE_LEFT) -> TypeFinding:
    return TypeFinding(area_mm2=area_mm2, mean_hu=mean_hu, diameter_mm=20.0, side=side, centroid=(0.5, 0.3))


def test_volume_is_area_times_spacing_whatever_the_order() -> None:
    readings = [(5.0 * k, {"subdural": a_finding(400.0)}) for k in (3, 1, 0, 2)]
    (measured,) = measure_bleeds(readings, {})
    assert measured.volume_ml == pytest.approx(8.0)
    assert measured.slices == 4
    assert measured.volume_interval_ml is None


def test_gaps_are_not_filled_in() -> None:
    readings = [(0.0, {"subdural": a_finding(1000.0)}), (60.0, {"subdural": a_finding(1000.0)})]
    (measured,) = measure_bleeds(readings, {})
    assert measured.volume_ml == pytest.approx(12.0)


def test_density_is_weighted_and_side_is_where_most_is() -> None:
    readings = [
        (0.0, {"epidural": a_finding(300.0, 70.0, ImageSide.IMAGE_RIGHT)}),
        (5.0, {"epidural": a_finding(100.0, 50.0, ImageSide.IMAGE_LEFT)}),
    ]
    (measured,) = measure_bleeds(readings, {})
    assert measured.mean_hu == pytest.approx(65.0)
    assert measured.side is ImageSide.IMAGE_RIGHT


def test_uncertainty_is_the_models_own() -> None:
    readings = [(0.0, {"epidural": a_finding(1000.0)})]
    (measured,) = measure_bleeds(readings, {"epidural": (0.7, 1.1, 1.5)})
    assert measured.volume_ml == 5.5
    assert measured.volume_interval_ml == (3.5, 7.5)


def test_largest_comes_first() -> None:
    readings = [(0.0, {"epidural": a_finding(100.0), "subarachnoid": a_finding(500.0)})]
    assert [m.type for m in measure_bleeds(readings, {})] == ["subarachnoid", "epidural"]


def test_nothing_segmented_is_nothing_measured() -> None:
    assert measure_bleeds([(0.0, {})], {}) == []
