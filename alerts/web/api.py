"""The JSON API, version 1. It carries no patient identity: studies go by their keys."""

from datetime import datetime
from io import StringIO
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.responses import PlainTextResponse, Response

from alerts import worklist
from alerts.access.gate import SCHEMES, require
from alerts.access.permissions import Permission
from alerts.access.trail import Look
from alerts.access.user import User
from alerts.feedback import Opinion, export, give
from alerts.life import Answer, Claim, Says, Topic, Via
from alerts.web.context import Context
from alerts.worklist import AlertView, EventView, StudyView
from streams.contracts.alerts import AlertChanged
from streams.contracts.findings import FindingProduced
from streams.contracts.ids import Key

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]*$")]


class Refusal(BaseModel):
    """What every error looks like."""

    detail: str


class Acknowledgement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: Name | None = None
    """Who answers. A person who has signed in answers in his or her own name; a token must say for whom."""


class HandOver(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: Name
    """One of the recipients."""
    by: Name | None = None
    """Who hands over; as in an acknowledgement."""


class Reading(BaseModel):
    """What a doctor sees in the images."""

    model_config = ConfigDict(extra="forbid")

    says: Says
    by: Name | None = None


class Answered(BaseModel):
    alert_id: Key
    topic: Topic
    claim: Claim
    answer: Answer


class AlertDetail(AlertView):
    history: tuple[AlertChanged, ...]


class StudySummary(BaseModel):
    """One line of the worklist."""

    study_key: Key
    study: str
    verdict: str
    reason: str
    urgency: str
    headline: str
    first_seen_at: datetime
    changed_at: datetime
    alert: AlertView | None
    findings: tuple[FindingProduced, ...]
    """The newest of each series, without pictures."""


class StudyDetail(StudySummary):
    revisions: tuple[FindingProduced, ...]
    """Every finding that ever came for this study, oldest first."""
    history: tuple[AlertChanged, ...]


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "The body of the request cannot be read"},
    401: {"model": Refusal, "description": "Nobody knows who asks: sign in, or send a token"},
    403: {"model": Refusal, "description": "Who asks may not do this"},
    422: {"model": Refusal, "description": "The request is incomplete or wrong"},
    503: {"model": Refusal, "description": "The alert store is away; try again shortly"},
}
Onlooker = Annotated[User, require(Permission.SEE_STUDIES)]

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Refusal}}


def create_router(context: Context) -> APIRouter:
    """All under ``/api/v1``."""
    router = APIRouter(prefix="/api/v1", tags=["v1"], responses=REFUSALS, dependencies=SCHEMES)

    @router.get("/studies")
    def studies(user: Onlooker) -> list[StudySummary]:
        """The worklist: most urgent first."""
        with context.database.reading() as session:
            views = worklist.worklist(session, context.clock.now())
        context.views.saw(user, Look.LISTED, [view.study_key for view in views])
        return [StudySummary(**_summary(view)) for view in views]

    @router.get("/studies/{study_key}", responses=NOT_FOUND)
    def study(study_key: Annotated[Key, Path()], user: Onlooker) -> StudyDetail:
        """One study with its findings and the history of its alert."""
        with context.database.reading() as session:
            view = worklist.one_study(session, study_key)
            history = worklist.history_of(session, view.alert.alert_id) if view.alert else []
        context.views.saw(user, Look.OPENED, [study_key])
        revisions = sorted((f for s in view.series for f in s.findings), key=lambda f: f.clocks.produced)
        return StudyDetail(**_summary(view), revisions=tuple(revisions), history=_events(history))

    @router.get("/alerts")
    def alerts(user: Onlooker, waiting: Annotated[bool, Query()] = False) -> list[AlertView]:
        """The alerts, newest first; with ``waiting`` only those that nobody has answered."""
        with context.database.reading() as session:
            found = worklist.alerts_of(session, waiting_only=waiting)
        context.views.saw(user, Look.LISTED, [alert.study_key for alert in found])
        return found

    @router.post("/alerts/{alert_id}/hand-over", responses=NOT_FOUND)
    def hand_over(
        alert_id: Annotated[Key, Path()], order: HandOver, user: Annotated[User, require(Permission.HAND_OVER)]
    ) -> Answered:
        """Give this alert to somebody else: it rings there at once, and escalates until somebody answers."""
        life = context.desk.hand_over(alert_id, user.acting_as(order.by), order.to)
        return Answered(alert_id=alert_id, topic=life.topic, claim=life.claim, answer=life.answer)

    @router.post("/studies/{study_key}/feedback", responses=NOT_FOUND)
    def feedback(
        study_key: Annotated[Key, Path()], opinion: Reading, user: Annotated[User, require(Permission.GIVE_FEEDBACK)]
    ) -> Opinion:
        """Keep what a doctor sees in the images, to measure the reader by."""
        return give(context.database, context.clock, study_key, opinion.says, user.acting_as(opinion.by))

    @router.get(
        "/feedback.csv",
        dependencies=[require(Permission.READ_RECORD)],
        response_class=PlainTextResponse,
        responses={200: {"content": {"text/csv": {}}}},
    )
    def feedback_csv() -> Response:
        """All feedback with what the reader had said, as CSV."""
        out = StringIO()
        with context.database.reading() as session:
            export(session, out)
        return Response(out.getvalue(), media_type="text/csv")

    @router.post("/alerts/{alert_id}/acknowledge", responses=NOT_FOUND)
    def acknowledge(
        alert_id: Annotated[Key, Path()],
        answer: Acknowledgement,
        user: Annotated[User, require(Permission.ACKNOWLEDGE)],
    ) -> Answered:
        """A human answers for this alert."""
        life = context.desk.acknowledge(alert_id, user.acting_as(answer.by), Via.API)
        context.metrics.acknowledgements.inc()
        return Answered(alert_id=alert_id, topic=life.topic, claim=life.claim, answer=life.answer)

    return router


def _summary(view: StudyView) -> dict[str, object]:
    names = set(StudySummary.model_fields) - {"findings"}
    return {name: getattr(view, name) for name in names} | {"findings": tuple(s.latest for s in view.series)}


def _events(history: list[EventView]) -> tuple[AlertChanged, ...]:
    return tuple(view.event for view in history)
