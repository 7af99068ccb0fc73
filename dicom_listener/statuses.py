"""What a sender is told: DIMSE statuses of C-STORE, by reason (PS3.4 B.2.3; PS3.7 9.1.1.1.9 and C)."""

from dataclasses import dataclass

from streams.contracts.series import RefusalReason as R

SUCCESS = 0x0000
INVALID_SOP_INSTANCE = 0x0117
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124
UNRECOGNISED_OPERATION = 0x0211
OUT_OF_RESOURCES = 0xA700
"""The only one that invites the sender to try again: use it for nothing that can never succeed."""
DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
CANNOT_UNDERSTAND = 0xC000

STATUS_BY_REASON: dict[R, int] = {
    R.NOT_UNDERSTOOD: CANNOT_UNDERSTAND,
    R.NOT_CT: DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    R.NO_PIXEL_DATA: DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    R.TRUNCATED_PIXEL_DATA: CANNOT_UNDERSTAND,
    R.ABSURD_GEOMETRY: CANNOT_UNDERSTAND,
    R.INVALID_UID: INVALID_SOP_INSTANCE,
    R.UNSUPPORTED_TRANSFER_SYNTAX: SOP_CLASS_NOT_SUPPORTED,
    R.UID_MISMATCH: DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    R.TOO_LARGE: CANNOT_UNDERSTAND,
    R.SPOOL_FULL: OUT_OF_RESOURCES,
    R.SPOOL_FAILED: OUT_OF_RESOURCES,
    R.INTERNAL_ERROR: OUT_OF_RESOURCES,
}

ERROR_COMMENT_CHARACTERS = 64
"""Value representation LO (PS3.7 C.4.2, PS3.5 6.2)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a request. The comment is ASCII and never a value of an object."""

    status: int
    comment: str = ""
