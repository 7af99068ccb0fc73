"""The dead-man's study reaches the test recipient and nobody else, and leaves nothing behind."""

import threading
from typing import Any

import pytest

from alerts.errors import ChannelUnreachable, StoreUnavailable
from alerts.heartbeat import TEST_RECIPIENT, Heartbeats
from alerts.intake import Incoming, Intake, Taken
from alerts.messages import Message
from alerts.recipients import ChannelKind
from alerts.store.schema import Entry, Happened, Notice, Study
from streams.contracts.findings import FindingProduced
from streams.contracts.topics import FINDINGS
from tests.unit.alerts.builders import START, a_finding


class Recipient:
    kind = ChannelKind.WEBHOOK

    def __init__(self, stop: threading.Event) -> None:
        self.messages: list[Message] = []
        self.failure: Exception | None = None
        self._stop = stop

    def send(self, message: Message) -> None:
        self._stop.set()
        if self.failure:
            raise self.failure
        self.messages.append(message)


class Ward:
    """The service's intake with a test recipient."""

    def __init__(self, ward: Any) -> None:
        self.stop = threading.Event()
        self.recipient = Recipient(self.stop)
        self.ward = ward
        desk = ward.desk
        self.heartbeats = Heartbeats(desk.database.touch, desk.clock, desk.policy, desk.links, self.recipient)
        self.intake = Intake(desk, ward.metrics, lambda *_: None, self.heartbeats.take)

    def take(self, finding: FindingProduced) -> Taken:
        key = finding.study_key.encode()
        return self.intake.take(Incoming(FINDINGS.name, 0, 1, key, finding.encode(), (), START))

    def rows(self) -> int:
        with self.ward.desk.database.reading() as session:
            return sum(session.query(table).count() for table in (Study, Notice, Happened, Entry))


def a_beat(revision: int = 1) -> FindingProduced:
    return a_finding().model_copy(update={"heartbeat": True, "revision": revision})


@pytest.fixture
def watch(ward: Any) -> Ward:
    return Ward(ward)


def test_it_goes_to_the_test_recipient_and_to_no_doctor(watch: Ward) -> None:
    assert watch.take(a_beat()) is Taken.HEARTBEAT
    watch.heartbeats.deliver_until(watch.stop)
    [message] = watch.recipient.messages
    assert (message.recipient, message.topic.value, message.purpose.value) == (TEST_RECIPIENT, "bleed", "alarm")
    assert message.acknowledge_link is None
    watch.ward.settle()
    watch.ward.silent("first")
    assert watch.rows() == 0


def test_the_same_finding_of_a_patient_rings_the_doctor(watch: Ward) -> None:
    assert watch.take(a_finding()) is Taken.KEPT
    watch.ward.settle()
    watch.ward.expects("first", "ossible")
    assert watch.rows() > 0


def test_it_is_taken_again_when_the_store_is_away_as_a_patient_s_would_be(ward: Any) -> None:
    def away() -> None:
        raise StoreUnavailable("gone")

    heartbeats = Heartbeats(away, ward.desk.clock, ward.desk.policy, ward.desk.links, None)
    with pytest.raises(StoreUnavailable):
        heartbeats.take(a_beat())


def test_a_test_recipient_that_does_not_answer_stops_nothing(watch: Ward) -> None:
    watch.recipient.failure = ChannelUnreachable("refused")
    for revision in range(1, 40):
        assert watch.take(a_beat(revision)) is Taken.HEARTBEAT
    watch.heartbeats.deliver_until(watch.stop)
    assert watch.recipient.messages == []
