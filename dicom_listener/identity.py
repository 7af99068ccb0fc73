"""Who an object belongs to: its UIDs, and the identity that leaves only sealed."""

import re

from pydicom.dataset import Dataset

from dicom_listener import elements
from dicom_listener.errors import Unacceptable
from streams.contracts.identities import SeriesIdentity, StudyIdentity
from streams.contracts.ids import SiteSecret
from streams.contracts.series import RefusalReason

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
"""PS3.5 9.1, without its ban on leading zeros: some scanners write them, and a slice must not be lost for that."""
UID_CHARACTERS = 64

MAX_TEXT_CHARACTERS = 1024
"""Of one identity attribute; the longest in use is an LO of 64 characters or a PN of 3 × 64 (PS3.5 6.2)."""

STUDY_TEXTS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "InstitutionName",
    "ReferringPhysicianName",
    "StationName",
)
SERIES_TEXTS = ("SeriesDescription", "SeriesNumber", "FrameOfReferenceUID", "ProtocolName")


def is_uid(text: str) -> bool:
    return len(text) <= UID_CHARACTERS and UID.fullmatch(text) is not None


def required_uid(header: Dataset, keyword: str) -> str:
    """A UID without which the object cannot be placed.

    Raises:
        Unacceptable: it is missing, or it is no UID.
    """
    text = elements.uid(header, keyword)
    if not text:
        raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, f"{keyword} is missing")
    if not is_uid(text):
        raise Unacceptable(RefusalReason.INVALID_UID, f"{keyword} is not a UID")
    return text


def study_identity(header: Dataset, study_uid: str, secret: SiteSecret) -> StudyIdentity:
    texts = _texts(header, STUDY_TEXTS)
    patient_id = texts["PatientID"]
    return StudyIdentity(
        study_key=secret.study_key(study_uid),
        patient_key=secret.patient_key(texts["IssuerOfPatientID"], patient_id) if patient_id else None,
        StudyInstanceUID=study_uid,
        **texts,
    )


def series_identity(header: Dataset, study_uid: str, series_uid: str, secret: SiteSecret) -> SeriesIdentity:
    return SeriesIdentity(
        study_key=secret.study_key(study_uid),
        series_key=secret.series_key(study_uid, series_uid),
        SeriesInstanceUID=series_uid,
        **_texts(header, SERIES_TEXTS),
    )


def _texts(header: Dataset, keywords: tuple[str, ...]) -> dict[str, str]:
    return {keyword: elements.decoded(header, keyword)[:MAX_TEXT_CHARACTERS] for keyword in keywords}
