"""Which identities were published already: each study and series once per process, and again when it changes."""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from dicom_listener.messages import OutgoingMessage
from streams.contracts.identities import NONCE_BYTES, IdentityCipher, SeriesIdentity, StudyIdentity
from streams.contracts.topics import IDENTITIES

MAX_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class SealedIdentity:
    """An identity that has to be published, and what to remember once it is durable."""

    message: OutgoingMessage
    fingerprint: bytes


class IdentityRegister:
    """Seals what is new or changed. Thread-safe.

    Args:
        nonce: 12 fresh bytes from a cryptographic source at each call.
    """

    def __init__(self, cipher: IdentityCipher, nonce: Callable[[], bytes] = lambda: os.urandom(NONCE_BYTES)) -> None:
        self._cipher, self._nonce = cipher, nonce
        self._published: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def unpublished(self, identity: StudyIdentity | SeriesIdentity) -> SealedIdentity | None:
        """The identity, sealed, unless it was published as it is."""
        key = identity.message_key if isinstance(identity, SeriesIdentity) else identity.study_key
        fingerprint = hashlib.sha256(identity.encode()).digest()
        with self._lock:
            if self._published.get(key) == fingerprint:
                return None
        envelope = self._cipher.seal(identity, key, self._nonce())
        return SealedIdentity(OutgoingMessage(IDENTITIES.name, key, envelope), fingerprint)

    def published(self, sealed: SealedIdentity) -> None:
        """It is durable."""
        with self._lock:
            self._published[sealed.message.key] = sealed.fingerprint
            self._published.move_to_end(sealed.message.key)
            while len(self._published) > MAX_REMEMBERED:
                self._published.popitem(last=False)
