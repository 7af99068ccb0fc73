"""Command sets: reading never fails, and an answer is one that the standard's own reader reads."""

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import decode, encode

from dicom_listener import commands
from dicom_listener.commands import Command
from dicom_listener.statuses import Verdict
from tests.support.fuzzing import fuzz, spoiled

STORE = Command(0x0001, 7, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", 0x0001)


def a_store() -> bytes:
    """As a real sender encodes it."""
    primitive = C_STORE()
    primitive.MessageID, primitive.Priority = STORE.message_id, 0
    primitive.AffectedSOPClassUID, primitive.AffectedSOPInstanceUID = STORE.sop_class_uid, STORE.sop_instance_uid
    primitive.DataSet = BytesIO(b"x")
    message = C_STORE_RQ()
    message.primitive_to_message(primitive)
    encoded = encode(message.command_set, True, True)
    assert encoded is not None
    return encoded


def test_a_store_is_read() -> None:
    assert commands.read(a_store()) == STORE


def test_what_does_not_fit_ends_the_reading() -> None:
    data = struct.pack("<HHL", 0, 0x0100, 2) + b"\x30\0" + struct.pack("<HHL", 0, 0x0110, 2_000_000) + b"\1\0"
    assert commands.read(data) == Command(0x0030)


def test_a_data_set_is_no_command_set() -> None:
    assert commands.read(struct.pack("<HHL", 8, 0x0016, 2) + b"1\0" + a_store()) == Command()


@fuzz(300)
@given(
    st.binary(max_size=200)
    | st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6).map(
        lambda spoils: spoiled(a_store(), spoils, None)
    )
)
def test_any_bytes_are_read_and_answered(data: bytes) -> None:
    command = commands.read(data)
    answer = decode(BytesIO(commands.answer(command, Verdict(0xC000, "no"))), True, True)
    assert (answer.Status, answer.CommandDataSetType) == (0xC000, 0x0101)
    assert answer.CommandField & 0x8000


@pytest.mark.parametrize("comment", ["", "odd", "even", "x" * 100, "ü"])
def test_an_answer_has_the_length_it_says(comment: str) -> None:
    data = commands.answer(STORE, Verdict(0xA900, comment))
    answer = decode(BytesIO(data), True, True)
    assert answer.CommandGroupLength == len(data) - 12
    assert len(data) % 2 == 0
    assert (answer.AffectedSOPClassUID, answer.AffectedSOPInstanceUID) == (STORE.sop_class_uid, "1.2.3")
    assert (answer.CommandField, answer.MessageIDBeingRespondedTo, answer.Status) == (0x8001, 7, 0xA900)
    assert len(answer.get("ErrorComment", "")) <= 64


@pytest.mark.parametrize(
    ("command", "announced"),
    [
        (Command(0x0001), True),
        (Command(0x0030), False),
        (Command(0x0001, data_set_type=0x0101), False),
        (Command(0x0030, data_set_type=0x0000), True),
        (Command(0x0020, data_set_type=0x0102), True),
    ],
)
def test_what_is_not_said_about_a_data_set_follows_from_the_service(command: Command, announced: bool) -> None:
    assert command.announces_data_set is announced
