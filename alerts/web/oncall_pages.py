"""The on-call pages: who is on duty in the coming days, what is wrong with that, and the editor."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from alerts import wording
from alerts.access.gate import require
from alerts.access.permissions import Permission
from alerts.access.user import User
from alerts.amending import with_duties, with_override
from alerts.calendars import duties, frame_of
from alerts.errors import RotaChanged, RotaRefused
from alerts.oncall import OnCall, Override
from alerts.plan import checked_document, read_document
from alerts.recipients import ChannelKind, Recipients
from alerts.rota import Problem, Span, spans
from alerts.store import rotas
from alerts.store.outbox import Address
from alerts.store.schema import RotaVersion
from alerts.store.subscriptions import subscribers
from alerts.web.context import Context
from alerts.web.pages import banners, templates
from alerts.worklist import ChannelHealth, channel_health

SHOWN = timedelta(days=14)
HEALTH_SINCE = timedelta(days=7)
IMPORTED = timedelta(weeks=52)

Viewer = Annotated[User, require(Permission.SEE_ON_CALL)]
Editor = Annotated[User, require(Permission.EDIT_ON_CALL)]
Form = Mapping[str, str]

EVERYBODY = """\
# Everybody at once, again every five minutes. See docs/alerts.md for teams, rotations and steps.
time_zone: UTC
teams:
  everybody: [{names}]
policies:
  - name: everything
    steps:
      - {{notify: [everybody], wait_minutes: 5}}
    fall_back: [everybody]
"""


@dataclass(frozen=True)
class Draft:
    """A document that is being edited."""

    text: str
    after: int
    """The version it was made from."""
    refused: str | None = None
    problems: tuple[Problem, ...] = ()
    checked: bool = False
    said: str = ""


def create_router(context: Context) -> APIRouter:
    router = APIRouter()

    @router.get("/on-call")
    def shown(request: Request, user: Viewer) -> Response:
        """The coming days."""
        return templates.TemplateResponse(request, "oncall.html", _shown(context))

    @router.get("/on-call/edit")
    def edit(request: Request, user: Editor, version: int | None = None) -> Response:
        """The editor, with the document in force or with an earlier version."""
        with context.database.reading() as session:
            newest = rotas.newest_number(session)
            known = rotas.version(session, newest if version is None else version)
        text = known.text if known else _first_draft(context.recipients)
        return _editor(request, context, Draft(text, newest))

    @router.post("/on-call/edit")
    async def change(request: Request, user: Editor) -> Response:
        """Check, amend or save, by the button that was pressed."""
        form = _form(await request.body())
        return await run_in_threadpool(_change, request, context, user, form)

    @router.get("/on-call/versions/{number}")
    def version(request: Request, user: Viewer, number: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> Response:
        with context.database.reading() as session:
            known = rotas.version(session, number)
        if known is None:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(known.text, media_type="text/plain; charset=utf-8")

    return router


def _change(request: Request, context: Context, user: User, form: Form) -> Response:
    draft = Draft(form.get("text", "").replace("\r\n", "\n"), _number(form.get("after", "")))
    try:
        match form.get("do"):
            case "stand-in":
                draft = _stand_in(draft, form)
            case "calendar":
                draft = _from_calendar(context, draft, form)
        _, problems = checked_document(draft.text, context.recipients, context.clock.now())
        if form.get("do") == "save":
            _save(context, draft, user.acting_as(form.get("by", "").strip() or None))
            return RedirectResponse("/on-call", status_code=HTTPStatus.SEE_OTHER)
    except (RotaRefused, RotaChanged) as error:
        refused = Draft(draft.text, draft.after, refused=str(error))
        return _editor(request, context, refused, form, HTTPStatus.UNPROCESSABLE_ENTITY)
    checked = Draft(draft.text, draft.after, problems=tuple(problems), checked=True, said=draft.said)
    return _editor(request, context, checked, form)


def _save(context: Context, draft: Draft, by: str) -> None:
    with context.database.writing() as session:
        rotas.save(session, draft.text, by, context.clock.now(), draft.after)
    if context.plan:
        context.plan.refresh()


def _stand_in(draft: Draft, form: Form) -> Draft:
    """Somebody takes over for a while, by the form."""
    try:
        start, end = (datetime.fromisoformat(form.get(name, "")) for name in ("start", "end"))
        override = Override(start=start, end=end, who=form.get("who", ""))
    except ValueError:
        raise RotaRefused("to stand in, give a person, a start, and an end that is later") from None
    text = with_override(draft.text, form.get("rotation", ""), override)
    return Draft(text, draft.after, said=f"{override.who} stands in. Save to put it in force.")


def _from_calendar(context: Context, draft: Draft, form: Form) -> Draft:
    """The duties of an iCalendar file become a rotation's overrides."""
    now, rotation = context.clock.now(), form.get("rotation", "")
    frame = frame_of(read_document(draft.text), rotation, now, now + IMPORTED)
    read = duties(form.get("calendar", ""), context.recipients, {}, frame)
    if read.unknown:
        raise RotaRefused(f"the calendar names {', '.join(read.unknown[:5])}, who are no recipients")
    text = with_duties(draft.text, rotation, read.overrides, now)
    return Draft(text, draft.after, said=f"{len(read.overrides)} duties taken over. Save to put them in force.")


