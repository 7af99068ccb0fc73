"""One bound for all that is being received."""

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener.admission import StoreCommand
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.memory import MemoryBudget
from streams.contracts.series import RefusalReason

COMMAND = StoreCommand("1.2", "1.3", str(ExplicitVRLittleEndian))


def test_objects_share_it_and_give_it_back() -> None:
    budget = MemoryBudget(1000)
    first, second = IncomingObject(COMMAND, 1 << 20, budget), IncomingObject(COMMAND, 1 << 20, budget)
    first.write(bytes(600))
    second.write(bytes(300))
    second.write(bytes(200))
    assert budget.taken == 600, "what found no room is not kept"
    with pytest.raises(Unacceptable) as caught:
        second.whole()
    assert caught.value.reason is RefusalReason.SPOOL_FULL, "so that the sender tries again"
    first.release()
    first.release()
    assert budget.taken == 0
