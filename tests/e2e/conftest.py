"""One node for the whole session, and studies to send to it."""

from collections.abc import Iterator

import pytest

from tests.support.node import UpNode
from tests.support.patients import Patients


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpNode]:
    node = UpNode.start(tmp_path_factory.mktemp("node"))
    yield node
    assert node.stop() == 0


@pytest.fixture(scope="session")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Patients:
    return Patients(tmp_path_factory.mktemp("patients"))
