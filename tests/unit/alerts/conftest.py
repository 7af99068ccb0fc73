"""A ward in a test: the real desk, outbox and delivery on a database of its own, with a moved clock and fake phones."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import event

from alerts import worklist
from alerts.circuits import Circuits
from alerts.decision import Policy
from alerts.delivery import Delivery
from alerts.desk import Desk, alert_id_of
from alerts.errors import ChannelError
from alerts.escalation import Escalation
from alerts.life import Via
from alerts.messages import WITHOUT_PATIENT, Message, MessagePart
from alerts.metrics import AlertMetrics
from alerts.recipients import Recipients
from alerts.store.claims import Flood
from alerts.store.database import Database
from alerts.store.outbox import Address
from alerts.worklist import AlertView, EventView, StudyView
from streams.contracts.findings import FindingProduced
from tests.unit.alerts.builders import RECIPIENTS, FakeClock, Phones, a_desk, key

TICK = timedelta(seconds=5)


@dataclass
class Ward:
    """Speaks the words of the scenarios."""

    database: Database
    clock: FakeClock
    desk: Desk
    delivery: Delivery
    phones: Phones
    metrics: AlertMetrics
    circuits: Circuits
    _heard: dict[str, int] = field(default_factory=dict)

    def send(self, finding: FindingProduced) -> None:
        """A finding arrives, and everything that can happen at once happens."""
        self.desk.take_finding(finding)
        self.settle()

    def settle(self) -> None:
        while self.delivery.deliver_one():
            pass

    def wait(self, **span: float) -> None:
        """Time passes, the ticker ticking."""
        end = self.clock.now() + timedelta(**span)
        while self.clock.now() < end:
            self.clock.instant = min(end, self.clock.instant + TICK)
            self.desk.withhold(self.circuits.down(self.clock.now()))
            self.desk.look_again()
            self.settle()

    def acknowledge(self, study: str = "A", by: str = "Dr First", via: Via = Via.PAGE) -> None:
        self.desk.acknowledge(alert_id_of(key(study)), by, via)
        self.settle()

    def news(self, name: str) -> list[Message]:
        """What this recipient got since the last time we looked, on all channels."""
        everything = sorted(
            (
                m
                for address, phone in self.phones.by_address.items()
                if address.recipient == name
                for m in phone.received
            ),
            key=lambda m: m.decided_at,
        )
        seen = self._heard.get(name, 0)
        self._heard[name] = len(everything)
        return everything[seen:]

    def expects(self, name: str, *words: str) -> list[Message]:
        """This recipient's phone has rung once since we last looked, and the text holds these words."""
        news = self.news(name)
        assert len(news) == 1, f"{name} got {[m.headline for m in news]}"
        for word in words:
            assert word.lower() in news[0].text.lower(), f"{word!r} is not in: {news[0].text}"
        return news

    def silent(self, *names: str) -> None:
        for name in names:
            news = self.news(name)
            assert not news, f"{name} got {[m.headline for m in news]}"

    def fail(self, name: str, *failures: ChannelError) -> None:
        for address in self.addresses(name):
            self.phones(address).failures.extend(failures)

    def addresses(self, name: str) -> list[Address]:
        recipients = self.desk.recipients or RECIPIENTS
        person = recipients.named(name)
        assert person
        return [Address(name, channel) for channel in person.channels]

    def study(self, study: str = "A") -> StudyView:
        with self.database.reading() as session:
            return worklist.one_study(session, key(study))

    def alert(self, study: str = "A") -> AlertView:
        alert = self.study(study).alert
        assert alert
        return alert

    def history(self, study: str = "A") -> list[EventView]:
        with self.database.reading() as session:
            return worklist.history_of(session, alert_id_of(key(study)))

    def states(self, study: str = "A") -> list[str]:
        return [str(view.event.state) for view in self.history(study)]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this version, made once."""
    file = tmp_path_factory.mktemp("store") / "empty.sqlite3"
    database = Database(f"sqlite:///{file}")
    database.prepare()
    database.close()
    return file


@pytest.fixture
def database(tmp_path: Path, empty_store: Path) -> Iterator[Database]:
    shutil.copy(empty_store, tmp_path / "alerts.sqlite3")
    database = Database(f"sqlite:///{tmp_path / 'alerts.sqlite3'}")
    event.listen(database._engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
    yield database
    database.close()


@pytest.fixture
def a_ward(database: Database) -> Callable[..., Ward]:
    """Builds a ward; give it a policy, recipients or an escalation of your own."""

    def build(
        policy: Policy | None = None,
        recipients: Recipients | None = RECIPIENTS,
        escalation: Escalation | None = None,
        flood: Flood | None = None,
        parts: frozenset[MessagePart] = WITHOUT_PATIENT,
        providers: Mapping[Address, str] | None = None,
        **_: Any,
    ) -> Ward:
        clock, phones = FakeClock(), Phones()
        desk = a_desk(database, clock, policy=policy, recipients=recipients, escalation=escalation, parts=parts)
        metrics = AlertMetrics(CollectorRegistry())
        circuits = Circuits(providers or {})
        delivery = Delivery(
            database, clock, phones, metrics, "test", circuits=circuits, flood=flood, failed=desk.not_delivered
        )
        return Ward(database, clock, desk, delivery, phones, metrics, circuits)

    return build


@pytest.fixture
def ward(a_ward: Callable[..., Ward]) -> Ward:
    return a_ward()
