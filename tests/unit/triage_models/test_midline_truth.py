"""The generator's own midline shift: by its definition, on every side and plane, and from the seed alone."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from triage_models.datasets.case import read_case, write_case
from triage_models.synthetic.atlas import Field
from triage_models.synthetic.head import Head, Located, located, make_head
from triage_models.synthetic.lesions import Lesions
from triage_models.synthetic.midline import SEPTUM_MM, find_in_head, midline_shift_mm

TO_PATIENT_LEFT, TO_THE_BACK = np.array([-1, 0, 0], np.float32), np.array([0, -1, 0], np.float32)


@dataclass(frozen=True)
class Shove:
    """A lesion that moves the whole brain to one side: what is at x was at x + pull."""

    pull_mm: float
    code: int = 5

    def push(self, skull_mm: Field, depth_mm: Field, outward: Field) -> Field:
        return np.stack([np.full_like(depth_mm, self.pull_mm), 0 * depth_mm, 0 * depth_mm])

    def blood(self, place: object) -> tuple[Field, Field]:
        raise NotImplementedError


def a_symmetric_head(*lesions: Shove, width: float = 1.0) -> Head:
    """Nothing in it is displaced but by the lesions."""
    head = make_head(np.random.default_rng(1), None, shifted=False)
    shape = replace(
        head.shape,
        scale=np.array([width, 1.0, 1.0], np.float32),
        broad_mm=0.0,
        fine_mm=0.0,
        ventricle_gain=0.2,
        ventricle_side=0.0,
        shrink_mm=0.0,
    )
    return replace(head, shape=shape, lesions=Lesions(lesions))


def test_a_symmetric_head_has_none() -> None:
    assert midline_shift_mm(a_symmetric_head(), TO_PATIENT_LEFT, TO_THE_BACK) == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("pull_mm", [6.0, -4.0])
@pytest.mark.parametrize("turn_degrees", [0.0, 12.0])
def test_it_is_how_far_the_brain_was_pushed_in_mm_of_the_head(pull_mm: float, turn_degrees: float) -> None:
    """The template is stretched to the head's width, and the head may lie turned."""
    turn = np.deg2rad(turn_degrees)
    across = np.array([-np.cos(turn), np.sin(turn), 0], np.float32)
    down = np.array([-np.sin(turn), -np.cos(turn), 0], np.float32)
    shift = midline_shift_mm(a_symmetric_head(Shove(pull_mm), width=0.9), across, down)
    assert shift == pytest.approx(0.9 * pull_mm, abs=0.1)


def test_a_bent_septum_is_found_where_the_displacement_put_it() -> None:
    head = make_head(np.random.default_rng([8, 5]), "subdural", shifted=True)
    found: Located = located(head, find_in_head(head, SEPTUM_MM))
    assert np.abs(found.brain_mm - SEPTUM_MM).max() < 0.1


def test_a_set_that_does_not_record_it_gets_it_from_its_seeds(tmp_path: Path) -> None:
    path = write_case(tmp_path, 7, "shifted", side=64)
    recorded = read_case(path).midline_shift_mm
    with np.load(path) as data:
        older = {name: data[name] for name in data.files if name != "midline_shift_mm"}
    np.savez(path, **older)
    assert recorded is not None
    assert read_case(path).midline_shift_mm == pytest.approx(recorded, abs=1e-4)
    np.savez(path, **{**older, "spacing_mm": older["spacing_mm"] * 1.01})
    assert read_case(path).midline_shift_mm is None
