"""``ct.series.v1``: the ledger. What the listener accepted, per association and series; the clock's ticks; what has
been pictured.

The ledger says how many frames must have an outcome; the streams compare. Key: ``series_key``.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from streams.contracts.errors import MalformedEvent
from streams.contracts.event import Event
from streams.contracts.ids import Key
from streams.contracts.slices import AeTitle


class RefusalReason(StrEnum):
    """Why an object was not accepted. The sender got a DIMSE failure status; the series shows the count."""

    NOT_UNDERSTOOD = "not_understood"
    NOT_CT = "not_ct"
    NO_PIXEL_DATA = "no_pixel_data"
    TRUNCATED_PIXEL_DATA = "truncated_pixel_data"
    ABSURD_GEOMETRY = "absurd_geometry"
    INVALID_UID = "invalid_uid"
    UNSUPPORTED_TRANSFER_SYNTAX = "unsupported_transfer_syntax"
    UID_MISMATCH = "uid_mismatch"
    TOO_LARGE = "too_large"
    SPOOL_FULL = "spool_full"
    SPOOL_FAILED = "spool_failed"
    INTERNAL_ERROR = "internal_error"


class LedgerKind(StrEnum):
    OPENED = "opened"
    """First object of this series on this association."""
    RELEASED = "released"
    """The association ended in good order (A-RELEASE)."""
    ABORTED = "aborted"
    """A-ABORT, or the connection was lost."""


class SeriesLedgerEntry(Event):
    """One association's account of one series.

    Emitted by dicom_listener, consumed by streams.
    """

    kind: LedgerKind
    study_key: Key
    series_key: Key
    association: Key
    calling_ae: AeTitle
    at: AwareDatetime
    frames_accepted: NonNegativeInt = 0
    """Distinct frames of the series that this association brought (0 while it is only opened)."""
    refused: dict[RefusalReason, NonNegativeInt] = {}
    """How many objects of the series; one that was sent again and refused again counts once, as far as it is named."""
    refused_objects: dict[Key, RefusalReason] = {}
    """Those of them that have a name, by ``sop_digest``, the first 256: one that is accepted after all, now or by
    another association, was put off and is not missing."""


class SeriesClockTicked(Event):
    """Time has passed for an open series: look whether it is quiet, late or overdue.

    Emitted by streams, consumed by streams: state may only be changed in the stream, in the partition's order.
    """

    kind: Literal["ticked"] = "ticked"
    study_key: Key
    series_key: Key
    at: AwareDatetime


class SeriesPictured(Event):
    """The pictures of a series, as far as a revision of its finding goes, are on ``ct.pictures.v1``.

    Emitted by streams, consumed by streams: a worker that takes over makes those that have no such event again.
    """

    kind: Literal["pictured"] = "pictured"
    study_key: Key
    series_key: Key
    revision: PositiveInt
    at: AwareDatetime


SeriesEvent = SeriesLedgerEntry | SeriesClockTicked | SeriesPictured

_adapter: TypeAdapter[SeriesEvent] = TypeAdapter(
    Annotated[SeriesLedgerEntry | SeriesClockTicked | SeriesPictured, Field(union_mode="left_to_right")]
)


def decode_series_event(data: bytes) -> SeriesEvent:
    """Parse a message of ``ct.series.v1``.

    Raises:
        MalformedEvent: none of the three events.
    """
    try:
        return _adapter.validate_json(data)
    except ValidationError:
        raise MalformedEvent("not a SeriesLedgerEntry, SeriesClockTicked or SeriesPictured") from None
