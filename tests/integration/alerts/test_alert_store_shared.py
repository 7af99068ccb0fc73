"""Several workers and instances on one store: nothing twice, nothing never; and how fast."""

import statistics
import time
from collections import Counter
from datetime import UTC, datetime
from threading import Event, Lock, Thread

from prometheus_client import CollectorRegistry

from alerts import worklist
from alerts.decision import Policy
from alerts.delivery import Delivery, deliver_until
from alerts.desk import Desk, alert_id_of
from alerts.escalation import RingEveryone
from alerts.life import Via
from alerts.links import Links
from alerts.messages import Message
from alerts.metrics import AlertMetrics
from alerts.publishing import Publishing
from alerts.recipients import ChannelKind, Recipients
from alerts.store.database import Database
from alerts.store.outbox import Address
from alerts.store.record import verify
from alerts.timing import Bell, SystemClock
from streams.contracts.event import Event as ContractEvent
from streams.contracts.findings import FindingStatus, Outcome
from tests.unit.alerts.builders import a_finding, key

STUDIES = 40
NAMES = ("first", "second", "third")
PEOPLE = Recipients.model_validate(
    {"recipients": [{"name": n, "webhook": {"url": "http://127.0.0.1:1", "secret": "0" * 16}} for n in NAMES]}
)


class Pager:
    """One far side for all; keeps what it gets and when."""

    kind = ChannelKind.WEBHOOK
    provider = "pager"

    def __init__(self) -> None:
        self._lock = Lock()
        self.got: list[tuple[Message, datetime]] = []

    def send(self, message: Message) -> None:
        with self._lock:
            self.got.append((message, datetime.now(UTC)))

    def __call__(self, address: Address) -> "Pager":
        return self


class Instance:
    """One running alert service, less Kafka and the page."""

    def __init__(self, address: str, pager: Pager, name: str, workers: int = 4) -> None:
        self.database = Database(address)
        self.database.prepare()
        self.bell, self.stop = Bell(), Event()
        everyone = RingEveryone(NAMES, Policy().late_after)
        links = Links("http://127.0.0.1")
        self.desk = Desk(self.database, SystemClock(), Policy(), PEOPLE, everyone, links, self.bell.ring)
        metrics = AlertMetrics(CollectorRegistry())
        delivery = Delivery(self.database, SystemClock(), pager, metrics, name)
        self.threads = [
            Thread(target=deliver_until, args=(self.stop, delivery, self.bell), daemon=True) for _ in range(workers)
        ]

    def start(self) -> "Instance":
        for thread in self.threads:
            thread.start()
        return self

    def close(self) -> None:
        self.stop.set()
        self.bell.ring()
        for thread in self.threads:
            if thread.ident:
                thread.join(10)
        self.database.close()


def wait_for(pager: Pager, count: int, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while len(pager.got) < count and time.monotonic() < end:
        time.sleep(0.02)


def test_two_instances_share_the_work_and_send_nothing_twice(address: str) -> None:
    pager = Pager()
    instances = [Instance(address, pager, name).start() for name in ("one", "two")]
    try:
        for number in range(STUDIES):
            finding = a_finding(study=f"s{number}", at=datetime.now(UTC))
            assert instances[number % 2].desk.take_finding(finding)
            assert instances[(number + 1) % 2].desk.take_finding(finding) is None
        wait_for(pager, STUDIES * len(NAMES))
        time.sleep(0.3)
        assert Counter(Counter(m.notice_id for m, _ in pager.got).values()) == {1: STUDIES * len(NAMES)}
        with instances[0].database.reading() as session:
            assert worklist.counts(session).owed == 0
            assert verify(session).broken_at is None
    finally:
        for instance in instances:
            instance.close()


def test_findings_answers_and_deliveries_at_once_end_in_a_sound_state(address: str) -> None:
    pager = Pager()
    instances = [Instance(address, pager, name).start() for name in ("one", "two")]
    errors: list[BaseException] = []

    def findings(desk: Desk, series: str) -> None:
        try:
            for number in range(10):
                now = datetime.now(UTC)
                desk.take_finding(a_finding(FindingStatus.PROVISIONAL, study=f"s{number}", series=series, at=now))
                desk.acknowledge(alert_id_of(key(f"s{number}")), series, Via.API)
                desk.take_finding(
                    a_finding(outcome=Outcome.NEGATIVE, study=f"s{number}", series=series, revision=2, at=now)
                )
        except BaseException as error:  # noqa: BLE001 - carried to the main thread
            errors.append(error)

    try:
        threads = [
            Thread(target=findings, args=(instance.desk, series))
            for instance, series in zip(instances, ("a", "b"), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not errors
        time.sleep(1.0)
        with instances[0].database.reading() as session:
            views = worklist.worklist(session, datetime.now(UTC))
            assert {view.verdict for view in views} == {"clear"}
            assert all(view.alert and view.alert.claim == "retracted" for view in views)
            assert verify(session).broken_at is None
        last = {}
        for message, _ in pager.got:
            last[message.recipient, message.alert_id] = message
        assert {message.purpose for message in last.values()} <= {"retracted"}
    finally:
        for instance in instances:
            instance.close()


def test_from_finding_to_acceptance_without_waiting_for_a_poll(address: str) -> None:
    """The promise is p99 < 1 s at 50 findings a minute; here they come five a second, on a machine that may be busy
    with other tests, so only what a lost wake-up would break is asserted. The figures are printed."""
    pager = Pager()
    instance = Instance(address, pager, "one").start()
    produced = {}
    try:
        for number in range(25):
            finding = a_finding(study=f"s{number}", at=datetime.now(UTC), pictures=True)
            produced[finding.study_key] = finding.clocks.produced
            instance.desk.take_finding(finding)
            time.sleep(0.2)
        wait_for(pager, 25 * len(NAMES))
    finally:
        instance.close()
    waits = sorted((at - produced[message.study_key]).total_seconds() for message, at in pager.got)
    print(f"finding to accepted: median {statistics.median(waits):.3f} s, longest {waits[-1]:.3f} s")  # noqa: T201
    assert len(waits) == 25 * len(NAMES)
    assert statistics.median(waits) < 1.0


class Broker:
    def __init__(self) -> None:
        self.got: list[tuple[str, ContractEvent]] = []

    def publish(self, events: list[tuple[str, ContractEvent]]) -> int:
        self.got += events[:3]
        return min(3, len(events))


def test_events_are_published_in_order_by_one_instance_for_all(address: str) -> None:
    pager, broker = Pager(), Broker()
    instance = Instance(address, pager, "one")
    try:
        for number in range(5):
            instance.desk.take_finding(a_finding(study=f"s{number}", at=datetime.now(UTC)))
        metrics = AlertMetrics(CollectorRegistry())
        one, two = (Publishing(instance.database, SystemClock(), broker, metrics, name) for name in ("one", "two"))
        while one.publish_some():
            assert two.publish_some() == 0
        assert [event.study_key for _, event in broker.got] == [key(f"s{n}") for n in range(5)]  # type: ignore[attr-defined] # they are AlertChanged
    finally:
        instance.close()
