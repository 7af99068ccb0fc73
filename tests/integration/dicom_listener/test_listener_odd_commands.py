"""One odd message never costs a scanner its other slices: it is answered, and the association's next slice is taken."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, MRImageStorage

from streams.contracts.series import LedgerKind, RefusalReason
from tests.integration.dicom_listener.live_listener import Live, a_listener
from tests.integration.dicom_listener.raw_scanner import (
    COMMAND,
    CT,
    DATA_SET,
    ENHANCED_CT,
    LAST,
    NEVER_AGREED,
    VERIFICATION,
    RawScanner,
    a_command,
    fragment,
    us,
)
from tests.unit.dicom_listener.ct_objects import SERIES, a_ct, encoded

C_STORE, C_ECHO, C_CANCEL, RESPONSE = 0x0001, 0x0030, 0x0FFF, 0x8000
DATA_FOLLOWS, NO_DATA = us(0x0000), us(0x0101)
VERIFICATION_CLASS = b"1.2.840.10008.1.1\0"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with a_listener(tmp_path) as live:
        yield live


def a_store_command(number: int = 1, **changes: bytes | None) -> bytes:
    """A C-STORE-RQ of :func:`a_ct`; a change to None removes the element."""
    uid = f"{SERIES}.{number}".encode()
    elements: dict[str, bytes | None] = {
        "e0002": str(CTImageStorage).encode() + b"\0",
        "e0100": us(C_STORE),
        "e0110": us(100 + number),
        "e0700": us(0),
        "e0800": DATA_FOLLOWS,
        "e1000": uid + b"\0" * (len(uid) % 2),
    }
    return a_command(**{name: value for name, value in (elements | changes).items() if value is not None})


def takes_a_good_slice(scanner: RawScanner, number: int = 2) -> None:
    scanner.request(a_store_command(number), encoded(a_ct(number)))
    answer = scanner.answer()
    assert (answer.MessageIDBeingRespondedTo, answer.Status) == (100 + number, 0x0000)
    assert answer.AffectedSOPInstanceUID == f"{SERIES}.{number}"


ODD = {
    "no SOP instance": ({"e1000": None}, 0x0117, RefusalReason.INVALID_UID),
    "empty SOP instance": ({"e1000": b""}, 0x0117, RefusalReason.INVALID_UID),
    "SOP instance of 65 characters": ({"e1000": b"1." * 32 + b"1\0"}, 0x0117, RefusalReason.INVALID_UID),
    "SOP instance of 4,000 characters": ({"e1000": b"1." * 2000}, 0x0117, RefusalReason.INVALID_UID),
    "SOP instance that is a path": ({"e1000": b"../../x\0"}, 0x0117, RefusalReason.INVALID_UID),
    "SOP instance of no characters": ({"e1000": b"\xff\xfe\x00\x80"}, 0x0117, RefusalReason.INVALID_UID),
    "two SOP instances": ({"e1000": b"1.2\\1.3\0"}, 0x0117, RefusalReason.INVALID_UID),
    "another SOP instance": ({"e1000": b"1.2.3\0"}, 0xA900, RefusalReason.UID_MISMATCH),
    "no SOP class": ({"e0002": None}, 0xA900, RefusalReason.UID_MISMATCH),
    "empty SOP class": ({"e0002": b""}, 0xA900, RefusalReason.UID_MISMATCH),
    "SOP class of noise": ({"e0002": b"\xff" * 90}, 0xA900, RefusalReason.UID_MISMATCH),
    "another SOP class": ({"e0002": str(MRImageStorage).encode() + b"\0"}, 0xA900, RefusalReason.UID_MISMATCH),
}


@pytest.mark.parametrize(("changes", "status", "reason"), ODD.values(), ids=ODD.keys())
def test_an_object_under_an_odd_command(
    live: Live, changes: dict[str, bytes | None], status: int, reason: RefusalReason
) -> None:
    with RawScanner(live.port) as scanner:
        scanner.request(a_store_command(**changes), encoded(a_ct(1)))
        answer = scanner.answer()
        assert (answer.CommandField, answer.MessageIDBeingRespondedTo) == (C_STORE | RESPONSE, 101)
        assert answer.Status == status
        assert 0 < len(answer.ErrorComment) <= 64
        takes_a_good_slice(scanner)
        scanner.release()
    assert live.count("objects_refused_total", reason=reason) == 1
    live.wait_for("associations_ended_total", 1, how="released")
    account = live.published().ledger[-1]
    assert (account.kind, account.frames_accepted, account.refused) == (LedgerKind.RELEASED, 1, {reason: 1})


HARMLESS = {
    "no priority": {"e0700": None},
    "unknown priority": {"e0700": us(7)},
    "priority of one byte": {"e0700": b"\1"},
    "no data set type": {"e0800": None},
    "no message ID": {"e0110": None},
    "message ID of one byte": {"e0110": b"\1"},
    "group length that is none": {"e0000": b"\xff\xff"},
    "move originator of noise": {"e1030": b"\xff" * 40, "e1031": b"\1"},
    "unknown element": {"e0003": b"x" * 9},
}


@pytest.mark.parametrize("changes", HARMLESS.values(), ids=HARMLESS.keys())
def test_what_says_nothing_about_the_object_does_not_cost_it(live: Live, changes: dict[str, bytes | None]) -> None:
    with RawScanner(live.port) as scanner:
        scanner.request(a_store_command(**changes), encoded(a_ct(1)))
        answer = scanner.answer()
        assert answer.Status == 0x0000
        assert answer.MessageIDBeingRespondedTo == (0 if "e0110" in changes else 101)
        takes_a_good_slice(scanner)
        scanner.release()
    assert len(live.published().slices) == 2


@pytest.mark.parametrize("sent_all_the_same", [False, True])
def test_a_store_that_announces_no_data_set(live: Live, sent_all_the_same: bool) -> None:
    with RawScanner(live.port) as scanner:
        scanner.request(a_store_command(e0800=NO_DATA), encoded(a_ct(1)) if sent_all_the_same else None)
        assert scanner.answer().Status == 0xC000
        takes_a_good_slice(scanner)
        scanner.release()
    assert live.count("objects_refused_total", reason="not_understood") == 1
    assert len(live.published().slices) == 1


def test_a_data_set_that_the_next_command_cuts_off(live: Live) -> None:
    data = encoded(a_ct(1, Rows=256, Columns=256, PixelData=bytes(256 * 256 * 2)))
    with RawScanner(live.port) as scanner:
        scanner.say(fragment(CT, COMMAND | LAST, a_store_command()), fragment(CT, DATA_SET, data[:100_000]))
        scanner.request(a_store_command(2), encoded(a_ct(2)))
        assert [(a.MessageIDBeingRespondedTo, a.Status) for a in (scanner.answer(), scanner.answer())] == [
            (101, 0xC000),
            (102, 0x0000),
        ]
        takes_a_good_slice(scanner, 3)
        scanner.release()
    live.wait_for("associations_ended_total", 1, how="released")
    assert live.published().ledger[-1].refused == {RefusalReason.NOT_UNDERSTOOD: 1}
    assert live.listener.server.memory.taken == 0


@pytest.mark.parametrize("class_uid", [str(MRImageStorage).encode() + b"\0", None], ids=["MR", "none"])
def test_an_object_on_a_context_that_was_never_agreed_on(live: Live, class_uid: bytes | None) -> None:
    with RawScanner(live.port) as scanner:
        scanner.request(a_store_command(e0002=class_uid), encoded(a_ct(1)), NEVER_AGREED)
        assert scanner.answer().Status == 0x0122
        takes_a_good_slice(scanner)
        scanner.release()
    assert live.count("objects_refused_total", reason="unsupported_transfer_syntax") == 1


def test_a_slice_on_the_context_of_another_class_that_is_served_is_taken(live: Live) -> None:
    with RawScanner(live.port) as scanner:
        for number, context_id in ((1, ENHANCED_CT), (2, VERIFICATION)):
            scanner.request(a_store_command(number), encoded(a_ct(number)), context_id)
            assert scanner.answer().Status == 0x0000
        scanner.release()
    assert len(live.published().slices) == 2


SERVICES = {
    "C-GET": 0x0010,
    "C-FIND": 0x0020,
    "C-MOVE": 0x0021,
    "N-EVENT-REPORT": 0x0100,
    "N-GET": 0x0110,
    "N-SET": 0x0120,
    "N-ACTION": 0x0130,
    "N-CREATE": 0x0140,
    "N-DELETE": 0x0150,
    "unknown": 0x0077,
}


@pytest.mark.parametrize("with_data_set", [False, True])
@pytest.mark.parametrize("field", SERVICES.values(), ids=SERVICES.keys())
def test_a_service_that_is_not_offered(live: Live, field: int, with_data_set: bool) -> None:
    command = a_store_command(e0100=us(field), e0800=DATA_FOLLOWS if with_data_set else NO_DATA, e1000=None)
    with RawScanner(live.port) as scanner:
        scanner.request(command, encoded(a_ct(1)) if with_data_set else None)
        answer = scanner.answer()
        assert (answer.CommandField, answer.Status) == (field | RESPONSE, 0x0211)
        assert (answer.MessageIDBeingRespondedTo, answer.CommandDataSetType) == (101, 0x0101)
        takes_a_good_slice(scanner)
        scanner.release()
    assert live.count("requests_unrecognised_total") == 1
    assert len(live.published().slices) == 1


@pytest.mark.parametrize(
    "command",
    [
        a_command(e0100=us(C_CANCEL), e0120=us(100), e0800=NO_DATA),
        a_command(e0100=us(C_STORE | RESPONSE), e0120=us(100), e0800=NO_DATA, e0900=us(0)),
        a_command(e0100=us(0x0077 | RESPONSE), e0800=NO_DATA),
    ],
    ids=["cancel", "response", "unknown response"],
)
def test_what_has_no_answer_gets_none(live: Live, command: bytes) -> None:
    with RawScanner(live.port) as scanner:
        scanner.request(command)
        takes_a_good_slice(scanner)
        scanner.release()


def test_an_echo_that_says_nothing_about_itself(live: Live) -> None:
    with RawScanner(live.port) as scanner:
        for command in (
            a_command(e0002=VERIFICATION_CLASS, e0100=us(C_ECHO), e0110=us(7), e0800=NO_DATA),
            a_command(e0100=us(C_ECHO)),
        ):
            scanner.request(command, context_id=VERIFICATION)
            answer = scanner.answer()
            assert (answer.CommandField, answer.Status) == (C_ECHO | RESPONSE, 0x0000)
        takes_a_good_slice(scanner)
        scanner.release()
    assert live.count("echoes_total") == 2


def test_an_answer_keeps_to_the_peers_pdu_length(live: Live) -> None:
    with RawScanner(live.port, max_pdu_bytes=20) as scanner:
        scanner.request(a_store_command(e1000=b""), encoded(a_ct(1)))
        answer = scanner.answer()
        assert (answer.Status, answer.AffectedSOPClassUID) == (0x0117, CTImageStorage)
        assert scanner.longest_answer == 20
        takes_a_good_slice(scanner)
        scanner.release()


def test_a_command_in_fragments_of_one_byte(live: Live) -> None:
    command = a_store_command()
    with RawScanner(live.port) as scanner:
        for place, byte in enumerate(command, start=1):
            scanner.say(fragment(CT, COMMAND | (LAST if place == len(command) else 0), bytes([byte])))
        scanner.say(fragment(CT, DATA_SET | LAST, encoded(a_ct(1))))
        assert scanner.answer().Status == 0x0000
        scanner.release()


def test_a_command_without_a_command_field_ends_its_association(live: Live) -> None:
    """Nothing can be answered to it; silence would cost the scanner its own time limit."""
    with RawScanner(live.port) as scanner:
        scanner.request(a_store_command(e0100=None), encoded(a_ct(1)))
        with pytest.raises(AssertionError, match=r"ended with a PDU of type 7|hung up"):
            scanner.answer()
    live.wait_for("associations_ended_total", 1, how="aborted")


def test_several_messages_at_once_that_nothing_can_be_answered_to(live: Live) -> None:
    """What comes behind the first of them is not waited for: the thread that reads would never end."""
    nothing = fragment(CT, COMMAND | LAST, a_command(e0110=us(1)))
    for count in range(1, 51):
        with RawScanner(live.port) as scanner:
            scanner.say(nothing * 20)
            with pytest.raises(AssertionError, match=r"ended with a PDU of type 7|hung up"):
                scanner.answer()
        live.wait_for("associations_ended_total", count, how="aborted")  # a peer may have only so many at a time


def test_a_comment_never_repeats_what_was_sent(live: Live) -> None:
    with RawScanner(live.port) as scanner:
        scanner.request(a_store_command(e1000=b"Doe^Jane"), encoded(a_ct(1)))
        answer = scanner.answer()
        assert "Doe" not in str(answer)
        scanner.release()
