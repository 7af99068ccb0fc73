"""Subscribing a browser to pushes: the key, the service worker, the button's two answers, a test message."""

from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, JSONResponse, Response

from alerts.access.gate import require
from alerts.access.permissions import Permission
from alerts.access.user import User
from alerts.channels.push import PushChannel, PushService, Subscription, is_allowed
from alerts.errors import ChannelError
from alerts.life import Topic
from alerts.messages import Message, Purpose
from alerts.recipients import ChannelKind, RecipientName, Recipients
from alerts.store.subscriptions import browsers_of, subscribe, unsubscribe
from alerts.web.context import Context
from alerts.web.pages import banners, templates

WORKER = Path(__file__).parent / "static" / "service-worker.js"

Somebody = Annotated[User, require(Permission.SEE_ON_CALL)]


class Wanted(BaseModel):
    """A browser that is to be pushed to, for whom."""

    model_config = ConfigDict(extra="forbid")

    recipient: RecipientName
    subscription: Subscription


class Unwanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    endpoint: str


def create_router(context: Context) -> APIRouter:
    router = APIRouter()

    @router.get("/service-worker.js", dependencies=[require(Permission.SEE_ON_CALL)])
    def worker() -> Response:
        """From the root, so that it may serve the whole page."""
        return FileResponse(WORKER, media_type="text/javascript")

    @router.get("/push")
    def page(request: Request, user: Somebody) -> Response:
        names = pushable(context.recipients, user)
        with context.database.reading() as session:
            known = {name: len(browsers_of(session, name)) for name in names}
        facts = {
            "names": names,
            "known": known,
            "key": context.push.vapid().public if context.push and names else "",
            "banners": banners(context),
        }
        return templates.TemplateResponse(request, "push.html", facts)

    @router.post("/push/subscribe")
    def start(wanted: Wanted, user: Somebody) -> Response:
        if refusal := _refusal(context, user, wanted):
            return JSONResponse({"detail": refusal}, HTTPStatus.UNPROCESSABLE_ENTITY)
        with context.database.writing() as session:
            subscribe(session, wanted.recipient, wanted.subscription, user.name, context.clock.now())
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post("/push/unsubscribe")
    def end(unwanted: Unwanted, user: Somebody) -> Response:
        """Whoever knows a browser's endpoint has it in his hands."""
        with context.database.writing() as session:
            unsubscribe(session, unwanted.endpoint)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @router.post("/push/test")
    async def test(wanted: Wanted, user: Somebody) -> Response:
        """A message to this browser alone, to see whether it arrives."""
        refusal = _refusal(context, user, wanted)
        if refusal is None:
            refusal = await run_in_threadpool(_tried, context, wanted)
        if refusal:
            return JSONResponse({"detail": refusal}, HTTPStatus.UNPROCESSABLE_ENTITY)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return router


def pushable(recipients: Recipients | None, user: User) -> tuple[str, ...]:
    """The recipients for whom this user may subscribe a browser: himself; and anybody for who may edit the rota."""
    people = [r for r in (recipients.recipients if recipients else ()) if ChannelKind.PUSH in r.channels]
    may_all = user.may(Permission.EDIT_ON_CALL)
    return tuple(r.name for r in people if may_all or user.login == r.user or r.name in (user.login, user.name))


def _refusal(context: Context, user: User, wanted: Wanted) -> str | None:
    if context.push is None or wanted.recipient not in pushable(context.recipients, user):
        return f"You cannot subscribe a browser for {wanted.recipient}."
    if not is_allowed(wanted.subscription.endpoint, context.push.services):
        return "This browser's push service is not one that this site allows."
    return None


class OneBrowser:
    """A book with one subscription."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    def of(self, recipient: str) -> list[Subscription]:
        return [self._subscription]

    def remove(self, subscription: Subscription) -> None:
        """It has not been kept."""


def _tried(context: Context, wanted: Wanted) -> str | None:
    """Why a test message could not be sent, in a sentence; None when it was."""
    push = context.push
    assert push is not None
    service = PushService(OneBrowser(wanted.subscription), push.vapid, push.services, push.clock, push.connect)
    try:
        PushChannel(wanted.recipient, service).send(_test_message(context, wanted.recipient))
    except ChannelError as error:
        return f"The push service did not take the message: {error}."
    return None


def _test_message(context: Context, recipient: str) -> Message:
    return Message(
        notice_id="test",
        alert_id="test",
        purpose=Purpose.CONFIRMED,
        topic=Topic.NOT_ANALYSED,
        study_key="test",
        study="",
        headline="Test: this browser will be told",
        text="This is a test. No study needs you.",
        why="",
        decided_at=context.clock.now(),
        recipient=recipient,
        link=context.desk.links.public_url + "/",
    )
