"""The fault matrix in its short form: one crash point per service. The whole: ``make faults``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.matrix import SHORT, CrashPoint, fault_environment, play
from tests.support.node import UpNode
from tests.support.patients import Patients


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def crashable(tmp_path_factory: pytest.TempPathFactory, faults: Path) -> Iterator[UpNode]:
    node = UpNode.start(tmp_path_factory.mktemp("crashable"), fault_environment(faults))
    yield node
    node.stop()


@pytest.mark.parametrize("point", SHORT, ids=str)
def test_nothing_is_lost(crashable: UpNode, patients: Patients, faults: Path, point: CrashPoint) -> None:
    row = play(crashable, patients, faults, point)
    assert row.fired
    assert row.problems == []
    assert row.passed, f"the alert came after {row.alert_seconds} s"
