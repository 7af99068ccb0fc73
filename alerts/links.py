"""The addresses that messages carry, and the signed link by which one alert can be acknowledged from a phone.

The token is ``base64url(alert_id (16 bytes) || expiry (8 bytes) || recipient) . base64url(HMAC-SHA256 of it, cut to 16
bytes)``. It names the recipient, so that the answer says who; it opens one alert for a limited time, and nothing else.
Opening the link (GET) changes nothing, for mail scanners open every link: the page it shows has the button.
"""

import base64
import hashlib
import hmac
import struct
from binascii import Error as NotBase64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from alerts.errors import LinkRefused

VALID_FOR = timedelta(hours=12)
"""A shift: who is paged at its beginning can still answer at its end."""

ALERT_BYTES = 16
HEAD = struct.Struct(f">{ALERT_BYTES}sQ")
SIGNATURE_BYTES = 16
LONGEST_TOKEN = 800


@dataclass(frozen=True)
class Opened:
    alert_id: str
    recipient: str


class LinkSigner:
    """Makes and opens the tokens, under a secret that is fetched from the store once."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._secret = cache(secret)

    def prime(self) -> None:
        """Fetch the secret; to be called before the first token is made, outside any transaction."""
        self._secret()

    def token(self, alert_id: str, recipient: str, now: datetime) -> str:
        expiry = int((now + VALID_FOR).timestamp())
        body = HEAD.pack(bytes.fromhex(alert_id), expiry) + recipient.encode()
        return f"{_text(body)}.{_text(self._signature(body))}"

    def open(self, token: str, now: datetime) -> Opened:
        """Check a token.

        Raises:
            LinkRefused: altered, cut short, or too old; the sentence is for whoever tapped it.
        """
        body, signature = _split(token)
        if not hmac.compare_digest(signature, self._signature(body)):
            raise LinkRefused("This link is not complete. Open it from the message again, or use the worklist.")
        alert, expiry = HEAD.unpack_from(body)
        if expiry < now.timestamp():
            raise LinkRefused("This link has expired. Use the worklist.")
        return Opened(alert.hex(), body[HEAD.size :].decode())

    def _signature(self, body: bytes) -> bytes:
        return hmac.new(self._secret(), b"acknowledge\0" + body, hashlib.sha256).digest()[:SIGNATURE_BYTES]


@dataclass(frozen=True)
class Links:
    """Makes the addresses that messages carry."""

    public_url: str
    place: str = ""
    """The site's name for itself, in every message."""
    signer: LinkSigner | None = None

    def study(self, study_key: str) -> str:
        return f"{self.public_url}/studies/{study_key}"

    def acknowledge(self, alert_id: str, recipient: str, now: datetime) -> str | None:
        return f"{self.public_url}/acknowledge/{self.signer.token(alert_id, recipient, now)}" if self.signer else None


def _split(token: str) -> tuple[bytes, bytes]:
    body, _, signature = token.partition(".")
    try:
        parts = _bytes(body), _bytes(signature)
    except (NotBase64, ValueError):
        parts = b"", b""
    if len(token) > LONGEST_TOKEN or len(parts[0]) <= HEAD.size:
        raise LinkRefused("This link is not complete. Open it from the message again, or use the worklist.")
    return parts


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
