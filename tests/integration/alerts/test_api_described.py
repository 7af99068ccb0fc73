"""The API does what its OpenAPI description says, whatever it is asked (schemathesis, so many requests and no more)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy
from prometheus_client import CollectorRegistry
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from alerts.access import tokens
from alerts.access.permissions import Permission
from alerts.access.recognition import Recognition
from alerts.access.sessions import Lifetime
from alerts.access.tokens import NOT_FOR_TOKENS
from alerts.access.trail import Views
from alerts.audit import Auditor
from alerts.broker import Reception
from alerts.metrics import AlertMetrics
from alerts.store.database import Database
from alerts.store.gallery import Gallery, address_beside
from alerts.web.app import create_app
from alerts.web.context import Context
from alerts.web.guard import House
from monitoring.health import Health
from tests.unit.alerts.builders import RECIPIENTS, SIGNER, FakeClock, a_desk, a_finding, an_entrance, key

CHECKS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
EXAMPLES = 10
"""For each operation."""


class Place:
    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'alerts.sqlite3'}")
        self.database.prepare()
        self.gallery = Gallery(address_beside(f"sqlite:///{folder / 'alerts.sqlite3'}"))
        self.gallery.prepare()
        self.clock = FakeClock(datetime.now(UTC))
        self.desk = a_desk(self.database, self.clock)
        for study in ("A", "B"):
            self.desk.take_finding(a_finding(study=study, at=self.clock.now()))

    def app(self) -> Any:
        metrics = AlertMetrics(CollectorRegistry())
        context = Context(
            database=self.database,
            clock=self.clock,
            desk=self.desk,
            cipher=None,
            recipients=RECIPIENTS,
            reception=Reception(self.clock, metrics),
            metrics=metrics,
            stop=None,  # type: ignore[arg-type] # no live signal is asked for
            signer=SIGNER,
            auditor=Auditor(),
            identify=Recognition(self.database, self.clock, Lifetime(), False),
            views=Views(self.database, self.clock),
            entrance=an_entrance(self),
            health=Health(),
            gallery=self.gallery,
        )
        return create_app(context, House.of(None, ("testserver",)))

    def token(self, *scopes: Permission) -> str:
        with self.database.writing() as session:
            return tokens.create(session, scopes[0].name, scopes, 1, self.clock.now())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("api"))
    yield place
    place.database.close()


@pytest.fixture(scope="module")
def bearer(place: Place) -> dict[str, str]:
    return {"authorization": f"Bearer {place.token(*(set(Permission) - NOT_FOR_TOKENS))}"}


def explore(cases: SearchStrategy[Any], bearer: dict[str, str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Any) -> None:
        case.call_and_validate(headers=bearer, checks=CHECKS)

    ask()


@pytest.mark.parametrize("mode", GenerationMode)
def test_every_operation_answers_as_described(place: Place, bearer: dict[str, str], mode: GenerationMode) -> None:
    """Asked for what it describes, and for what it does not."""
    described = schemathesis.openapi.from_asgi("/api/openapi.json", place.app(), headers=bearer)
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:
        takes_something = operation.path_parameters or operation.query or operation.body
        if mode is GenerationMode.POSITIVE or takes_something:
            explore(operation.as_strategy(generation_mode=mode), bearer)


def test_the_description_is_there_for_people_and_programs(place: Place, bearer: dict[str, str]) -> None:
    client = TestClient(place.app())
    description = client.get("/api/openapi.json", headers=bearer).json()
    assert "bearer" in str(description["components"]["securitySchemes"]).lower()
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            assert operation["security"], (method, path)
            assert {"400", "401", "403", "422", "503"} <= set(operation["responses"]), (method, path)
    assert client.get(f"/api/v1/studies/{key('A')}", headers=bearer).status_code == 200
