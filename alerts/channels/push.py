"""Web Push (RFC 8030) to the browsers that a recipient has subscribed: encrypted for each (RFC 8291), signed by this
site (VAPID, RFC 8292).

Accepted means that a push service took the message for at least one of the browsers. A push service that says that a
subscription is gone (404, 410) ends it. Who can reach this page can make it post to an address, so only the push
services that the site allows are posted to.
"""

import base64
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from pydantic import BaseModel, ConfigDict, StringConstraints
from pywebpush import WebPusher

from alerts.channels.posting import post
from alerts.channels.webhook import failure_of
from alerts.errors import ChannelError, ChannelRefused
from alerts.messages import Message
from alerts.ports import Clock
from alerts.recipients import ChannelKind

TIMEOUT_SECONDS = 4.0
"""For one browser's push service."""

ALL_SECONDS = 12.0
"""For all of a recipient's browsers; shorter than the outbox's lease."""

KEPT_SECONDS = 4 * 3600
"""How long a push service keeps a message for a browser that is away; after that the bell has long rung elsewhere."""

LARGEST_TEXT_BYTES = 2600
"""A push message holds 4096 bytes, encryption and the rest of the payload included (RFC 8030 7.2)."""

TOKEN_VALID = timedelta(hours=12)
GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
TOPIC_CHARACTERS = 32
PRIVATE_KEY_BYTES = 32

PUSH_SERVICES = ("fcm.googleapis.com", "push.services.mozilla.com", "notify.windows.com", "push.apple.com")
"""Of Chrome and Android, Firefox, Edge, and Safari."""

Base64Url = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+={0,2}$", max_length=200)]


class Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    p256dh: Base64Url
    """The browser's public key."""
    auth: Base64Url


class Subscription(BaseModel):
    """What a browser hands out, as ``PushSubscription.toJSON()`` has it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: Annotated[str, StringConstraints(max_length=2000)]
    keys: Keys


def is_allowed(endpoint: str, services: Iterable[str]) -> bool:
    """Whether messages may be posted there: https at a push service or below it, or an origin that is named whole."""
    parts = urlsplit(endpoint)
    if parts.username or parts.password or not parts.hostname:
        return False
    for service in services:
        if "://" in service:
            if f"{parts.scheme}://{parts.netloc}" == service.rstrip("/"):
                return True
        elif parts.scheme == "https" and f".{parts.hostname}".endswith(f".{service.lower()}"):
            return True
    return False


class Book(Protocol):
    """Where the subscriptions are."""

    def of(self, recipient: str) -> list[Subscription]: ...

    def remove(self, subscription: Subscription) -> None: ...


class Vapid:
    """This site's identity towards push services."""

    def __init__(self, private: bytes, contact: str) -> None:
        """``private``: 32 bytes, see :func:`fresh_private`. ``contact``: a mailto: or https: address (RFC 8292 2.1)."""
        self._key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
        self._contact = contact

    @property
    def public(self) -> str:
        """The application server key, as browsers take it."""
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).decode().rstrip("=")

    def headers(self, endpoint: str, now: datetime) -> dict[str, str]:
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int((now + TOKEN_VALID).timestamp()),
            "sub": self._contact,
        }
        signed: dict[str, str] = Vapid02(self._key).sign(claims)
        return signed


def fresh_private() -> bytes:
    """A new private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_numbers().private_value.to_bytes(PRIVATE_KEY_BYTES, "big")


Connect = Callable[[str], http.client.HTTPConnection]


def connect(endpoint: str) -> http.client.HTTPConnection:
    """A connection to a push service; certificates are checked against the system's authorities."""
    parts = urlsplit(endpoint)
    assert parts.hostname
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)


@dataclass(frozen=True)
class PushService:
    """What all push channels share."""

    book: Book
    vapid: Callable[[], Vapid]
    services: tuple[str, ...]
    clock: Clock
    connect: Connect = connect


class PushChannel:
    """Pushes to one recipient's browsers."""

    kind = ChannelKind.PUSH
    provider = "push services"

    def __init__(self, recipient: str, service: PushService) -> None:
        self._recipient = recipient
        self._service = service

    def send(self, message: Message) -> None:
        """Deliver: done when a push service has accepted it for one browser; all are tried.

        Raises:
            ChannelError: for none; the failure that is most worth another attempt.
        """
        subscriptions = self._service.book.of(self._recipient)
        if not subscriptions:
            raise ChannelRefused("no browser is subscribed")
        body, failures, accepted = payload(message), list[ChannelError](), False
        end = time.monotonic() + ALL_SECONDS
        for subscription in subscriptions:
            if time.monotonic() > end - TIMEOUT_SECONDS and accepted:
                break
            try:
                self._push(subscription, body, topic(message))
                accepted = True
            except ChannelError as error:
                failures.append(error)
        if not accepted:
            raise max(failures, key=lambda failure: not isinstance(failure, ChannelRefused))

    def _push(self, subscription: Subscription, body: bytes, topic: str) -> None:
        status = self._post(subscription, body, topic)
        if status in GONE:
            self._service.book.remove(subscription)
            raise ChannelRefused("the browser has ended its subscription")
        if failure := failure_of(status):
            raise failure

    def _post(self, subscription: Subscription, body: bytes, topic: str) -> int:
        if not is_allowed(subscription.endpoint, self._service.services):
            raise ChannelRefused("this push service is not allowed here")
        headers = self._service.vapid().headers(subscription.endpoint, self._service.clock.now()) | {
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(KEPT_SECONDS),
            "Urgency": "high",
            "Topic": topic,
        }
        sealed = encrypted(subscription, body)
        where = subscription.endpoint
        return post(lambda: self._service.connect(where), where, sealed, headers, TIMEOUT_SECONDS)[0]


def encrypted(subscription: Subscription, body: bytes) -> bytes:
    """The body as only this browser can read it.

    Raises:
        ChannelRefused: the browser's keys are none.
    """
    try:
        sealed: dict[str, Any] = WebPusher(subscription.model_dump()).encode(body, content_encoding="aes128gcm")
    except Exception:  # noqa: BLE001 - the library raises whatever its parts raise for a bad key
        raise ChannelRefused("the browser's keys cannot be used") from None
    return bytes(sealed["body"])


def topic(message: Message) -> str:
    """A later message of the same alert replaces one that the browser has not fetched (RFC 8030 5.4)."""
    return message.alert_id[:TOPIC_CHARACTERS]


def payload(message: Message) -> bytes:
    """What the service worker shows."""
    text = message.text.encode()[:LARGEST_TEXT_BYTES].decode("utf-8", "ignore")
    shown = {
        "title": message.headline,
        "body": text,
        "tag": message.alert_id,
        "link": message.acknowledge_link or message.link,
        "urgent": message.purpose not in ("confirmed", "retracted"),
    }
    return json.dumps(shown, ensure_ascii=False).encode()
