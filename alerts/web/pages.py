"""The pages for people: worklist, study, pictures, acknowledging, and the live signal."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Request
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.templating import Jinja2Templates

from alerts import wording, worklist
from alerts.access.gate import require, user_or_none
from alerts.access.permissions import Permission
from alerts.access.trail import Look
from alerts.access.user import User
from alerts.audit import WORDS
from alerts.errors import NameMissing, StoreUnavailable
from alerts.feedback import give, opinions_of
from alerts.life import Says, Via
from alerts.store.database import Database
from alerts.store.gallery import newest
from alerts.store.studies import PictureKind, picture_of
from alerts.web import study_page
from alerts.web.context import Context
from streams.contracts.identities import IdentityCipher
from streams.contracts.ids import Key

TEMPLATES = FilePath(__file__).parent / "templates"
LOOK_SECONDS = 0.5
"""How often the live signal looks for a change."""

KEEP_ALIVE_SECONDS = 15.0
NAME_CHARACTERS = 80
STUDY_KEY = re.compile(r"[0-9a-f]{32}")

Onlooker = Annotated[User, require(Permission.SEE_STUDIES)]

templates = Jinja2Templates(
    directory=TEMPLATES, context_processors=[lambda request: {"user": user_or_none(request), "may": Permission}]
)
templates.env.globals["wording"] = wording
templates.env.filters["clock"] = lambda instant: f"{instant.astimezone(UTC):%H:%M:%S}"
templates.env.filters["instant"] = lambda instant: f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
templates.env.filters["date"] = wording.date_words
templates.env.filters["iso"] = lambda instant: instant.isoformat()


def message(request: Request, status: HTTPStatus, words: str) -> Response:
    """A page with one sentence."""
    return templates.TemplateResponse(request, "message.html", {"words": words, "status": status}, status_code=status)


def create_router(context: Context) -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def listing(request: Request, user: Onlooker) -> Response:
        return templates.TemplateResponse(request, "worklist.html", _listing(context, user))

    @router.get("/list")
    def fragment(request: Request, user: Onlooker) -> Response:
        """The list alone, for the page to replace its own."""
        return templates.TemplateResponse(request, "_worklist.html", _listing(context, user))

    @router.get("/studies/{study_key}")
    def study(request: Request, study_key: Annotated[Key, Path()], user: Onlooker) -> Response:
        cipher = _cipher_for(user, context)
        with context.database.reading() as session:
            view = worklist.one_study(session, study_key)
            history = worklist.history_of(session, view.alert.alert_id) if view.alert else []
            patient = worklist.study_identities(session, cipher, [study_key]).get(study_key)
            series = worklist.series_identities(session, cipher, study_key)
            opinions = opinions_of(session, study_key)
        context.views.saw(user, Look.OPENED, [study_key])
        facts = {
            "view": view,
            "history": history,
            "patient": patient,
            "named": series,
            "page": study_page,
            "now": context.clock.now(),
            "people": context.recipients.names if context.recipients else (),
            "key_image": study_page.key_image(view) if user.may(Permission.SEE_IMAGES) else None,
            "pacs_url": context.pacs.of(patient) if context.pacs and patient else None,
            "feedback": opinions,
            "says": next((opinion.says for opinion in opinions if opinion.by == user.name), None),
            "banners": banners(context),
        }
        return templates.TemplateResponse(request, "study.html", facts)

    @router.get(
        "/studies/{study_key}/pictures/{series_key}/{revision}/{number}/{kind}.png",
    )
    def picture(
        study_key: Annotated[Key, Path()],
        series_key: Annotated[Key, Path()],
        revision: Annotated[int, Path(ge=1, le=2**31 - 1)],
        number: Annotated[int, Path(ge=0, le=1000)],
        kind: PictureKind,
        user: Annotated[User, require(Permission.SEE_IMAGES)],
    ) -> Response:
        with context.database.reading() as session:
            png = picture_of(session, study_key, series_key, revision, number, kind)
        if png is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        context.views.saw(user, Look.IMAGES, [study_key])
        return Response(png, media_type="image/png")

    @router.post("/alerts/{alert_id}/acknowledge")
    async def acknowledge(
        request: Request, alert_id: Annotated[Key, Path()], user: Annotated[User, require(Permission.ACKNOWLEDGE)]
    ) -> Response:
        form = await form_of(request)
        await run_in_threadpool(context.desk.acknowledge, alert_id, user.acting_as(name_in(form)), Via.PAGE)
        context.metrics.acknowledgements.inc()
        return RedirectResponse(back_to(form), status_code=HTTPStatus.SEE_OTHER)

    @router.post("/studies/{study_key}/feedback")
    async def feedback(
        request: Request, study_key: Annotated[Key, Path()], user: Annotated[User, require(Permission.GIVE_FEEDBACK)]
    ) -> Response:
        form = await form_of(request)
        says = form.get("says", "")
        if says not in set(Says):
            return message(request, HTTPStatus.UNPROCESSABLE_ENTITY, "Say what you see: a bleed, or not a bleed.")
        by = user.acting_as(name_in(form))
        await run_in_threadpool(give, context.database, context.clock, study_key, Says(says), by)
        return RedirectResponse(f"/studies/{study_key}", status_code=HTTPStatus.SEE_OTHER)

    @router.post("/alerts/{alert_id}/hand-over")
    async def hand_over(
        request: Request, alert_id: Annotated[Key, Path()], user: Annotated[User, require(Permission.HAND_OVER)]
    ) -> Response:
        form = await form_of(request)
        if not form.get("to"):
            return message(request, HTTPStatus.UNPROCESSABLE_ENTITY, "Choose to whom you hand this over.")
        await run_in_threadpool(context.desk.hand_over, alert_id, user.acting_as(name_in(form)), form["to"])
        return RedirectResponse(back_to(form), status_code=HTTPStatus.SEE_OTHER)

    @router.get("/acknowledge/{token}")
    def ask(request: Request, token: str) -> Response:
        """The page behind the link in a message; looking at it changes nothing."""
        opened = context.signer.open(token, context.clock.now())
        with context.database.reading() as session:
            view = worklist.study_of_alert(session, opened.alert_id)
        facts = {"view": view, "recipient": opened.recipient, "token": token, "now": context.clock.now()}
        return templates.TemplateResponse(request, "acknowledge.html", facts | {"banners": banners(context)})

    @router.post("/acknowledge/{token}/seen")
    def seen(token: str) -> Response:
        """The page behind the link is on somebody's screen."""
        opened = context.signer.open(token, context.clock.now())
        context.desk.seen(opened.alert_id, opened.recipient)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post("/acknowledge/{token}")
    def answer(token: str) -> Response:
        """The one tap."""
        opened = context.signer.open(token, context.clock.now())
        context.desk.acknowledge(opened.alert_id, opened.recipient, Via.LINK)
        context.metrics.acknowledgements.inc()
        return RedirectResponse(f"/acknowledge/{token}", status_code=HTTPStatus.SEE_OTHER)

    @router.get("/healthz")
    def healthz() -> Response:
        return _health(context.health.alive())

    @router.get("/readyz")
    def readyz() -> Response:
        return _health(context.health.ready())

    @router.get("/events", dependencies=[require(Permission.SEE_STUDIES)])
    async def events() -> Response:
        """Server-sent events: ``changed`` when the list may have changed, ``pictures`` when slices have come."""
        return StreamingResponse(_changes(context), media_type="text/event-stream")

    return router


