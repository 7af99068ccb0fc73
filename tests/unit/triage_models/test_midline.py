"""The head's own middle decides what is left and right, not the picture's."""

import numpy as np
import pytest

from triage_models.midline import ImageSide, Midline, enclosed, head_midline, shares, side_of

SIZE = 160


def a_skull(centre: float = 0.5, turn: float = 0.0) -> np.ndarray:
    """Brain of 35 HU in a ring of bone, in HU clipped to 80; `turn`: how far the middle moves from top to bottom."""
    y, x = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j]
    across = (x - centre - turn * (y - 0.5)) / 0.38
    radius = np.hypot(across, (y - 0.5) / 0.46)
    return np.where(radius < 0.88, 35.0, np.where(radius < 1.0, 80.0, 0.0)).astype(np.float32)


@pytest.mark.parametrize(("centre", "turn"), [(0.5, 0.0), (0.44, 0.0), (0.5, 0.2), (0.55, -0.15)])
def test_it_follows_the_skull(centre: float, turn: float) -> None:
    found = head_midline(enclosed(a_skull(centre, turn))[0])
    assert found.top == pytest.approx(centre - turn / 2, abs=0.03)
    assert found.bottom == pytest.approx(centre + turn / 2, abs=0.03)


def test_blood_along_one_wall_does_not_move_it() -> None:
    skull = a_skull()
    y, x = np.mgrid[0 : 1 : SIZE * 1j, 0 : 1 : SIZE * 1j]
    crescent = (np.hypot((x - 0.5) / 0.38, (y - 0.5) / 0.46) > 0.7) & (x < 0.4) & (skull == 35.0)
    found = head_midline(enclosed(np.where(crescent, 66.0, skull).astype(np.float32))[0])
    assert found.top == pytest.approx(0.5, abs=0.03)


def test_without_bone_it_is_the_boxs_own() -> None:
    assert head_midline(enclosed(np.full((SIZE, SIZE), 35.0, np.float32))[0]) == Midline()


def test_a_wide_crescent_has_the_side_that_most_of_it_is_on() -> None:
    crescent = np.zeros((40, 40), np.float32)
    crescent[4:36, 3:7] = 1
    crescent[2:5, 7:22] = 1  # its horns reach the middle
    left, right = shares(crescent, Midline())
    assert side_of(left, right) is ImageSide.IMAGE_LEFT


def test_the_middle_of_a_turned_head_is_no_side() -> None:
    falx = np.zeros((40, 40), np.float32)
    for row in range(40):
        falx[row, round(12 + row * 0.4)] = 1
    assert side_of(*shares(falx, Midline())) is ImageSide.BOTH
    assert side_of(*shares(falx, Midline(0.3, 0.7))) is ImageSide.MIDLINE
