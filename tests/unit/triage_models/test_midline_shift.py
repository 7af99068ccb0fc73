"""How far the brain's middle lies off the skull's: in a plane, over a series, and against the generator's truth."""

import numpy as np
import pytest

from triage_models.bleeds import Measured
from triage_models.manifest import OffsetFit
from triage_models.midline import ImageSide, enclosed, head_midline
from triage_models.midline_shift import Middle, MidlineMeasurement, Placed, find_middle, measure_midline

SIZE = 160
ROW_MM, COLUMN_MM = 1.25, 1.0
FIT = OffsetFit(offset=0.0, low=-3.0, high=3.0, n=100)


def a_brain(
    shift_mm: float = 0.0,
    *,
    turn: float = 0.0,
    ventricles: bool = True,
    crests: bool = True,
    blood: bool = False,
    noise_hu: float = 0.0,
) -> np.ndarray:
    """A slice at the level of the foramen of Monro, clipped to 0–80 HU, with the crests of the inner table to which the
    falx is attached; `turn`: columns that the middle moves per row."""
    rng = np.random.default_rng(5)
    row, column = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    across = (column + 0.5 - SIZE / 2 - turn * (row - SIZE / 2)) * COLUMN_MM
    down = (row + 0.5 - SIZE / 2) * ROW_MM
    skull = np.hypot(across / 72, down / 92)
    inward = np.clip(1.6 * (1 - skull), 0, 1)
    x = across - shift_mm * inward
    cortex = np.hypot(x / 62, down / 80) > 0.88
    brain = np.where(cortex, 38.0, 29.0)
    if ventricles:
        horn = np.hypot((np.abs(x) - 6.5 - np.clip(-(down + 20), 0, 20) * 0.15) / 4.5, (down + 14) / 20) < 1
        third = (np.abs(x) < 2) & (np.abs(down - 16) < 10)
        brain = np.where(horn | third, 6.0, brain)
        thalamus = np.hypot((np.abs(x) - 11) / 8, (down - 16) / 12) < 1
        brain = np.where(thalamus, 37.0, brain)
        if blood:
            brain = np.where(horn & (x > 0), 64.0, brain)
    else:
        brain = np.full_like(brain, 31.0)
    brain = brain + rng.normal(0, noise_hu, brain.shape)
    crest = 0.05 * np.exp(-((across / 4) ** 2)) * crests
    plane = np.where(skull < 0.9 - crest, brain, np.where(skull < 1.0, 80.0, 0.0))
    return np.clip(plane, 0, 80).astype(np.float32)


def found(plane: np.ndarray) -> Middle | None:
    return find_middle(plane, head_midline(enclosed(plane)[0]), (ROW_MM, COLUMN_MM))


@pytest.mark.parametrize("shift_mm", [0.0, 4.0, -7.0, 12.0])
@pytest.mark.parametrize("turn", [0.0, 0.15])
def test_the_septum_is_found_where_it_was_pushed_to(shift_mm: float, turn: float) -> None:
    middle = found(a_brain(shift_mm, turn=turn))
    assert middle is not None
    assert middle.shift_mm == pytest.approx(shift_mm, abs=1.2)


def test_noise_and_blood_in_a_ventricle_do_not_hide_it() -> None:
    middle = found(a_brain(6.0, blood=True, noise_hu=5.0))
    assert middle is not None
    assert middle.shift_mm == pytest.approx(6.0, abs=1.5)


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((SIZE, SIZE), np.float32),
        np.full((SIZE, SIZE), 35.0, np.float32),
        a_brain(6.0, crests=False),
        a_brain(6.0)[60:].repeat(2, axis=0)[:SIZE],
        a_brain(6.0, ventricles=False, noise_hu=4.0),
    ],
    ids=["air", "no skull", "no crests", "the forehead cut off", "no ventricles"],
)
def test_where_nothing_shows_the_middle_nothing_is_measured(plane: np.ndarray) -> None:
    assert found(plane) is None


# Over a series


def slices(shifts_mm: dict[float, float | None], first_mm: float = -60.0, last_mm: float = 80.0) -> list[Placed]:
    """Every 5 mm of a head whose level is 0; `shifts_mm` by position, no middle elsewhere."""
    positions = np.arange(first_mm, last_mm + 1, 5.0)
    brain_mm2 = {float(p): 16000 * float(1 - (p / 85) ** 2) for p in positions}
    middles = {p: None if s is None else Middle(shift_mm=s, alike=0.4) for p, s in shifts_mm.items()}
    return [Placed(p, area, middles.get(p)) for p, area in brain_mm2.items()]


def test_the_slices_around_the_level_agree_and_the_others_have_no_say() -> None:
    placed = slices({-40.0: -9.0, -5.0: 6.2, 0.0: 6.0, 5.0: 5.8, 30.0: 1.0})
    for order in (placed, placed[::-1]):
        measured = measure_midline(order, FIT)
        assert measured is not None
        assert measured.shift_mm == Measured(value=6.0, low=3.0, high=9.0)
        assert order[measured.slice].position_mm == 0.0


def test_one_slice_that_found_something_else_is_outvoted() -> None:
    measured = measure_midline(slices({-10.0: 6.1, -5.0: 6.0, 0.0: 6.0, 5.0: 6.1, 10.0: -8.0}), None)
    assert measured is not None
    assert measured.shift_mm.value == pytest.approx(6.0, abs=0.2)
    assert measured.shift_mm.low is None


@pytest.mark.parametrize(
    "placed",
    [
        [],
        slices({}),
        slices({0.0: 6.0}),
        slices({-5.0: 6.0, 0.0: -3.0, 5.0: 13.0}),
        slices({-5.0: 6.0, 0.0: 6.0}, last_mm=10.0),
        [Placed(p, 0.0, Middle(shift_mm=6.0, alike=0.4)) for p in (0.0, 5.0, 10.0)],
    ],
    ids=["none", "unseen", "one", "no two agree", "level not passed yet", "no brain"],
)
def test_what_cannot_be_told_is_not_measured(placed: list[Placed]) -> None:
    assert measure_midline(placed, FIT) is None


def told(low: float, value: float, high: float) -> MidlineMeasurement:
    return MidlineMeasurement(shift_mm=Measured(value=value, low=low, high=high), slice=0)


def test_the_side_and_the_distance_are_those_of_the_sign() -> None:
    left = told(-9.0, -6.0, -3.0)
    assert (left.towards, left.is_certain) == (ImageSide.IMAGE_LEFT, True)
    assert left.distance_mm == Measured(value=6.0, low=3.0, high=9.0)
    right = told(1.0, 4.0, 7.0)
    assert (right.towards, right.distance_mm) == (ImageSide.IMAGE_RIGHT, right.shift_mm)


def test_a_shift_smaller_than_its_error_is_to_no_side() -> None:
    assert told(-1.0, 2.0, 5.0).towards is ImageSide.MIDLINE
    unknown = MidlineMeasurement(shift_mm=Measured(value=9.0), slice=0)
    assert not unknown.is_certain
