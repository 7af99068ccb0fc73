"""Talks to the OpenID Connect provider: authorization code with PKCE (RFC 7636).

Laws: a sign-on ends in the browser that began it, within a time; the provider being away closes no other way in.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth, OAuthError
from itsdangerous import BadSignature, URLSafeTimedSerializer
from joserfc.errors import JoseError
from starlette.requests import Request

from alerts.access.sign_on import AFTER_SIGN_OUT, FLOW_SECONDS, Person, SignOn
from alerts.errors import SettingsRefused, SignOnFailed

log = logging.getLogger(__name__)

NAME = "hospital"

TIMEOUT_SECONDS = 5.0
BEGIN_AGAIN = "The sign-on was not completed. Begin it again."
PROVIDER_AWAY = "The hospital's sign-on does not answer just now. Use a local account, or the link in your message."
BROKEN = (httpx.HTTPError, AuthlibBaseError, JoseError, RuntimeError, ValueError, TypeError, KeyError)
"""What a provider that is away, or that answers what it should not, makes of Authlib."""


LONGEST_HINT = 4096
"""Characters of an ID token; one with hundreds of groups would make an address that servers refuse."""


@dataclass(frozen=True)
class Arrival:
    """Somebody has come back from the provider. ``wanted``: the page to go on to."""

    person: Person
    wanted: str
    id_token: str | None = field(default=None, repr=False)


class Provider:
    """Talks to the provider.

    Raises:
        SettingsRefused: the client's secret cannot be read.
    """

    def __init__(self, settings: SignOn, redirect_uri: str, secret: Callable[[], bytes]) -> None:
        self.settings = settings
        self._redirect_uri = redirect_uri
        self._secret = secret
        registry = OAuth()
        registry.register(
            NAME,
            client_id=settings.client_id,
            client_secret=_secret_of(settings.client_secret_file),
            server_metadata_url=f"{settings.issuer}/.well-known/openid-configuration",
            client_kwargs={
                "scope": settings.scopes,
                "code_challenge_method": "S256",
                "timeout": TIMEOUT_SECONDS,
                **({} if settings.client_secret_file else {"token_endpoint_auth_method": "none"}),
            },
        )
        self._client: Any = registry.create_client(NAME)  # Authlib has no types

    async def begin(self, request: Request, wanted: str) -> tuple[str, str]:
        """Where to send the browser, and what it must bring back in a cookie.

        Raises:
            SignOnFailed: the provider is away.
        """
        request.scope["session"] = {"wanted": wanted}
        try:
            answer = await self._client.authorize_redirect(request, self._redirect_uri)
        except BROKEN as error:
            log.warning("the sign-on cannot begin", extra={"why": type(error).__name__})
            raise SignOnFailed(PROVIDER_AWAY) from error
        return answer.headers["location"], self._serializer().dumps(request.session)

    async def complete(self, request: Request, flow: str) -> Arrival:
        """Who has come back from the provider, and which page was wanted.

        Raises:
            SignOnFailed: not begun in this browser, refused at the provider, or not answered as it must be.
        """
        try:
            request.scope["session"] = self._serializer().loads(flow, max_age=FLOW_SECONDS)
        except BadSignature:
            raise SignOnFailed(BEGIN_AGAIN) from None
        wanted = str(request.session.get("wanted", "/"))
        try:
            token = await self._client.authorize_access_token(
                request, claims_options={"iss": {"essential": True, "values": [self.settings.issuer]}}
            )
            claims = await self._claims(token)
        except OAuthError as error:
            log.warning("the provider refused a sign-on", extra={"why": error.error})
            raise SignOnFailed(BEGIN_AGAIN) from error
        except BROKEN as error:
            log.warning("a sign-on broke", extra={"why": type(error).__name__})
            raise SignOnFailed(BEGIN_AGAIN) from error
        id_token = str(token["id_token"])
        return Arrival(self.settings.person(claims), wanted, id_token if len(id_token) <= LONGEST_HINT else None)

    async def sign_out_address(self, id_token: str | None) -> str | None:
        """Where a browser goes to sign out there too (OpenID Connect RP-Initiated Logout 1.0); None where the provider
        offers nothing of the kind, or does not answer. ``id_token`` tells it who is leaving, and that we ask; without
        it the provider may ask whether it is meant.
        """
        try:
            metadata = await self._client.load_server_metadata()
        except BROKEN as error:
            log.warning("the sign-on's sign-out cannot be found", extra={"why": type(error).__name__})
            return None
        endpoint = metadata.get("end_session_endpoint")
        if not endpoint:
            return None
        back = urljoin(self._redirect_uri, AFTER_SIGN_OUT)
        asked = {"client_id": self.settings.client_id, "post_logout_redirect_uri": back}
        hint = {"id_token_hint": id_token} if id_token else {}
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(asked | hint)}"

    async def _claims(self, token: dict[str, Any]) -> dict[str, Any]:
        """Those of the checked ID token; where these lack the groups, with those of the userinfo endpoint."""
        claims = dict(token["userinfo"])
        if self.settings.roles_of(claims) or "userinfo_endpoint" not in self._client.server_metadata:
            return claims
        more = dict(await self._client.userinfo(token=token))
        if more.get("sub") != claims["sub"]:
            raise ValueError("the userinfo endpoint speaks of somebody else")  # OpenID Connect Core 5.3.2
        return {**more, **claims}

    def _serializer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(self._secret(), salt="sign-on")


def _secret_of(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SettingsRefused(f"the client secret of the sign-on cannot be read: {reason}") from None
