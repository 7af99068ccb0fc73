"""The fault matrix in its short form: some rows of each kind. The whole: ``make faults``."""

from collections.abc import Iterator

import pytest

from tests.faults.disturbances import SHORT_DISTURBANCES, DiskFull, Disturbance, Hospital, disturb, hospital, possible
from tests.faults.matrix import SHORT, CrashPoint, play
from tests.support.patients import Patients


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    with hospital(tmp_path_factory.mktemp("faults"), small_kafka=False) as place:
        yield place


@pytest.mark.parametrize("point", SHORT, ids=str)
def test_a_crash_loses_nothing(place: Hospital, patients: Patients, point: CrashPoint) -> None:
    row = play(place.node, patients, place.faults, point)
    assert row.fired
    assert row.problems == []
    assert row.passed, f"the alert came after {row.alert_seconds} s"


@pytest.mark.parametrize("disturbance", SHORT_DISTURBANCES, ids=str)
def test_a_disturbance_loses_nothing(place: Hospital, patients: Patients, disturbance: Disturbance) -> None:
    if not possible(disturbance, place):
        pytest.skip("only root may mount a small disk")
    row = disturb(place, patients, disturbance)
    assert row.fired
    assert row.problems == []
    assert row.passed, f"the alert came after {row.alert_seconds} s"


def test_a_planted_bug_is_found(place: Hospital, patients: Patients) -> None:
    """A spool that calls durable what the disk did not take."""
    disturbance = DiskFull("spool", 2.0)
    if not possible(disturbance, place):
        pytest.skip("only root may mount a small disk")
    planted = place.faults / "planted"
    planted.touch()
    try:
        row = disturb(place, patients, disturbance)
    finally:
        planted.unlink()
    assert any("acknowledged slices are not on the topic" in problem for problem in row.problems)
