"""The checker of the fault matrix, tested by planting what it must find."""

from dataclasses import replace

import pytest

from tests.faults.checker import Acknowledged, Observed, violations

FRAMES = frozenset({"a:1", "b:1", "c:1"})
STUDY = Acknowledged("study", "series", FRAMES, bleeds=True)


def finding(**changes: object) -> dict[str, object]:
    return {
        "series_key": "series",
        "outcome": "positive",
        "closed_by": "quiet",
        "coverage": {"slices_read": 3},
    } | changes


WELL = Observed({"series": FRAMES}, [finding()], [("study", "notice")])


def test_all_is_well() -> None:
    assert violations([STUDY], WELL) == []
    assert violations([STUDY], replace(WELL, told=[("study", "notice")] * 2)) == []


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (replace(WELL, slices={"series": FRAMES - {"b:1"}}), "1 acknowledged slices are not on the topic"),
        (replace(WELL, slices={}), "3 acknowledged slices"),
        (replace(WELL, findings=[]), "no outcome"),
        (replace(WELL, findings=[finding(closed_by=None)]), "no outcome"),
        (replace(WELL, findings=[finding(coverage={"slices_read": 2})]), "2 of 3 acknowledged slices were read"),
        (replace(WELL, findings=[finding(outcome="negative")]), "outcome negative"),
        (replace(WELL, told=[]), "nobody was told"),
        (replace(WELL, told=[("study", "notice")] * 3), "sent 3 times"),
    ],
)
def test_a_planted_loss_is_found(planted: Observed, said: str) -> None:
    (problem,) = violations([STUDY], planted)
    assert said in problem
