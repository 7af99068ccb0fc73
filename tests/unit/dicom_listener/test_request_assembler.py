"""Fragments become requests, in step with a peer that is not."""

import struct

import pytest

from dicom_listener.errors import Unacceptable
from dicom_listener.memory import MemoryBudget
from dicom_listener.requests import MAX_COMMAND_BYTES, Request, RequestAssembler
from streams.contracts.series import RefusalReason

COMMAND, DATA, LAST = 1, 0, 2
STORE, ECHO, FIND = 0x0001, 0x0030, 0x0020


def a_command(field: int, data_set: bool) -> bytes:
    values = ((0x0100, field), (0x0800, 0x0000 if data_set else 0x0101))
    return b"".join(struct.pack("<HHLH", 0, number, 2, value) for number, value in values)


class Peer:
    def __init__(self) -> None:
        self.budget = MemoryBudget(1000)
        self.assembler = RequestAssembler(lambda _context: "1.2.840.10008.1.2.1", 1 << 20, self.budget)

    def says(self, control: int, part: bytes) -> list[Request]:
        return list(self.assembler.take(3, memoryview(bytes([control]) + part)))


@pytest.fixture
def peer() -> Peer:
    return Peer()


def test_a_command_alone(peer: Peer) -> None:
    (request,) = peer.says(COMMAND | LAST, a_command(ECHO, data_set=False))
    assert (request.context_id, request.command.field, request.data_set) == (3, ECHO, None)


def test_a_command_with_its_data_set_in_fragments(peer: Peer) -> None:
    command = a_command(STORE, data_set=True)
    assert peer.says(COMMAND, command[:7]) == peer.says(COMMAND | LAST, command[7:]) == peer.says(DATA, b"ab") == []
    (request,) = peer.says(DATA | LAST, b"cd")
    assert request.data_set is not None
    assert request.data_set.getvalue() == b"abcd"
    assert peer.budget.taken == 4
    request.release()
    assert peer.budget.taken == 0


def test_what_comes_with_another_command_is_not_kept(peer: Peer) -> None:
    peer.says(COMMAND | LAST, a_command(FIND, data_set=True))
    assert peer.says(DATA, b"x" * 900) == []
    assert peer.budget.taken == 0
    (request,) = peer.says(DATA | LAST, b"x")
    assert request.data_set is None


def test_a_data_set_of_no_command_is_dropped(peer: Peer) -> None:
    assert peer.says(DATA, b"x") == peer.says(DATA | LAST, b"x") == []
    assert len(peer.says(COMMAND | LAST, a_command(ECHO, data_set=False))) == 1


def test_a_command_cuts_off_the_message_before(peer: Peer) -> None:
    peer.says(COMMAND | LAST, a_command(STORE, data_set=True))
    peer.says(DATA, b"ab")
    cut_off, echo = peer.says(COMMAND | LAST, a_command(ECHO, data_set=False))
    assert (cut_off.command.field, echo.command.field) == (STORE, ECHO)
    assert cut_off.data_set is not None
    with pytest.raises(Unacceptable) as refused:
        cut_off.data_set.whole()
    assert refused.value.reason is RefusalReason.NOT_UNDERSTOOD
    assert peer.budget.taken == 0


def test_no_command_is_endless(peer: Peer) -> None:
    for _ in range(64):
        peer.says(COMMAND, bytes(MAX_COMMAND_BYTES // 64))
    with pytest.raises(ValueError, match="no command set"):
        peer.says(COMMAND, b"x")


def test_what_is_not_whole_at_the_end_is_cut_off(peer: Peer) -> None:
    peer.says(COMMAND | LAST, a_command(STORE, data_set=True))
    peer.says(DATA, b"x" * 500)
    assert peer.budget.taken == 500
    (cut_off,) = peer.assembler.end()
    assert peer.budget.taken == 0
    assert cut_off.data_set is not None
    with pytest.raises(Unacceptable, match="ended too early"):
        cut_off.data_set.whole()
