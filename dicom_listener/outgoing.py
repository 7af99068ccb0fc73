"""What an admitted object becomes on Kafka: ledger line, sealed identities, and one message per frame."""

from dataclasses import dataclass
from datetime import datetime

from dicom_listener.admission import AdmittedObject
from dicom_listener.messages import OutgoingMessage
from monitoring.tracing import TRACEPARENT
from streams.contracts.ids import Key
from streams.contracts.series import SeriesLedgerEntry
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from streams.contracts.topics import SERIES, SLICES


@dataclass(frozen=True, slots=True)
class SeriesReference:
    """The pseudonymous keys of a series."""

    study_key: Key
    series_key: Key


def ledger_message(entry: SeriesLedgerEntry) -> OutgoingMessage:
    return OutgoingMessage(SERIES.name, entry.series_key, entry.encode())


def slices(
    admitted: AdmittedObject,
    series: SeriesReference,
    sop_digest: Key,
    association: Key,
    accepted_at: datetime,
    conflicting: bool,
    heartbeat: bool = False,
    traceparent: str | None = None,
) -> list[tuple[SliceAccepted, OutgoingMessage]]:
    """The event and the message of each frame, in order."""
    result = []
    for frame in admitted.frames:
        event = SliceAccepted.model_validate(
            {
                "study_key": series.study_key,
                "series_key": series.series_key,
                "sop_digest": sop_digest,
                "frame_number": frame.number,
                "number_of_frames": len(admitted.frames),
                "association": association,
                "accepted_at": accepted_at,
                "pixel_sha256": frame.pixel_sha256,
                "conflicting": conflicting,
                "heartbeat": heartbeat or None,
                "SOPClass": admitted.sop_class,
                **frame.attributes,
            }
        )
        headers = ((SLICE_HEADER, event.encode().decode()), *(((TRACEPARENT, traceparent),) if traceparent else ()))
        result.append((event, OutgoingMessage(SLICES.name, series.series_key, frame.pixels, headers)))
    return result
