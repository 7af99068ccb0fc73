"""From the spool to Kafka: in order per key, at least once, nobody blocked."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from dicom_listener import publisher as module
from dicom_listener.messages import OutgoingMessage
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.publisher import Done, Publisher
from dicom_listener.spool.journal import Spool
from streams.contracts.deadletters import DEADLETTER_HEADER, MessageSetAside
from tests.unit.dicom_listener.spool_fakes import a_message, text_of


class Poison(Exception):
    """The broker will never take it."""


class TooLarge(Poison):
    """Nor will the dead letters."""


class FakeBroker:
    """Takes what it is told to, answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[OutgoingMessage] = []
        self.fail: Callable[[OutgoingMessage], Exception | None] = lambda _message: None
        self.silent = False
        self.unanswered: list[Done] = []
        self.closed = False

    def send(self, message: OutgoingMessage, done: Done) -> None:
        error = self.fail(message)
        if error is not None:
            done(error)
        elif self.silent:
            self.unanswered.append(done)
        else:
            self.sent.append(message)
            done(None)

    def will_never_take(self, error: BaseException) -> bool:
        return isinstance(error, Poison)

    def close(self, seconds: float) -> None:
        self.closed = True


class Bench:
    """A publisher that is stepped by hand, on a clock that is turned by hand."""

    def __init__(self, folder: Path) -> None:
        self.time = 1000.0
        self.spool = Spool(folder, 1 << 26, now=lambda: self.time)
        self.metrics = ListenerMetrics(CollectorRegistry())
        self.broker = FakeBroker()
        self.reachable = True
        self.connections = 0
        self.publisher = Publisher(
            self.spool, self.connect, self.metrics, monotonic=lambda: self.time, now=lambda: self.time
        )

    def connect(self) -> FakeBroker:
        if not self.reachable:
            raise ConnectionError
        self.connections += 1
        return self.broker

    def put(self, *texts: str, key: str = "k", topic: str = "ct.slices.v1") -> None:
        for text in texts:
            self.spool.append([a_message(text, key, topic)])

    def turn(self, rounds: int = 3, seconds: float = 0.0) -> None:
        self.time += seconds
        for _ in range(rounds):
            self.publisher.wake()
            self.publisher.step()

    def arrived(self, topic: str = "ct.slices.v1") -> list[str]:
        return [text_of(m) for m in self.broker.sent if m.topic == topic]

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tocsin_listener_{name}", labels) or 0.0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_everything_arrives_in_order_and_leaves_the_spool(bench: Bench) -> None:
    bench.put("a", "b", "c")
    bench.turn()
    assert bench.arrived() == ["a", "b", "c"]
    assert bench.spool.depth().messages == 0
    assert bench.count("published_total", topic="ct.slices.v1") == 3
    assert bench.count("kafka_connected") == 1


def test_while_kafka_is_away_slices_wait_and_then_go(bench: Bench) -> None:
    bench.reachable = False
    bench.put("a", "b")
    bench.turn()
    assert bench.spool.depth().messages == 2
    assert bench.count("kafka_connected") == 0
    bench.reachable = True
    bench.turn(seconds=module.BACKOFF_SECONDS)
    assert bench.arrived() == ["a", "b"]


def test_without_an_acknowledgement_nothing_leaves_the_spool(bench: Bench) -> None:
    bench.broker.silent = True
    bench.put("a")
    bench.turn()
    assert bench.spool.depth().messages == 1
    bench.broker.unanswered[0](None)
    bench.turn()
    assert bench.spool.depth().messages == 0


def test_a_failure_is_repeated_in_order(bench: Bench) -> None:
    failing = {"b": 2}

    def fail(message: OutgoingMessage) -> Exception | None:
        text = text_of(message)
        if failing.get(text, 0):
            failing[text] -= 1
            return TimeoutError()
        return None

    bench.broker.fail = fail
    bench.put("a", "b")
    for _ in range(4):
        bench.turn(seconds=module.BACKOFF_SECONDS)
    bench.put("c")
    bench.turn(seconds=module.BACKOFF_SECONDS)
    assert bench.arrived() == ["a", "b", "c"]
    assert bench.count("publish_failures_total") == 2


def test_a_failing_series_does_not_hold_up_another(bench: Bench) -> None:
    bench.broker.fail = lambda m: TimeoutError() if m.key == "sick" else None
    bench.put("a", "b", key="sick")
    bench.put("c", "d", key="well")
    bench.turn()
    assert bench.arrived() == ["c", "d"]
    assert bench.spool.depth().messages == 2


