"""The second factor: codes of an authenticator app (TOTP, RFC 6238), each of which counts once."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ISSUER = "Tocsin"
STEP_SECONDS = 30
DRIFT_STEPS = 1
"""How far a phone's clock may be off, in steps to either side."""

RECOVERY_CODES = 8
RECOVERY_DIGITS = 16
"""Digits, for the keyboard that a phone shows for codes; 53 bits."""

NONCE_BYTES = 12
KEY_BYTES = 32
SECRET_BYTES = 20
"""RFC 4226: the length of HMAC-SHA-1's output."""


def step_of(secret: str, code: str, now: datetime, last_step: int) -> int | None:
    """The time step whose code this is, if it is later than the last that counted; None for any other code."""
    digits = "".join(code.split())
    present = int(now.timestamp()) // STEP_SECONDS
    totp = pyotp.TOTP(secret)
    for step in range(present - DRIFT_STEPS, present + DRIFT_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), digits.encode()) and step > last_step:
            return step
    return None


def enrolment_uri(secret: str, login: str) -> str:
    """What the QR code says."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)


@dataclass(frozen=True)
class Sealer:
    """Seals the apps' secrets, where an identity key is configured under a key that is not in the database."""

    kept: bytes
    """A secret of the store."""
    identity_key: bytes = b""

    def secret_for(self, invitation: str) -> str:
        """The secret that comes with an invitation: the same whenever its page is opened."""
        digest = hmac.new(self._key(b"enrol"), invitation.encode(), hashlib.sha256).digest()
        return base64.b32encode(digest[:SECRET_BYTES]).decode()

    def recovery_codes(self, invitation: str) -> tuple[str, ...]:
        """The codes that come with an invitation, likewise."""
        return tuple(self._recovery_code(f"{invitation} {number}") for number in range(RECOVERY_CODES))

    def _recovery_code(self, name: str) -> str:
        digest = hmac.new(self._key(b"recovery"), name.encode(), hashlib.sha256).digest()
        digits = f"{int.from_bytes(digest) % 10**RECOVERY_DIGITS:0{RECOVERY_DIGITS}}"
        return " ".join(digits[start : start + 4] for start in range(0, RECOVERY_DIGITS, 4))

    def recovery_digest(self, code: str, login: str) -> str:
        """What is kept of a code."""
        named = f"{login} {''.join(code.split())}"
        return hmac.new(self._key(b"recovered"), named.encode(), hashlib.sha256).hexdigest()

    def seal(self, secret: str, login: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._key(b"seal")).encrypt(nonce, secret.encode(), login.encode())

    def open(self, sealed: bytes, login: str) -> str | None:
        """The secret; None when it was sealed under another key or for somebody else."""
        try:
            nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return AESGCM(self._key(b"seal")).decrypt(nonce, rest, login.encode()).decode()
        except InvalidTag:
            return None

    def _key(self, purpose: bytes) -> bytes:
        derivation = HKDF(SHA256(), KEY_BYTES, salt=None, info=b"tocsin second factor " + purpose)
        return derivation.derive(self.kept + self.identity_key)
