"""Webhook: the message as signed JSON by HTTP POST.

The body is :class:`alerts.messages.Message`, documented there. Headers::

    Content-Type: application/json
    Idempotency-Key: <notice_id>              the same on every attempt
    Tocsin-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>" under the recipient's secret>

A receiver recomputes the signature, compares in constant time, refuses a ``t`` older than five minutes, and answers
2xx once it has the message safely; the body of its answer is not read. Redirects are not followed: a signed alert
goes where the site said, nowhere else.
"""

import hashlib
import hmac
import http.client
import ssl
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from alerts.channels.posting import post
from alerts.errors import (
    ChannelBroken,
    ChannelBusy,
    ChannelError,
    ChannelRefused,
)
from alerts.messages import Message
from alerts.ports import Clock
from alerts.recipients import ChannelKind, Webhook

TIMEOUT_SECONDS = 5.0
"""For the whole exchange."""

BUSY_STATUSES = frozenset(
    {
        http.HTTPStatus.REQUEST_TIMEOUT,
        http.HTTPStatus.TOO_EARLY,
        http.HTTPStatus.TOO_MANY_REQUESTS,
        http.HTTPStatus.SERVICE_UNAVAILABLE,
    }
)

Connect = Callable[[Webhook], http.client.HTTPConnection]


def connect(webhook: Webhook) -> http.client.HTTPConnection:
    """A connection to the webhook's host; certificates are checked against the system's authorities."""
    parts = urlsplit(webhook.url)
    assert parts.hostname
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)


class WebhookChannel:
    """Posts to one recipient's webhook."""

    kind = ChannelKind.WEBHOOK

    def __init__(self, webhook: Webhook, clock: Clock, connect: Connect = connect) -> None:
        self._webhook = webhook
        self.provider = urlsplit(webhook.url).netloc
        self._clock = clock
        self._connect = connect

    def send(self, message: Message) -> None:
        """Deliver: done when the far side answers 2xx.

        Raises:
            ChannelError: anything else.
        """
        body = message.body()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "tocsin",
            "Idempotency-Key": message.notice_id,
            "Tocsin-Signature": signature(self._webhook.secret.get_secret_value(), body, self._clock.now()),
        }
        url = self._webhook.url
        failure = failure_of(*post(lambda: self._connect(self._webhook), url, body, headers, TIMEOUT_SECONDS))
        if failure:
            raise failure


def signature(secret: str, body: bytes, now: datetime) -> str:
    """The value of ``Tocsin-Signature``."""
    seconds = int(now.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def failure_of(status: int, retry_after: str | None = None) -> ChannelError | None:
    """What an HTTP status means for the delivery; None when it is accepted (RFC 9110 15.3)."""
    if 200 <= status < 300:
        return None
    detail = f"answered {status}"
    if status in BUSY_STATUSES:
        return ChannelBusy(detail, float(retry_after) if retry_after and retry_after.isdecimal() else None)
    if status >= 500:
        return ChannelBroken(detail)
    return ChannelRefused(detail)
