"""The watch at a real broker: what a look tells."""

import pytest
from kafka import KafkaProducer
from prometheus_client import CollectorRegistry

from monitoring.broker import BrokerWatch
from monitoring.lag import BrokerMetrics
from monitoring.settings import MonitoringSettings
from streams.contracts.topics import DEADLETTERS
from tests.support.node import until


def test_the_newest_dead_letter_is_known_to_a_watch_that_has_just_started(kafka: str) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    written_at = producer.send(DEADLETTERS.name, b"x").get(timeout=30).timestamp / 1000
    producer.close()
    settings, registry = MonitoringSettings(), CollectorRegistry()
    metrics = BrokerMetrics(registry, settings.topics, settings.consumers)
    watch = BrokerWatch([kafka], settings.topics, settings.consumers, metrics, settings.deadletter_topic)

    def answered() -> bool:
        watch.look()
        return registry.get_sample_value("tocsin_kafka_up") == 1

    until(answered, 60, "a look; a new broker has no coordinator of groups at once")
    watch.close()
    newest = registry.get_sample_value("tocsin_kafka_newest_deadletter_timestamp_seconds")
    assert newest == pytest.approx(written_at, abs=0.002)
