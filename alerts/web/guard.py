"""The doorkeeper: who may talk to the page, and with which headers every answer leaves.

A browser can be made to talk to us by any web site: by a name that resolves to our address (DNS rebinding), or by a
form posted from elsewhere (CSRF). The Host must be one of ours, and whatever changes something must come from our own
pages or from no browser at all; with a session's cookie, from our own pages alone (:mod:`alerts.access.recognition`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
"""Asked by load balancers, under whatever name."""

ONE_YEAR = "max-age=31536000"
SAFE_METHODS = frozenset({"GET", "HEAD"})
OUR_OWN = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site that mean our own page, or the user's own hand."""

LARGEST_BODY_BYTES = 512 * 1024
"""A department's calendar of a year."""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # "no-referrer" makes a browser send "Origin: null" with our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class House:
    """The names under which we are to be reached."""

    hosts: frozenset[str]
    """Host header without its port, lower case."""
    origins: frozenset[str]
    """Origins of a proxy in front of us, such as ``https://tocsin.hospital.example``."""

    @classmethod
    def of(cls, public_url: str | None, allowed_hosts: Iterable[str]) -> "House":
        public = urlsplit(public_url) if public_url else None
        names = {*LOOPBACK_NAMES, *(host.lower() for host in allowed_hosts)}
        if public and public.hostname:
            names.add(public.hostname)
        return cls(frozenset(names), frozenset({public_url} if public_url else ()))

    def refusal(self, method: str, headers: Headers) -> str | None:
        """Why this request is refused, in a sentence; None when it is not."""
        host = headers.get("host", "").lower()
        if _name(host) not in self.hosts:
            return "This service is not reached by that name."
        if method in SAFE_METHODS:
            return None
        if headers.get("sec-fetch-site", "none") not in OUR_OWN:
            return "This request was made by another web site."
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins and urlsplit(origin).netloc.lower() != host:
            return "This request was made by another web site."
        if not headers.get("content-length", "0").isdecimal() or "transfer-encoding" in headers:
            return "The length of the request must be given."
        if int(headers.get("content-length", "0")) > LARGEST_BODY_BYTES:
            return "The request is too large."
        return None


def _name(host: str) -> str:
    """``[::1]:8080`` → ``[::1]``, ``localhost:8080`` → ``localhost``."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


class Doorkeeper:
    """ASGI middleware: refuses strangers, and sets the security headers on every answer."""

    def __init__(self, app: ASGIApp, house: House) -> None:
        self._app = app
        self._house = house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", ONE_YEAR)
            await send(message)

        refusal = self._house.refusal(scope["method"], Headers(scope=scope))
        if refusal and not (scope["path"] in HEALTH_PATHS and scope["method"] in SAFE_METHODS):
            await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)
