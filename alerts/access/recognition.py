"""Finds out whose a request is: an API token, a session, or anybody on this machine."""

import logging
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from alerts.access import sessions, tokens
from alerts.access.accounts import any_account
from alerts.access.sessions import Lifetime
from alerts.access.user import ANYBODY_HERE, User
from alerts.errors import ForeignForm, StoreUnavailable
from alerts.ports import Clock
from alerts.store.database import Database

log = logging.getLogger(__name__)

BEARER = "bearer "
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""What a proxy adds: then the request may come from anywhere, also on loopback."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
COOKIE = "tocsin"
SECURE_COOKIE = "__Host-tocsin"
"""A browser takes a cookie of this name only over TLS, for this host and with ``Path=/`` (RFC 6265bis 4.1.3)."""


@dataclass(frozen=True)
class Recognition:
    database: Database
    clock: Clock
    lifetime: Lifetime
    asks_nobody_here: bool
    """The page is on loopback, with no address for others and no sign-on; still, the first account ends this."""

    def __call__(self, connection: HTTPConnection) -> User | None:
        """Whose request this is; None when nobody knows.

        Raises:
            StoreUnavailable: it cannot be found out just now.
            ForeignForm: a session's cookie came with a form that may not be ours.
        """
        authorization = connection.headers.get("authorization", "")
        if authorization.lower().startswith(BEARER):
            return self._by_token(authorization[len(BEARER) :].strip())
        cookie = connection.cookies.get(cookie_name(connection))
        if cookie:
            user = self._by_session(cookie, connection)
            if user:
                return user
        return self._anybody_here(connection)

    def _by_token(self, text: str) -> User | None:
        now = self.clock.now()
        with self.database.reading() as session:
            found = tokens.find(session, text, now)
        if found and found.use_is_old:
            try:
                with self.database.writing() as session:
                    tokens.use(session, found.token_id, now)
            except StoreUnavailable:
                log.warning("the last use of a token could not be kept", extra={"token": found.token_id})
        return found.user if found else None

    def _by_session(self, secret: str, connection: HTTPConnection) -> User | None:
        now = self.clock.now()
        with self.database.reading() as session:
            found = sessions.find(session, secret, now, self.lifetime)
        if found is None:
            return None
        if not is_ours(connection):
            raise ForeignForm("This request does not say that it comes from our own pages.")
        if found.use_is_old and is_a_humans(connection):
            try:
                with self.database.writing() as session:
                    sessions.use(session, found.digest, now)
            except StoreUnavailable:
                log.warning("the last use of a session could not be kept", extra={"session": found.user.session})
        return found.user

    def _anybody_here(self, connection: HTTPConnection) -> User | None:
        if not self.asks_nobody_here or any(name in connection.headers for name in FORWARDED):
            return None
        with self.database.reading() as session:
            return None if any_account(session) else ANYBODY_HERE


def cookie_name(connection: HTTPConnection) -> str:
    return SECURE_COOKIE if connection.scope["scheme"] == "https" else COOKIE


def is_ours(connection: HTTPConnection) -> bool:
    """Whether a browser vouches that this is our own page's doing. What says the contrary was refused at the door."""
    if connection.scope["method"] in SAFE_METHODS:
        return True
    return connection.headers.get("sec-fetch-site") == "same-origin" or "origin" in connection.headers


def is_a_humans(connection: HTTPConnection) -> bool:
    """Whether somebody did something: opened a page or pressed a button."""
    return (
        connection.scope["method"] not in SAFE_METHODS
        or connection.headers.get("sec-fetch-mode", "navigate") == "navigate"
    )
