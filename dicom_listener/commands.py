"""DIMSE command sets (PS3.7 6.3.1, E.1): what a peer's says, and what it is answered.

Law: reading never fails. What is missing or unusable is absent, and whoever needs it says what follows: a command that
is odd costs its own message, never the association.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from dicom_listener import identity
from dicom_listener.statuses import ERROR_COMMENT_CHARACTERS, Verdict

ELEMENT_HEADER = struct.Struct("<HHL")
"""Group, element, length: implicit VR, little endian, whatever was agreed for the data set."""
US = struct.Struct("<H")
UL = struct.Struct("<L")

COMMAND_GROUP = 0x0000
COMMAND_GROUP_LENGTH = 0x0000
AFFECTED_SOP_CLASS_UID = 0x0002
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
COMMAND_DATA_SET_TYPE = 0x0800
STATUS = 0x0900
ERROR_COMMENT = 0x0902
AFFECTED_SOP_INSTANCE_UID = 0x1000

C_STORE_RQ, C_ECHO_RQ, C_CANCEL_RQ = 0x0001, 0x0030, 0x0FFF
RESPONSE = 0x8000
"""The bit by which a response's command field differs from its request's."""
NO_DATA_SET = 0x0101


@dataclass(frozen=True, slots=True)
class Command:
    """A command set as far as it could be read. UIDs are texts as they stand, which may be no UIDs at all."""

    field: int | None = None
    message_id: int | None = None
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    data_set_type: int | None = None

    @property
    def announces_data_set(self) -> bool:
        """Where the command does not say, only a C-STORE has one."""
        return self.field == C_STORE_RQ if self.data_set_type is None else self.data_set_type != NO_DATA_SET

    @property
    def is_answered(self) -> bool:
        """A response is not, and neither is a C-CANCEL (PS3.7 9.3.2.3)."""
        return self.field is not None and not self.field & RESPONSE and self.field != C_CANCEL_RQ


def read(data: bytes) -> Command:
    """The command of a command set, up to the first element that does not fit in it."""
    values = dict(_elements(data))
    return Command(
        _short(values.get(COMMAND_FIELD)),
        _short(values.get(MESSAGE_ID)),
        _text(values.get(AFFECTED_SOP_CLASS_UID)),
        _text(values.get(AFFECTED_SOP_INSTANCE_UID)),
        _short(values.get(COMMAND_DATA_SET_TYPE)),
    )


def answer(command: Command, verdict: Verdict) -> bytes:
    """The command set of the response. A request without a message ID is answered as if it was 0."""
    comment = verdict.comment.encode("ascii", "replace")[:ERROR_COMMENT_CHARACTERS]
    values = {
        AFFECTED_SOP_CLASS_UID: _uid(command.sop_class_uid),
        COMMAND_FIELD: US.pack((command.field or 0) | RESPONSE),
        MESSAGE_ID_BEING_RESPONDED_TO: US.pack(command.message_id or 0),
        COMMAND_DATA_SET_TYPE: US.pack(NO_DATA_SET),
        STATUS: US.pack(verdict.status),
        ERROR_COMMENT: comment + b" " * (len(comment) % 2),
        AFFECTED_SOP_INSTANCE_UID: _uid(command.sop_instance_uid),
    }
    body = b"".join(_element(number, value) for number, value in values.items() if value)
    return _element(COMMAND_GROUP_LENGTH, UL.pack(len(body))) + body


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + ELEMENT_HEADER.size <= len(data):
        group, number, length = ELEMENT_HEADER.unpack_from(data, position)
        position += ELEMENT_HEADER.size
        if group != COMMAND_GROUP or position + length > len(data):
            return
        yield number, data[position : position + length]
        position += length


def _short(value: bytes | None) -> int | None:
    """The first of the values, as there should be only one."""
    return None if value is None or len(value) < US.size else int(US.unpack_from(value)[0])


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("ascii", "replace").strip(" \0")


def _element(number: int, value: bytes) -> bytes:
    return ELEMENT_HEADER.pack(COMMAND_GROUP, number, len(value)) + value


def _uid(text: str) -> bytes:
    """What is no UID is not repeated."""
    return text.encode("ascii") + b"\0" * (len(text) % 2) if identity.is_uid(text) else b""
