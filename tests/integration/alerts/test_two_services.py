"""Two alert services as they are run, on one PostgreSQL and one Kafka: they share the work, and one can go."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from alerts.store.database import Database
from alerts.store.outbox import OWED
from alerts.store.schema import Notice
from streams.contracts.findings import FindingProduced, FindingStatus
from tests.integration.alerts.test_alert_service import Receiver, Service, now_finding, produce, receiver, until

__all__ = ["receiver"]

NAMES = ("one", "two")
FINDINGS = 12
MOST_TURNS = 20
PATIENCE_SECONDS = 60


class Pair:
    """Two services with one store, and what their doctor got."""

    def __init__(self, folder: Path, kafka: str, receiver: Receiver, database_url: str, group: str) -> None:
        self.kafka, self.receiver, self.database = kafka, receiver, Database(database_url)
        self.services: dict[str, Service] = {}
        for name in NAMES:
            (folder / name).mkdir()
            service = self.services[name] = Service(folder / name, kafka, receiver, group)
            service.environment |= {"TOCSIN_ALERTS_DATABASE_URL": database_url, "TOCSIN_ALERTS_INSTANCE": name}

    def start(self) -> None:
        for service in self.services.values():
            service.start()
        until(lambda: all(service.receiving() for service in self.services.values()), PATIENCE_SECONDS)

    def close(self) -> None:
        for service in self.services.values():
            service.kill()
        self.database.close()

    def produce(self, *studies: str) -> set[str]:
        findings: list[FindingProduced] = [now_finding(FindingStatus.FINAL, study) for study in studies]
        produce(self.kafka, *findings)
        return {finding.study_key for finding in findings}

    def all_told(self, studies: set[str]) -> None:
        """Each study has reached the doctor, and is recorded so."""
        until(lambda: studies <= {message["study_key"] for message in self.receiver.received}, PATIENCE_SECONDS)
        until(lambda: self._owed() == 0, PATIENCE_SECONDS)

    def _owed(self) -> int:
        with self.database.reading() as session:
            return session.scalar(select(func.count()).where(Notice.state.in_(OWED))) or 0

    def holder(self, notice_id: str) -> str | None:
        """Which service is sending it."""
        with self.database.reading() as session:
            return session.get_one(Notice, notice_id).leased_by

    def copies(self) -> Counter[int]:
        """How many messages the doctor got so many times."""
        return Counter(Counter(message["notice_id"] for message in self.receiver.received).values())


@pytest.fixture
def pair(
    tmp_path: Path, kafka: str, receiver: Receiver, empty_postgresql: str, request: pytest.FixtureRequest
) -> Iterator[Pair]:
    pair = Pair(tmp_path, kafka, receiver, empty_postgresql, request.node.name)
    try:
        pair.start()
        yield pair
    finally:
        pair.close()


def test_two_services_share_the_work_and_one_is_killed_between_sent_and_recorded(pair: Pair) -> None:
    senders: set[str | None] = set()
    killed: list[str] = []

    def sender() -> str:
        name = pair.holder(pair.receiver.received[-1]["notice_id"])
        assert name
        return name

    def kill_the_sender() -> None:
        """The worst moment: the doctor has it, and nobody knows."""
        if killed:
            senders.add(sender())
        else:
            killed.append(sender())
            pair.services[killed[0]].kill()

    pair.receiver.before_answering = lambda: senders.add(sender())
    told = set()
    for number in range(MOST_TURNS):  # whoever is quicker may send all of them
        told |= pair.produce(f"shared-{number}")
        pair.all_told(told)
        if senders == set(NAMES):
            break
    told |= pair.produce(*(f"burst-{number}" for number in range(FINDINGS)))
    pair.all_told(told)
    assert set(pair.copies()) == {1}

    pair.receiver.before_answering = kill_the_sender
    told |= pair.produce(*(f"orphaned-{number}" for number in range(FINDINGS)))
    until(lambda: killed, PATIENCE_SECONDS)
    told |= pair.produce(*(f"after-{number}" for number in range(FINDINGS)))
    pair.all_told(told)
    (survivor,) = set(NAMES) - set(killed)
    assert {survivor, *killed} <= senders | set(killed)
    assert pair.services[survivor].stop() == 0  # what was being sent is through now
    copies = pair.copies()
    assert set(copies) == {1, 2}
    assert copies[2] == 1, "what was being sent when the service was killed, and nothing else"