def _health(failures: dict[str, str]) -> Response:
    """For a load balancer, which may be anybody: no reasons, these are on the port of the metrics."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if failures else HTTPStatus.OK
    return JSONResponse({"status": "failing" if failures else "ok"}, status)


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a posted form, the first value of each."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def name_in(form: Mapping[str, str]) -> str | None:
    """The name that somebody gave; None without one.

    Raises:
        NameMissing: what is there is no name.
    """
    by = " ".join(form.get("by", "").split())
    if len(by) > NAME_CHARACTERS or not by.isprintable():
        raise NameMissing("This is no name. Give your own.")
    return by or None


def back_to(form: Mapping[str, str]) -> str:
    study = form.get("study", "")
    return f"/studies/{study}" if STUDY_KEY.fullmatch(study) else "/"


def _cipher_for(user: User, context: Context) -> IdentityCipher | None:
    return context.cipher if user.may(Permission.SEE_IDENTITIES) else None


def _listing(context: Context, user: User) -> dict[str, object]:
    now = context.clock.now()
    with context.database.reading() as session:
        views = worklist.worklist(session, now)
        patients = worklist.study_identities(session, _cipher_for(user, context), (view.study_key for view in views))
    context.views.saw(user, Look.LISTED, [view.study_key for view in views])
    return {"views": views, "patients": patients, "now": now, "banners": banners(context)}


def banners(context: Context) -> list[str]:
    """What is wrong with the service itself, in sentences: silence must not look like safety."""
    found = []
    if context.reception.deaf_since:
        since = f"{context.reception.deaf_since.astimezone(UTC):%H:%M:%S} UTC"
        found.append(f"No new findings are being received since {since}. Read new studies yourself.")
    if context.recipients is None:
        found.append("Nobody is told: no recipients are configured. Alerts are shown on this page only.")
    if context.cipher is None:
        found.append("Patients are shown as hashes: no identity key is configured.")
    with context.database.reading() as session:
        counts = worklist.counts(session)
    if counts.failed:
        messages = "1 message" if counts.failed == 1 else f"{counts.failed} messages"
        found.append(f"{messages} could not be delivered and will be tried again. Do not rely on being paged.")
    if context.plan and context.plan.problems():
        problems = len(context.plan.problems())
        found.append(f"The on-call rota has {'a problem' if problems == 1 else f'{problems} problems'}: see On call.")
    violations = sorted({breach.violation for breach in context.auditor.breaches})
    return found + [
        f"The auditor found: {WORDS[violation]}. Look through the list below yourself." for violation in violations
    ]


async def _changes(context: Context) -> AsyncIterator[str]:
    seen, quiet = {"changed": "", "pictures": ""}, 0.0
    yield "retry: 1000\n\n"
    while not context.stop.is_set():
        now_at = await run_in_threadpool(_versions, context)
        news = {event: at for event, at in now_at.items() if at != seen[event]}
        for event, at in news.items():
            yield f"event: {event}\ndata: {at}\n\n"
        seen |= news
        if news:
            quiet = 0.0
        elif quiet >= KEEP_ALIVE_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)
        quiet += LOOK_SECONDS


def _versions(context: Context) -> dict[str, str]:
    """What each event of the live signal stands at."""
    deaf = context.reception.deaf_since is not None
    return {
        "changed": _version(context.database, lambda session: f"{worklist.version(session)}-{deaf:d}"),
        "pictures": _version(context.gallery, newest),
    }


def _version(database: Database, look: Callable[[Session], str]) -> str:
    try:
        with database.reading() as session:
            return look(session)
    except StoreUnavailable:
        return "unavailable"