def _editor(
    request: Request, context: Context, draft: Draft, form: Form | None = None, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    with context.database.reading() as session:
        versions = rotas.versions(session)
    try:
        rotations = tuple(read_document(draft.text).rotations)
    except RotaRefused:
        rotations = ()
    facts = {
        "draft": draft,
        "form": form or {},
        "versions": versions,
        "rotations": rotations,
        "people": context.recipients.names if context.recipients else (),
        "banners": banners(context),
    }
    return templates.TemplateResponse(request, "oncall_edit.html", facts, status_code=status)


@dataclass(frozen=True)
class Line:
    """One channel to one recipient, and how it is."""

    recipient: str
    channel: ChannelKind
    state: str
    ok: bool
    accepted_at: datetime | None = None


def _lines(context: Context, health: list[ChannelHealth], subscribed: frozenset[str]) -> Iterator[Line]:
    """Every channel of every recipient, in words."""
    known = {Address(one.recipient, one.channel): one for one in health}
    down = context.circuits.down(context.clock.now()) if context.circuits else frozenset()
    for person in context.recipients.recipients if context.recipients else ():
        for channel in person.channels:
            address = Address(person.name, channel)
            one = known.get(address)
            accepted_at = one.accepted_at if one else None
            if channel is ChannelKind.PUSH and person.name not in subscribed:
                yield Line(person.name, channel, "no browser is subscribed", False, accepted_at)
            elif address in down:
                yield Line(person.name, channel, "down: what it depends on does not answer", False, accepted_at)
            elif one and one.failing:
                words = wording.FAILURES[one.failure] if one.failure else "failed"
                yield Line(person.name, channel, f"{words}, {one.failing} waiting", False, accepted_at)
            elif accepted_at:
                yield Line(person.name, channel, "works", True, accepted_at)
            else:
                yield Line(person.name, channel, "not used lately", True)


@dataclass(frozen=True)
class Row:
    """A rotation in the coming days."""

    name: str
    spans: tuple[Span, ...]


def _shown(context: Context) -> dict[str, object]:
    now = context.clock.now()
    plan = context.plan
    on_call = plan.on_call if plan else None
    with context.database.reading() as session:
        newest: RotaVersion | None = rotas.version(session, plan.number) if plan else None
        health = channel_health(session, now - HEALTH_SINCE)
        subscribed = subscribers(session)
    return {
        "lines": list(_lines(context, health, subscribed)),
        "on_call": on_call,
        "version": newest,
        "unreadable": plan.unreadable if plan else None,
        "problems": plan.problems() if plan else [],
        "rows": _rows(on_call, now) if on_call else [],
        "steps": _steps(on_call, now) if on_call else [],
        "now": now,
        "people": context.recipients.recipients if context.recipients else (),
        "banners": banners(context),
        "local": lambda instant: f"{instant.astimezone(on_call.zone):%a %d %b %H:%M}" if on_call else "",
    }


def _rows(on_call: OnCall, now: datetime) -> list[Row]:
    return [Row(name, tuple(spans(on_call, [name], now, now + SHOWN))) for name in on_call.rotations]


@dataclass(frozen=True)
class Rung:
    """Who would be rung now at one step of a policy."""

    policy: str
    step: str
    names: tuple[str, ...]
    is_gap: bool = False


def _steps(on_call: OnCall, now: datetime) -> list[Rung]:
    found = []
    for policy in on_call.policies:
        for number, step in enumerate(policy.steps, 1):
            names = on_call.resolve(step.notify, now)
            found.append(Rung(policy.name, str(number), names or on_call.resolve(policy.fall_back, now), not names))
        found.append(Rung(policy.name, "fall-back", on_call.resolve(policy.fall_back, now)))
    return found


def _first_draft(recipients: Recipients | None) -> str:
    return EVERYBODY.format(names=", ".join(f'"{name}"' for name in recipients.names) if recipients else "")


def _form(body: bytes) -> dict[str, str]:
    parsed = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in parsed.items()}


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0
