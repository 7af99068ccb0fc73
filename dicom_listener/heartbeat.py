"""Is an object part of the dead-man's study? Pure; when in doubt it is a patient's."""

import hmac

from pydicom.dataset import Dataset

from dicom_listener.admission import AdmittedObject, PlacedObject
from streams.contracts.heartbeat import CALLING_AE, PRIVATE_CREATOR, PRIVATE_GROUP, SEAL_ELEMENT
from streams.contracts.ids import SiteSecret


def is_heartbeat(placed: PlacedObject, admitted: AdmittedObject, calling_ae: str, secret: SiteSecret) -> bool:
    """By its sender's name and by a seal over its UIDs and pixels that only the site secret can make."""
    if calling_ae != CALLING_AE or len(admitted.frames) != 1:
        return False
    (frame,) = admitted.frames
    expected = secret.heartbeat_seal(placed.study_uid, placed.series_uid, admitted.sop_instance_uid, frame.pixel_sha256)
    return hmac.compare_digest(_seal_of(placed.parsed.elements), expected.encode())


def _seal_of(header: Dataset) -> bytes:
    """As it came; empty where there is none."""
    try:
        value = header.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[SEAL_ELEMENT].value
    except KeyError:
        return b""
    return value.strip(b" \0") if isinstance(value, bytes) else str(value).strip().encode()
