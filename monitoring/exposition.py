"""The side door of each service: ``/metrics``, ``/healthz`` and ``/readyz`` over HTTP on a port of its own.

Plain threads on purpose: it must answer while an event loop or a GIL-bound handler is busy. It binds loopback unless
told otherwise, serves nothing but these three, and carries no patient data.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from monitoring.health import Health

REQUEST_TIMEOUT_SECONDS = 5.0


class Exposition:
    """Serves one registry and one health object until closed.

    Args:
        address: (host, port); port 0 takes a free one, see :attr:`port`.

    Raises:
        OSError: the port is taken or the address is not ours.
    """

    def __init__(self, registry: CollectorRegistry, health: Health, address: tuple[str, int]) -> None:
        self._server = ThreadingHTTPServer(address, _handler(registry, health))
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="exposition", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


Page = tuple[HTTPStatus, str, bytes]


def _handler(registry: CollectorRegistry, health: Health) -> type[BaseHTTPRequestHandler]:
    pages: dict[str, Callable[[], Page]] = {
        "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
        "/healthz": lambda: _verdict(health.alive()),
        "/readyz": lambda: _verdict(health.ready()),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_SECONDS
        server_version = "tocsin"
        sys_version = ""

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, content_type, body = page() if page else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):  # who asked has gone: it will ask again
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            """Scrapes are not worth a log line."""

    return Handler


def _verdict(failures: dict[str, str]) -> Page:
    status = HTTPStatus.SERVICE_UNAVAILABLE if failures else HTTPStatus.OK
    body = json.dumps({"status": "failing" if failures else "ok", "failures": failures}) + "\n"
    return status, "application/json", body.encode()
