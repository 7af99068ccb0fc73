"""Puts the web application together."""

import logging
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, RedirectResponse, Response

from alerts.access.gate import Gate
from alerts.errors import (
    AccessError,
    HandOverRefused,
    InvitationRefused,
    LinkRefused,
    NameMissing,
    NotAllowed,
    NotInOthersNames,
    NotSignedIn,
    StoreUnavailable,
    UnknownAlert,
    UnknownStudy,
)
from alerts.web import access_api, api, images, oncall_pages, pages, push_pages, sign_in
from alerts.web.context import Context
from alerts.web.guard import Doorkeeper, House
from alerts.web.static_files import OwnFiles

log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"

SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The body of the request cannot be read.",
    HTTPStatus.NOT_FOUND: "There is nothing here under this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that kind of request.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The request is incomplete or wrong.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The alert store is not available just now. Nothing is lost; try again shortly.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something went wrong in this service. It has been logged.",
}

ACCESS: dict[type[AccessError], HTTPStatus] = {
    NotSignedIn: HTTPStatus.UNAUTHORIZED,
    NameMissing: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotInOthersNames: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvitationRefused: HTTPStatus.NOT_FOUND,
}
"""Forbidden otherwise."""


def create_app(context: Context, house: House) -> FastAPI:
    """The application; nothing is opened or started by making it."""
    app = FastAPI(
        title="Tocsin alerts",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        middleware=[Middleware(Doorkeeper, house=house), Middleware(Gate, identify=context.identify)],
    )
    app.include_router(api.create_router(context))
    app.include_router(access_api.create_router(context))
    app.include_router(pages.create_router(context), include_in_schema=False)
    app.include_router(oncall_pages.create_router(context), include_in_schema=False)
    app.include_router(push_pages.create_router(context), include_in_schema=False)
    app.include_router(sign_in.create_router(context.entrance, context.metrics.signed_in), include_in_schema=False)
    app.include_router(images.create_router(context), include_in_schema=False)
    app.mount("/static", OwnFiles(directory=STATIC), name="static")
    _speak_plainly(app)
    return app


def _speak_plainly(app: FastAPI) -> None:
    """Every refusal and failure as a sentence: JSON for the API, a page for people."""

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        answer = refusal(request, HTTPStatus(error.status_code))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return refusal(request, HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {first['msg']}")

    @app.exception_handler(UnknownStudy)
    def _no_study(request: Request, error: UnknownStudy) -> Response:
        return refusal(request, HTTPStatus.NOT_FOUND, "There is no study of this key.")

    @app.exception_handler(UnknownAlert)
    def _no_alert(request: Request, error: UnknownAlert) -> Response:
        return refusal(request, HTTPStatus.NOT_FOUND, "There is no alert of this id.")

    @app.exception_handler(HandOverRefused)
    def _not_handed_over(request: Request, error: HandOverRefused) -> Response:
        return refusal(request, HTTPStatus.UNPROCESSABLE_ENTITY, str(error))

    @app.exception_handler(LinkRefused)
    def _no_link(request: Request, error: LinkRefused) -> Response:
        return refusal(request, HTTPStatus.FORBIDDEN, str(error))

    @app.exception_handler(AccessError)
    def _refused(request: Request, error: AccessError) -> Response:
        if isinstance(error, NotAllowed) and request.url.path == "/":
            return RedirectResponse("/account", HTTPStatus.SEE_OTHER)  # an administrator's way in
        return refusal(request, ACCESS.get(type(error), HTTPStatus.FORBIDDEN), str(error))

    @app.exception_handler(StoreUnavailable)
    def _no_store(request: Request, error: StoreUnavailable) -> Response:
        return refusal(request, HTTPStatus.SERVICE_UNAVAILABLE)

    @app.exception_handler(Exception)
    def _broken(request: Request, error: Exception) -> Response:
        log.error("a request broke", exc_info=error, extra={"route": _route(request)})
        return refusal(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def refusal(request: Request, status: HTTPStatus, sentence: str | None = None) -> Response:
    """The answer that says what is wrong."""
    words = sentence or SENTENCES.get(status, f"{status.phrase}.")
    if request.url.path.startswith("/api/"):
        return JSONResponse({"detail": words}, status)
    return pages.message(request, status, words)


def _route(request: Request) -> str:
    return getattr(request.scope.get("route"), "path", "none")
