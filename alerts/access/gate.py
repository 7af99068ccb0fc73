"""The gate: finds out who asks, keeps strangers out, and gives each route the user it may serve.

Two layers, each enough by itself: the middleware lets nobody without a name past the public paths, and each route says
with :func:`require` what its user must be allowed to do. A test holds every route to one or the other.
"""

from collections.abc import Callable
from time import monotonic
from typing import Annotated, Any
from urllib.parse import quote

from anyio import CancelScope
from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alerts.access.permissions import Permission
from alerts.access.user import User
from alerts.errors import ForeignForm, NotAllowed, NotSignedIn, StoreUnavailable

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/sign-in", "/sign-out"})
PUBLIC_FOLDERS = ("/static/", "/sign-in/", "/welcome/", "/acknowledge/")
"""What a phone at 3 a.m. and a load balancer need; the acknowledge link and the welcome link are signed themselves."""

LOOK_AGAIN_SECONDS = 15.0

SIGN_IN_FIRST = "Sign in first."
STORE_AWAY = "The alert store is not available just now. Nothing is lost; try again shortly."

Identify = Callable[[HTTPConnection], User | None]
"""Who asks; None when nobody knows. May read the store."""


def is_public(path: str) -> bool:
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDERS)


def require(permission: Permission) -> Any:
    """The user of a route, who must have this permission.

    Use as ``user: Annotated[User, require(Permission.ACKNOWLEDGE)]``, or without the user as
    ``dependencies=[require(Permission.SEE_STUDIES)]``.
    """

    def allowed(request: Request) -> User:
        user = current_user(request)
        if not user.may(permission):
            raise NotAllowed(f"{user.name} may not do this: it needs the permission {permission}.")
        return user

    allowed.permission = permission  # type: ignore[attr-defined] # read by the test that no route is without one
    return Depends(allowed)


def current_user(connection: HTTPConnection) -> User:
    """Who asks.

    Raises:
        NotSignedIn: nobody knows.
    """
    user = user_or_none(connection)
    if user is None:
        raise NotSignedIn(SIGN_IN_FIRST)
    return user


def user_or_none(connection: HTTPConnection) -> User | None:
    """Who asks, on the pages that are open to everybody."""
    user: User | None = getattr(connection.state, "user", None)
    return user


SCHEMES = (
    Security(HTTPBearer(auto_error=False, description="An API token, made with `tocsin token create`")),
    Security(APIKeyCookie(name="tocsin", auto_error=False, description="The session of a browser")),
)
"""How a program and a browser say who they are; for the description of the API, the gate does the looking."""

SignedIn = Annotated[User, Depends(current_user)]
"""For a route that is there for everybody with a name."""


class Gate:
    """ASGI middleware: sets ``request.state.user``, and answers those without a name.

    An answer that goes on and on (the live signal) is looked at again: it ends soon after the session does.
    """

    def __init__(self, app: ASGIApp, identify: Identify) -> None:
        self._app = app
        self._identify = identify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            user = await run_in_threadpool(self._identify, connection)
        except StoreUnavailable:
            user = None
            if not is_public(scope["path"]):
                await store_away(connection)(scope, receive, send)
                return
        except ForeignForm as error:
            await PlainTextResponse(f"{error}\n", 403)(scope, receive, send)
            return
        scope.setdefault("state", {})["user"] = user
        if user is None and not is_public(scope["path"]):
            await sign_in_first(connection, scope["method"])(scope, receive, send)
            return
        with CancelScope() as answering:
            lasting = Lasting(send, lambda: self._identify(connection), answering)
            await self._app(scope, receive, lasting.send if user else send)


class Lasting:
    """Looks again, now and then, whether a long answer still has a user."""

    def __init__(self, send: Send, identify: Callable[[], User | None], answering: CancelScope) -> None:
        self._send = send
        self._identify = identify
        self._answering = answering
        self._looked_at = monotonic()

    async def send(self, message: Message) -> None:
        if message.get("more_body") and monotonic() - self._looked_at > LOOK_AGAIN_SECONDS:
            self._looked_at = monotonic()
            try:
                gone = await run_in_threadpool(self._identify) is None
            except StoreUnavailable:
                gone = False  # the page says that it is not current; who is there is found out when it is back
            if gone:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
                self._answering.cancel()
        await self._send(message)


def store_away(connection: HTTPConnection) -> Response:
    if connection.scope["path"].startswith("/api/"):
        return JSONResponse({"detail": STORE_AWAY}, 503)
    return PlainTextResponse(STORE_AWAY + "\n", 503)


def sign_in_first(connection: HTTPConnection, method: str) -> Response:
    """A person who opens a page is led to the sign-in; everything else is told."""
    path = connection.scope["path"]
    if path.startswith("/api/"):
        return JSONResponse({"detail": SIGN_IN_FIRST}, 401, {"WWW-Authenticate": "Bearer"})
    navigates = connection.headers.get("sec-fetch-mode", "navigate") == "navigate"
    if method == "GET" and navigates:
        query = connection.scope["query_string"].decode("latin-1")
        wanted = path + (f"?{query}" if query else "")
        return RedirectResponse("/sign-in" if wanted == "/" else f"/sign-in?next={quote(wanted, safe='/')}", 303)
    return PlainTextResponse(SIGN_IN_FIRST + "\n", 401)
