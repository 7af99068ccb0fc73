"""A webhook receiver for demonstrations and checks: takes signed alerts on loopback and remembers when they came."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from tocsin.ports import LOOPBACK

SIGNATURE_HEADER = "Tocsin-Signature"


class WebhookReceiver:
    """Listens on a free port. ``received`` holds (instant, message) of every alert whose signature is right."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._lock = Lock()
        self._received: list[tuple[datetime, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer((LOOPBACK, 0), _handler(self))
        Thread(target=self._server.serve_forever, name="webhook receiver", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/alerts"

    @property
    def received(self) -> list[tuple[datetime, dict[str, Any]]]:
        with self._lock:
            return list(self._received)

    def take(self, signature: str, body: bytes) -> HTTPStatus:
        """Check one request and keep it."""
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        expected = hmac.new(self._secret, parts.get("t", "").encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, parts.get("v1", "")):
            return HTTPStatus.UNAUTHORIZED
        with self._lock:
            self._received.append((datetime.now(UTC), json.loads(body)))
        return HTTPStatus.NO_CONTENT

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(receiver: WebhookReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(receiver.take(self.headers.get(SIGNATURE_HEADER, ""), body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """The demonstration tells the story itself."""

    return Handler
