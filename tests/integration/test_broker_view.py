"""The ends of the partitions, as the broker knows them."""

from kafka import KafkaProducer

from streams.broker_view import BrokerView
from streams.contracts.topics import SLICES


def test_ends_grow_with_what_is_written_and_messages_are_found(kafka: str) -> None:
    view = BrokerView(kafka)
    before = view.ranges()
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    producer.send(SLICES.name, b"x", partition=1).get(timeout=10)
    producer.close()
    _, end = view.ranges()[SLICES.name, 1]
    assert {partition for topic, partition in before if topic == SLICES.name} == {0, 1, 2, 3}
    assert end == before[SLICES.name, 1][1] + 1
    assert view.message(SLICES.name, 1, end - 1).value == b"x"
    view.close()


def test_a_broker_that_is_away_is_no_error() -> None:
    assert BrokerView("127.0.0.1:1").ranges() == {}
    assert BrokerView("127.0.0.1:1").message(SLICES.name, 0, 0) is None