def test_after_an_outage_what_was_spooled_first_goes_first(bench: Bench) -> None:
    bench.reachable = False
    bench.put("a1", "a2", key="a")
    bench.put("b1", "b2", key="b")
    bench.put("a3", key="a")
    bench.turn()
    bench.reachable = True
    bench.turn(seconds=module.BACKOFF_SECONDS)
    assert bench.arrived() == ["a1", "a2", "b1", "b2", "a3"]


def test_what_will_never_be_taken_goes_whole_to_the_dead_letters(bench: Bench) -> None:
    bench.broker.fail = lambda m: Poison() if m.topic == "ct.slices.v1" and text_of(m) == "bad" else None
    bench.put("bad", "good")
    bench.turn(rounds=5)
    assert bench.arrived() == ["good"]
    (letter,) = [m for m in bench.broker.sent if m.topic == "triage.deadletter.v1"]
    headers = dict(letter.headers)
    assert (text_of(letter), letter.key) == ("bad", "k")
    assert MessageSetAside.decode(headers[DEADLETTER_HEADER].encode()).source_topic == "ct.slices.v1"
    assert "slice" in headers
    assert bench.spool.depth().messages == 0
    assert bench.count("set_aside_total", where="deadletter") == 1


@pytest.mark.parametrize("error", [Poison, TooLarge])
def test_what_not_even_the_dead_letters_take_is_kept_in_a_folder(bench: Bench, error: type[Exception]) -> None:
    bench.broker.fail = lambda m: error() if text_of(m) == "bad" else None
    bench.put("bad", "good")
    bench.turn(rounds=6)
    assert bench.arrived() == ["good"]
    (kept,) = (bench.spool.folder / "rejected").glob("*.record")
    assert b"bad" in kept.read_bytes()
    assert bench.spool.depth().messages == 0
    assert bench.count("set_aside_total", where="rejected_folder") == 1


def test_a_client_that_says_nothing_is_replaced_and_its_messages_sent_again(bench: Bench) -> None:
    bench.broker.silent = True
    bench.put("a")
    bench.turn()
    mute = bench.broker
    bench.broker = FakeBroker()
    bench.turn(seconds=module.PATIENCE_SECONDS + 1)
    bench.turn(seconds=module.BACKOFF_SECONDS)
    assert bench.arrived() == ["a"]
    mute.unanswered[0](TimeoutError())  # a late word of the old client changes nothing
    bench.turn()
    assert bench.spool.depth().messages == 0
    assert bench.count("publish_failures_total") == 1


def test_a_broker_that_is_slow_is_given_more_time_by_each_client(bench: Bench) -> None:
    bench.broker.silent = True
    bench.put("a")
    bench.turn()
    clients = [bench.broker]
    for patience in (1, 2, 4):
        bench.broker = FakeBroker()
        bench.broker.silent = True
        bench.turn(seconds=patience * module.PATIENCE_SECONDS - 1)
        bench.turn(seconds=module.BACKOFF_SECONDS)
        assert not bench.broker.unanswered, "it is replaced no sooner"
        bench.turn(seconds=2)
        bench.turn(seconds=module.BACKOFF_SECONDS)
        assert len(bench.broker.unanswered) == 1
        clients.append(bench.broker)
    clients[-1].unanswered[0](None)
    bench.turn()
    assert bench.spool.depth().messages == 0


def test_in_flight_bytes_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_IN_FLIGHT_BYTES", 1)
    bench.broker.silent = True
    bench.put("a", key="1")
    bench.put("b", key="2")
    bench.turn()
    assert len(bench.broker.unanswered) == 1


def test_a_message_that_the_disk_lost_does_not_stop_the_rest(bench: Bench) -> None:
    bench.put("lost")
    (segment,) = bench.spool.folder.glob("*.segment")
    bench.put("kept")
    data = bytearray(segment.read_bytes())
    data[24:40] = bytes(16)
    segment.write_bytes(data)
    bench.turn()
    assert bench.arrived() == ["kept"]
    assert bench.count("spool_damaged_bytes") > 0


def test_after_a_restart_what_was_left_is_published(tmp_path: Path) -> None:
    import os

    first = Bench(tmp_path)
    first.reachable = False
    first.put("a", "b")
    first.turn()
    os.close(first.spool._claim)
    second = Bench(tmp_path)
    second.turn()
    assert second.arrived() == ["a", "b"]


def test_it_stops_with_the_spool_drained(bench: Bench) -> None:
    bench.publisher = Publisher(bench.spool, bench.connect, bench.metrics)
    bench.put("a")
    bench.publisher.start()
    bench.publisher.stop(5)
    assert bench.arrived() == ["a"]
    assert bench.broker.closed
    assert bench.publisher.trouble() is not None
