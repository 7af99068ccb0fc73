"""From base to vertex: what has come, and what is still to come."""

import numpy as np
import pytest

from streams.head_extent import ends_seen, estimated_slices

PROFILE_MM = (-80, -60, -50, -40, -20, 0, 40, 50, 60, 70, 80)
PROFILE = (0.14, 0.25, 0.35, 0.45, 0.6, 0.62, 0.58, 0.55, 0.49, 0.38, 0.14)
"""Median share of brain by position, of 60 synthetic heads."""


def head(first_mm: float, last_mm: float) -> list[tuple[float, float]]:
    return [(float(p), float(np.interp(p, PROFILE_MM, PROFILE))) for p in np.arange(first_mm, last_mm + 1, 5.0)]


@pytest.mark.parametrize(
    ("first_mm", "last_mm", "seen"),
    [
        (-80, 80, (True, True)),
        (-80, 20, (True, False)),
        (-20, 80, (False, True)),
        (-30, 40, (False, False)),
        (75, 80, (False, False)),
        (-80, -70, (False, False)),
    ],
)
def test_an_end_is_seen_from_the_brain_side_only(first_mm: float, last_mm: float, seen: tuple[bool, bool]) -> None:
    slices = head(first_mm, last_mm)
    assert ends_seen(slices) == seen
    assert ends_seen(slices[::-1]) == seen


def test_slices_still_to_come_are_estimated_from_their_spacing() -> None:
    assert estimated_slices(5.0, 12, whole=False) == 33
    assert estimated_slices(0.625, 12, whole=False) == 257
    assert estimated_slices(5.0, 40, whole=False) == 40
    assert estimated_slices(5.0, 28, whole=True) == 28
