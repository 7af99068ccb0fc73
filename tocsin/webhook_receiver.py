"""A webhook receiver for demonstrations, checks and the dead-man's study: remembers when signed alerts came."""

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
    """``received`` holds (instant, message) of every alert whose signature is right.

    Args:
        host, port: where it listens; a free port of this machine by default.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(self, secret: str, host: str = LOOPBACK, port: int = 0) -> None:
        self._secret = secret.encode()
        self._lock = Lock()
        self._received: list[tuple[datetime, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        Thread(target=self._server.serve_forever, name="webhook receiver", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/alerts"

    @property
    def received(self) -> list[tuple[datetime, dict[str, Any]]]:
        with self._lock:
            return list(self._received)

    def forget(self) -> None:
        """Drop what came until now."""
        with self._lock:
            self._received.clear()

    def take(self, signature: str, body: bytes) -> HTTPStatus:
        """Check one request and keep it."""
        parts = dict(part.partition("=")[::2] for part in signature.split(","))
        expected = hmac.new(self._secret, parts.get("t", "").encode() + b"." + body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, parts.get("v1", "")):
            return HTTPStatus.UNAUTHORIZED
        try:
            message = json.loads(body)
        except ValueError:
            return HTTPStatus.BAD_REQUEST
        with self._lock:
            self._received.append((datetime.now(UTC), message))
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
