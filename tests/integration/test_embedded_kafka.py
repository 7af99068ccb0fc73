"""The embedded broker is a real Kafka with the topics' limits."""

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from streams.contracts import topics
from tocsin.kafka.topics import TopicLayout, create_topics


def test_all_topics_exist_and_creating_them_again_changes_nothing(kafka: str) -> None:
    assert create_topics(kafka, TopicLayout()) == ()
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    assert {topic.name for topic in topics.ALL} <= set(admin.list_topics())
    admin.close()


def test_a_slice_of_nearly_the_limit_goes_through(kafka: str) -> None:
    value = b"\x5a" * topics.MAX_FRAME_BYTES
    producer = KafkaProducer(
        bootstrap_servers=kafka, acks="all", max_request_size=topics.MAX_MESSAGE_BYTES, allow_auto_create_topics=False
    )
    sent = producer.send(topics.DEADLETTERS.name, key=b"limit", value=value).get(timeout=20)
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=kafka, max_partition_fetch_bytes=topics.MAX_MESSAGE_BYTES)
    place = TopicPartition(sent.topic, sent.partition)
    consumer.assign([place])
    consumer.seek(place, sent.offset)
    record = next(consumer)
    consumer.close()
    assert record.value == value
