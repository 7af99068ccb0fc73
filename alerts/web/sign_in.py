"""Signing in and out, setting an account up, and what one's own account may do."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs, quote

import segno
from fastapi import APIRouter, Path, Query, Request
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from alerts.access.accounts import Origin
from alerts.access.entrance import Entrance, Method, Outcome
from alerts.access.gate import SignedIn, user_or_none
from alerts.access.permissions import WORDS, Permission
from alerts.access.recognition import cookie_name, is_ours
from alerts.access.sign_on import AFTER_SIGN_OUT, CALLBACK, FLOW_SECONDS
from alerts.access.signing_in import Ended
from alerts.access.user import Means
from alerts.errors import (
    CodeRefused,
    ForeignForm,
    InvitationRefused,
    PasswordRefused,
    SignInRefused,
    SignOnFailed,
    TriedTooOften,
)
from alerts.web.pages import templates

FLOW_COOKIE = "tocsin-sign-on"
FLOW_PATH = "/sign-in/sso"
LONGEST_NEXT = 500
NOT_OURS = "This form does not say that it comes from our own page. Open the sign-in again."


def create_router(entrance: Entrance, count: Callable[[Method, Outcome], None]) -> APIRouter:
    """``count`` is told every attempt to sign in."""
    router = APIRouter()
    sign_in = entrance.sign_in

    def form(request: Request, wanted: str, words: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
        facts = {
            "wanted": wanted,
            "words": words,
            "code_needed": sign_in.needs_second_factor,
            "provider": entrance.provider,
            "no_account": not sign_in.any_account() and entrance.provider is None,
            "sso": f"{FLOW_PATH}?next={quote(wanted, safe='/')}",
        }
        return templates.TemplateResponse(request, "sign_in.html", facts, status_code=status)

    @router.get("/sign-in")
    def ask(request: Request, next: Annotated[str, Query()] = "/") -> Response:  # noqa: A002 - name of the parameter
        if user_or_none(request):
            return RedirectResponse(inner(next), HTTPStatus.SEE_OTHER)
        return form(request, inner(next))

    @router.post("/sign-in")
    async def enter(request: Request) -> Response:
        if not is_ours(request):
            raise ForeignForm(NOT_OURS)
        fields = await form_of(request)
        wanted = inner(fields.get("next", "/"))
        address = request.client.host if request.client else "unknown"
        try:
            secret = await run_in_threadpool(
                sign_in.with_password,
                fields.get("login", ""),
                fields.get("password", ""),
                fields.get("code", ""),
                address,
            )
        except TriedTooOften as error:
            count(Method.PASSWORD, Outcome.MUST_WAIT)
            answer = await run_in_threadpool(form, request, wanted, str(error), HTTPStatus.TOO_MANY_REQUESTS)
            answer.headers["Retry-After"] = str(round(error.seconds))
            return answer
        except SignInRefused as error:
            count(Method.PASSWORD, Outcome.REFUSED)
            return await run_in_threadpool(form, request, wanted, str(error), HTTPStatus.UNAUTHORIZED)
        count(Method.PASSWORD, Outcome.SIGNED_IN)
        await run_in_threadpool(forget_old, request)
        return entered(request, secret, wanted)

    @router.get(FLOW_PATH)
    async def begin(request: Request, next: Annotated[str, Query()] = "/") -> Response:  # noqa: A002 - likewise
        if entrance.provider is None:
            return await run_in_threadpool(form, request, "/", "No sign-on is configured.", HTTPStatus.NOT_FOUND)
        try:
            location, flow = await entrance.provider.begin(request, inner(next))
        except SignOnFailed as error:
            count(Method.SIGN_ON, Outcome.BROKEN)
            return await run_in_threadpool(form, request, inner(next), str(error), HTTPStatus.BAD_GATEWAY)
        answer = RedirectResponse(location, HTTPStatus.SEE_OTHER)
        is_secure = request.url.scheme == "https"
        answer.set_cookie(
            FLOW_COOKIE, flow, FLOW_SECONDS, path=FLOW_PATH, secure=is_secure, httponly=True, samesite="lax"
        )
        return answer

    @router.get(CALLBACK)
    async def complete(request: Request) -> Response:
        if entrance.provider is None:
            return await run_in_threadpool(form, request, "/", "No sign-on is configured.", HTTPStatus.NOT_FOUND)
        try:
            arrival = await entrance.provider.complete(request, request.cookies.get(FLOW_COOKIE, ""))
            secret = await run_in_threadpool(sign_in.with_sign_on, arrival.person, arrival.id_token)
        except (SignOnFailed, SignInRefused) as error:
            count(Method.SIGN_ON, Outcome.REFUSED if isinstance(error, SignInRefused) else Outcome.BROKEN)
            return await run_in_threadpool(form, request, "/", str(error), HTTPStatus.FORBIDDEN)
        count(Method.SIGN_ON, Outcome.SIGNED_IN)
        await run_in_threadpool(forget_old, request)
        answer = entered(request, secret, inner(arrival.wanted))
        answer.delete_cookie(FLOW_COOKIE, path=FLOW_PATH)
        return answer

    @router.post("/sign-out")
    async def leave(request: Request) -> Response:
        answer = await farewell(request, await run_in_threadpool(forget_old, request))
        answer.delete_cookie(cookie_name(request), path="/", secure=request.url.scheme == "https", httponly=True)
        answer.headers["Clear-Site-Data"] = '"cache"'
        return answer

    async def farewell(request: Request, ended: Ended | None) -> Response:
        """On to the provider's own sign-out: by a page, for our forms may lead nowhere else (``form-action``), and by
        the answer itself, for the ID token must not be kept beyond its session."""
        address = None
        if ended is not None and ended.origin is Origin.SIGN_ON and entrance.provider is not None:
            address = await entrance.provider.sign_out_address(ended.id_token)
        if address is None:
            return RedirectResponse(AFTER_SIGN_OUT, HTTPStatus.SEE_OTHER)
        facts = {"address": address, "provider": entrance.provider}
        return await run_in_threadpool(templates.TemplateResponse, request, "signed_out.html", facts)

    @router.get("/welcome/{invitation}")
    def welcome(request: Request, invitation: Annotated[str, Path(max_length=100)]) -> Response:
        return welcome_form(request, invitation, "", HTTPStatus.OK)

    def welcome_form(request: Request, invitation: str, words: str, status: HTTPStatus) -> Response:
        enrolment = sign_in.enrolment(invitation)
        picture = segno.make(enrolment.uri, error="m").svg_inline(scale=5, border=3, light="#fff", dark="#000")
        facts = {
            "enrolment": enrolment,
            "invitation": invitation,
            "picture": Markup(picture),  # noqa: S704 - drawn by segno; what it encodes is not in the markup
            "words": words,
            "code_needed": sign_in.needs_second_factor,
        }
        return templates.TemplateResponse(request, "welcome.html", facts, status_code=status)

    @router.post("/welcome/{invitation}")
    async def set_up(request: Request, invitation: Annotated[str, Path(max_length=100)]) -> Response:
        if not is_ours(request):
            raise ForeignForm(NOT_OURS)
        fields = await form_of(request)
        password, status = fields.get("password", ""), HTTPStatus.UNPROCESSABLE_ENTITY
        if password != fields.get("again", ""):
            count(Method.INVITATION, Outcome.REFUSED)
            return await run_in_threadpool(
                welcome_form, request, invitation, "The two passwords are not the same.", status
            )
        try:
            secret = await run_in_threadpool(sign_in.set_up, invitation, password, fields.get("code", ""))
        except InvitationRefused:
            count(Method.INVITATION, Outcome.REFUSED)
            raise
        except (PasswordRefused, CodeRefused) as error:
            count(Method.INVITATION, Outcome.REFUSED)
            return await run_in_threadpool(welcome_form, request, invitation, str(error), status)
        count(Method.INVITATION, Outcome.SIGNED_IN)
        return entered(request, secret, "/account")

    @router.get("/account")
    def account(request: Request, user: SignedIn) -> Response:
        signed_in = user.means is Means.SESSION
        facts = {
            "permissions": [WORDS[p] for p in Permission if user.may(p)],
            "signed_in": signed_in,
            "recovery_codes_left": sign_in.recovery_codes_left(user.login) if signed_in else None,
        }
        return templates.TemplateResponse(request, "account.html", facts)

    def forget_old(request: Request) -> Ended | None:
        """A session that this browser had ends: at a sign-out, and when another takes its place."""
        old = request.cookies.get(cookie_name(request))
        return sign_in.out(old) if old else None

    def entered(request: Request, secret: str, wanted: str) -> Response:
        answer = RedirectResponse(wanted, HTTPStatus.SEE_OTHER)
        answer.set_cookie(
            cookie_name(request),
            secret,
            round(sign_in.lifetime.whole.total_seconds()),
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="lax",  # a link in a mail must find its reader signed in
        )
        return answer

    return router


async def form_of(request: Request) -> Mapping[str, str]:
    """The fields of a posted form, the first of each name."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def inner(wanted: str) -> str:
    """A page of ours to go on to; the worklist for anything else (an open redirect would lend our name to others)."""
    good = wanted.startswith("/") and not wanted.startswith(("//", "/sign-in")) and "\\" not in wanted
    return wanted if good and wanted.isprintable() and len(wanted) <= LONGEST_NEXT else "/"
