"""Builders for the streams' tests: headers and series with sensible defaults."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from streams.contracts.series import LedgerKind, SeriesLedgerEntry
from streams.contracts.slices import SliceAccepted

START = datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
STUDY = "a" * 32


def key(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:32]


def a_slice(number: int = 1, **changes: object) -> SliceAccepted:
    """An axial 5 mm head CT slice, ``number`` counting upwards from the skull base."""
    fields: dict[str, object] = {
        "study_key": STUDY,
        "series_key": key("series"),
        "sop_digest": key(f"sop {number}"),
        "association": key("association"),
        "accepted_at": START + timedelta(seconds=number / 10),
        "pixel_sha256": sha256(str(number).encode()).hexdigest(),
        "SOPClass": "CTImageStorage",
        "TransferSyntax": "ExplicitVRLittleEndian",
        "Modality": "CT",
        "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
        "Rows": 64,
        "Columns": 64,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleSlope": 1.0,
        "RescaleIntercept": -1024.0,
        "PixelSpacing": (3.5, 3.5),
        "SliceThickness": 5.0,
        "ImagePositionPatient": (-112.0, -112.0, 5.0 * number),
        "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        "InstanceNumber": number,
    }
    return SliceAccepted.model_validate(fields | changes)


def soft_tissue(value_hu: int = 35, side: int = 64) -> npt.NDArray[np.int16]:
    """A disc of soft tissue in air, HU."""
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.where(rows**2 + columns**2 < (0.4 * side) ** 2, value_hu, -1000).astype(np.int16)


def stored(voxels_hu: npt.NDArray[np.int16], intercept: int = -1024) -> bytes:
    """Little-endian unsigned stored values of a slice made by :func:`a_slice`."""
    return (voxels_hu - intercept).astype("<u2").tobytes()


def ledger(kind: LedgerKind, frames: int = 0, **changes: object) -> SeriesLedgerEntry:
    fields: dict[str, object] = {
        "kind": kind,
        "study_key": STUDY,
        "series_key": key("series"),
        "association": key("association"),
        "calling_ae": "CT1",
        "at": START,
        "frames_accepted": frames,
    }
    return SeriesLedgerEntry.model_validate(fields | changes)
