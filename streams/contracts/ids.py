"""Pseudonymous keys: what stands for a study, a series or an object where its UID must not appear.

Keys are HMAC-SHA256 of the UID under a site secret, cut to 128 bits (NIST SP 800-107 allows the truncation), with
the kind of UID mixed in, so that equal UIDs of different kinds give unequal keys. Without the secret a key cannot be
traced back; with it, the same study always gets the same key.
"""

import hashlib
import hmac
from typing import Annotated

from pydantic import StringConstraints

from streams.contracts.errors import WeakSecret

Key = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""128 bits as 32 lower-case hexadecimal digits."""

SECRET_BYTES = 32
"""Length of both secrets: a full-entropy HMAC-SHA256 key, and an AES-256 key."""


class SiteSecret:
    """Makes the keys of one site.

    Raises:
        WeakSecret: fewer than 32 bytes.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES:
            raise WeakSecret(f"the site secret has {len(secret)} bytes, {SECRET_BYTES} are needed")
        self._secret = secret

    def study_key(self, study_instance_uid: str) -> Key:
        return self._key("study", study_instance_uid)

    def series_key(self, study_instance_uid: str, series_instance_uid: str) -> Key:
        return self._key("series", study_instance_uid, series_instance_uid)

    def patient_key(self, issuer_of_patient_id: str, patient_id: str) -> Key:
        return self._key("patient", issuer_of_patient_id, patient_id)

    def sop_digest(self, sop_instance_uid: str) -> Key:
        return self._key("sop", sop_instance_uid)

    def heartbeat_seal(self, study_uid: str, series_uid: str, sop_uid: str, pixel_sha256: str) -> Key:
        """What marks an object of the dead-man's study: see :mod:`streams.contracts.heartbeat`."""
        return self._key("heartbeat", study_uid, series_uid, sop_uid, pixel_sha256)

    def _key(self, kind: str, *parts: str) -> Key:
        message = "\0".join((kind, *parts)).encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:32]
