"""What waits at the broker, from its plain facts."""

from prometheus_client import CollectorRegistry

from monitoring.lag import BrokerMetrics, Group, Look, Waiting, waiting
from monitoring.settings import MonitoringSettings
from streams.contracts import topics
from streams.settings import StreamsSettings

A, B = ("ct.slices.v1", 0), ("ct.slices.v1", 1)


def test_what_lies_beyond_the_committed_offset_waits() -> None:
    assert waiting({A: 7}, {A: (0, 10)}, "ct.slices.v1") == (Waiting(A, 7, 3),)


def test_a_group_that_has_committed_nothing_has_everything_before_it() -> None:
    assert waiting({}, {A: (4, 10), B: (0, 0)}, "ct.slices.v1") == (Waiting(A, 4, 6),)


def test_what_was_deleted_before_it_was_read_does_not_wait() -> None:
    assert waiting({A: 2}, {A: (8, 10)}, "ct.slices.v1") == (Waiting(A, 8, 2),)


def test_nothing_waits_when_all_is_read_nor_on_another_topic() -> None:
    assert waiting({A: 10, B: 0}, {A: (0, 10), B: (0, 5)}, "ct.series.v1") == ()
    assert waiting({A: 10}, {A: (0, 10)}, "ct.slices.v1") == ()


def test_lag_is_summed_over_partitions_and_falls_back_to_zero() -> None:
    registry = CollectorRegistry()
    metrics = BrokerMetrics(registry, ["ct.slices.v1"], {"readers": ["ct.slices.v1"]})

    def lag() -> float | None:
        labels = {"group": "readers", "topic": "ct.slices.v1"}
        return registry.get_sample_value("tocsin_kafka_consumer_lag_messages", labels)

    assert lag() == 0
    behind = Group(0, {"ct.slices.v1": (Waiting(A, 7, 3), Waiting(B, 0, 5))})
    metrics.looked(Look(1, 0, {"ct.slices.v1": 15}, {"readers": behind}), {("readers", "ct.slices.v1"): 42.0})
    assert lag() == 8
    metrics.looked(Look(1, 0, {"ct.slices.v1": 15}, {"readers": Group(1, {"ct.slices.v1": ()})}), {})
    assert lag() == 0


def test_the_watch_knows_every_topic_and_every_consumer_by_default() -> None:
    settings = MonitoringSettings()
    assert set(settings.topics) == {topic.name for topic in topics.ALL}
    assert settings.consumers == {
        StreamsSettings.model_fields["app_id"].default: (topics.SLICES.name, topics.SERIES.name),
        "tocsin-alerts": (topics.FINDINGS.name, topics.IDENTITIES.name),
    }
