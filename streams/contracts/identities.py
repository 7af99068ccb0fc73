"""``phi.identities.v1``: who the keys stand for, encrypted; only alerts holds the key to read it.

AES-256-GCM (NIST SP 800-38D). The envelope is ``0x01 || key fingerprint (4) || nonce (12) || ciphertext and tag``;
topic and message key are authenticated, so an envelope cannot be moved to another study. A nonce is 96 random bits:
safe for 2^32 identities under one key (SP 800-38D 8.3).
"""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streams.contracts.errors import IdentityUnreadable, WeakSecret
from streams.contracts.event import Event
from streams.contracts.ids import SECRET_BYTES, Key

VERSION = b"\x01"
FINGERPRINT_BYTES = 4
NONCE_BYTES = 12
_AAD_PREFIX = b"phi.identities.v1\0"


class StudyIdentity(Event):
    """The patient and study behind a study key. Attributes are named and valued as in DICOM (PS3.3 C.7.1, C.7.2).

    Emitted by dicom_listener, consumed by alerts. Key: ``study_key``; the topic is compacted.
    """

    study_key: Key
    patient_key: Key | None = None
    """Groups a patient's studies; absent without a PatientID."""
    StudyInstanceUID: str
    PatientName: str = ""
    PatientID: str = ""
    IssuerOfPatientID: str = ""
    PatientBirthDate: str = ""
    PatientSex: str = ""
    AccessionNumber: str = ""
    StudyID: str = ""
    StudyDate: str = ""
    StudyTime: str = ""
    StudyDescription: str = ""
    InstitutionName: str = ""
    ReferringPhysicianName: str = ""
    StationName: str = ""


class SeriesIdentity(Event):
    """The series behind a series key. Key of the message: ``study_key:series_key``."""

    study_key: Key
    series_key: Key
    SeriesInstanceUID: str
    SeriesDescription: str = ""
    SeriesNumber: str = ""
    FrameOfReferenceUID: str = ""
    ProtocolName: str = ""

    @property
    def message_key(self) -> str:
        return f"{self.study_key}:{self.series_key}"


class IdentityCipher:
    """Seals and opens identities with one 32-byte key.

    Raises:
        WeakSecret: the key is not 32 bytes long.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != SECRET_BYTES:
            raise WeakSecret(f"the identity key has {len(key)} bytes, it must have {SECRET_BYTES}")
        self._aead = AESGCM(key)
        self._fingerprint = hashlib.sha256(b"fingerprint\0" + key).digest()[:FINGERPRINT_BYTES]

    def seal(self, identity: StudyIdentity | SeriesIdentity, message_key: str, nonce: bytes) -> bytes:
        """Encrypt. ``nonce``: 12 bytes from a cryptographic source, never used before under this key."""
        ciphertext = self._aead.encrypt(nonce, identity.encode(), _AAD_PREFIX + message_key.encode())
        return VERSION + self._fingerprint + nonce + ciphertext

    def open(self, envelope: bytes, message_key: str) -> StudyIdentity | SeriesIdentity:
        """Decrypt and validate.

        Raises:
            IdentityUnreadable: other key, other message key, altered or not an envelope at all.
            MalformedEvent: decrypted, but not an identity.
        """
        head = len(VERSION) + FINGERPRINT_BYTES
        if envelope[: len(VERSION)] != VERSION or len(envelope) < head + NONCE_BYTES:
            raise IdentityUnreadable("not an identity envelope of version 1")
        if envelope[len(VERSION) : head] != self._fingerprint:
            raise IdentityUnreadable("sealed with another identity key")
        nonce, ciphertext = envelope[head : head + NONCE_BYTES], envelope[head + NONCE_BYTES :]
        try:
            plain = self._aead.decrypt(nonce, ciphertext, _AAD_PREFIX + message_key.encode())
        except InvalidTag:
            raise IdentityUnreadable("altered, or sealed for another study") from None
        return SeriesIdentity.decode(plain) if ":" in message_key else StudyIdentity.decode(plain)
