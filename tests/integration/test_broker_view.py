"""The ends of the partitions, as the broker knows them."""

from kafka import KafkaProducer

from streams.broker_view import BrokerView
from streams.contracts.topics import SLICES


def test_ends_grow_with_what_is_written(kafka: str) -> None:
    view = BrokerView(kafka)
    before = view.ends()
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    producer.send(SLICES.name, b"x", partition=1).get(timeout=10)
    producer.close()
    after = view.ends()
    view.close()
    assert set(before) == {0, 1, 2, 3}
    assert after[1] == before[1] + 1


def test_a_broker_that_is_away_is_no_error() -> None:
    assert BrokerView("127.0.0.1:1").ends() == {}
