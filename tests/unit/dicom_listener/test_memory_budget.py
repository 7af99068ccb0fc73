"""One bound for all that is being received."""

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener.admission import StoreCommand
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.memory import MemoryBudget
from streams.contracts.series import RefusalReason
from tests.unit.dicom_listener.ct_objects import a_ct, encoded

COMMAND = StoreCommand("1.2", "1.3", str(ExplicitVRLittleEndian))


def test_objects_share_it_and_give_it_back() -> None:
    budget = MemoryBudget(1000)
    first, second = IncomingObject(COMMAND, 1 << 20, budget), IncomingObject(COMMAND, 1 << 20, budget)
    first.write(bytes(600))
    second.write(bytes(300))
    second.write(bytes(200))
    second.write(bytes(200_000))
    assert budget.taken == 600, "what found no room is not kept"
    assert second.getvalue() == b""
    with pytest.raises(Unacceptable) as caught:
        second.whole()
    assert caught.value.reason is RefusalReason.SPOOL_FULL, "so that the sender tries again"
    first.release()
    first.release()
    assert budget.taken == 0


@pytest.mark.parametrize("fragment_bytes", [300, 16_378, 1 << 20])
@pytest.mark.parametrize("room", [0, 1000])
def test_what_finds_no_room_is_known_by_its_header(fragment_bytes: int, room: int) -> None:
    data, budget = encoded(a_ct(Rows=256, Columns=256, PixelData=bytes(131_072))), MemoryBudget(room)
    refused = IncomingObject(COMMAND, 1 << 20, budget)
    for start in range(0, len(data), fragment_bytes):
        refused.write(data[start : start + fragment_bytes])
    with pytest.raises(Unacceptable) as caught:
        refused.whole()
    assert caught.value.reason is RefusalReason.SPOOL_FULL
    assert refused.placed is not None
    assert refused.placed.series_uid == a_ct().SeriesInstanceUID
    assert (budget.taken, refused.getvalue()) == (0, b"")


def test_a_short_object_that_finds_no_room_is_known_too() -> None:
    refused = IncomingObject(COMMAND, 1 << 20, MemoryBudget(0))
    refused.write(encoded(a_ct()))
    with pytest.raises(Unacceptable, match="no memory now"):
        refused.whole()
    assert refused.placed is not None
