"""Positions, sides and gaps."""

import math

import pytest

from streams import geometry
from streams.contracts.findings import Side
from tests.support.slices import a_slice
from triage_models.midline import ImageSide


def test_position_rises_towards_the_vertex_whatever_the_orientation() -> None:
    feet_up = a_slice(ImageOrientationPatient=(1, 0, 0, 0, -1, 0), ImagePositionPatient=(0, 0, 40))
    assert geometry.position_mm(a_slice(ImagePositionPatient=(0, 0, 40))) == pytest.approx(40)
    assert geometry.position_mm(feet_up) == pytest.approx(40)


def test_a_tilted_gantry_is_axial_and_a_coronal_plane_is_not() -> None:
    tilt = math.radians(25)
    tilted = geometry.normal(a_slice(ImageOrientationPatient=(1, 0, 0, 0, math.cos(tilt), -math.sin(tilt))))
    coronal = geometry.normal(a_slice(ImageOrientationPatient=(1, 0, 0, 0, 0, -1)))
    assert tilted is not None
    assert coronal is not None
    assert geometry.is_axial(tilted)
    assert not geometry.is_axial(coronal)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 1, 0, 0), (2, 0, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0)])
def test_an_impossible_orientation_is_no_geometry(orientation: tuple[float, ...]) -> None:
    assert geometry.position_mm(a_slice(ImageOrientationPatient=orientation)) is None


def test_side_is_the_patients() -> None:
    right = ImageSide.IMAGE_RIGHT
    assert geometry.side_of_image(1.0, right) is Side.LEFT
    assert geometry.side_of_image(-1.0, right) is Side.RIGHT
    assert geometry.side_of_image(-1.0, ImageSide.IMAGE_LEFT) is Side.LEFT
    assert geometry.side_of_image(1.0, ImageSide.MIDLINE) is Side.MIDLINE
    assert geometry.side_of_image(1.0, ImageSide.BOTH) is Side.BOTH
    assert geometry.side_of_image(None, right) is Side.UNKNOWN


@pytest.mark.parametrize(
    ("positions", "gap"),
    [
        ([0, 5, 10, 15], 0.0),
        ([15, 0, 10, 5], 0.0),
        ([0, 5, 15, 20], 10.0),
        ([0, 2.5, 5, 7.5, 12.5, 17.5, 22.5], 0.0),
        ([0, 1, 2, 4, 5], 0.0),
        ([0, 10, 20, 30], 0.0),
        ([0, 2.5, 5, 10, 12.5, 17.5, 20], 5.0),
        ([0], 0.0),
    ],
)
def test_missing_slices_show_as_a_gap(positions: list[float], gap: float) -> None:
    assert geometry.missing_between(positions, None) == gap


@pytest.mark.parametrize("missing", [{12}, {12, 14}, {10, 12, 14, 16}, {12, 13}, set(range(1, 28, 2))])
def test_missing_slices_do_not_excuse_each_other(missing: set[int]) -> None:
    positions = [5.0 * n for n in range(28) if n not in missing]
    assert geometry.missing_between(positions, thickness_mm=5.0) >= 10.0


def test_tilt_and_rounding_are_no_gaps() -> None:
    positions = [4.98 * n + 0.01 * (n % 3) for n in range(30)]
    assert geometry.missing_between(positions, thickness_mm=4.8) == 0.0


def test_thin_slices_with_a_deliberate_interval_leave_gaps() -> None:
    assert geometry.missing_between([10.0 * n for n in range(12)], thickness_mm=1.0) == 10.0


def test_slices_twice_as_far_apart_as_thick_leave_gaps() -> None:
    assert geometry.missing_between([0, 12, 24, 36], thickness_mm=5) == 12
