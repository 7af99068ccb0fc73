"""The part of the API about access: who asks, accounts, tokens, who saw what. Changes go by the command line."""

from datetime import datetime
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, StringConstraints

from alerts.access import accounts, tokens, trail
from alerts.access.gate import SCHEMES, SignedIn, require
from alerts.access.permissions import Permission, Role
from alerts.access.user import Means
from alerts.web.api import REFUSALS
from alerts.web.context import Context

MOST_VIEWS = 10_000

StudyDigits = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{1,32}$")]
LoginText = Annotated[str, StringConstraints(min_length=1, max_length=120)]


class Me(BaseModel):
    """Who asks."""

    login: str
    name: str
    means: Means
    permissions: tuple[Permission, ...]


class AccountLine(BaseModel):
    login: str
    name: str
    roles: tuple[Role, ...]
    origin: accounts.Origin
    state: str
    has_second_factor: bool
    signed_in_at: datetime | None


class TokenLine(BaseModel):
    token_id: str
    name: str
    scopes: tuple[str, ...]
    state: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class ViewLine(BaseModel):
    """One look at one study."""

    at: datetime
    study_key: str
    login: str
    name: str
    means: str
    look: str


def create_router(context: Context) -> APIRouter:
    """All under ``/api/v1``."""
    router = APIRouter(prefix="/api/v1", tags=["access"], responses=REFUSALS, dependencies=SCHEMES)

    @router.get("/me")
    def me(user: SignedIn) -> Me:
        """Who the service takes you for, and what you may do."""
        return Me(login=user.login, name=user.name, means=user.means, permissions=tuple(sorted(user.permissions)))

    @router.get("/accounts", dependencies=[require(Permission.MANAGE_ACCESS)])
    def list_accounts() -> list[AccountLine]:
        """Everybody who may sign in."""
        now = context.clock.now()
        with context.database.reading() as session:
            return [
                AccountLine.model_validate({**vars(account), "state": account.state(now)})
                for account in accounts.every(session)
            ]

    @router.get("/tokens", dependencies=[require(Permission.MANAGE_ACCESS)])
    def list_tokens() -> list[TokenLine]:
        """All tokens that ever were."""
        now = context.clock.now()
        with context.database.reading() as session:
            return [
                TokenLine.model_validate({**vars(token), "state": token.state(now)}) for token in tokens.every(session)
            ]

    @router.get("/record/views", dependencies=[require(Permission.READ_RECORD)])
    def list_views(
        study: Annotated[StudyDigits | None, Query()] = None, login: Annotated[LoginText | None, Query()] = None
    ) -> list[ViewLine]:
        """Who saw which study when, oldest first; at most 10 000, so ask for a study or a login."""
        with context.database.reading() as session:
            found = islice(trail.views(session, study, login), MOST_VIEWS)
            return [ViewLine.model_validate(vars(view)) for view in found]

    return router
