"""What the broker says of its topics and of who reads them: plain facts, and the metrics made from them.

Lag is what the broker holds beyond what a group has committed. It is asked of the broker and not of the consumers, so
that it is still told when no consumer runs; and it is told in seconds too, because a doctor waits in seconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from monitoring.metrics import Instruments

Place = tuple[str, int]
"""(topic, partition)."""


@dataclass(frozen=True)
class Group:
    """A consumer group. ``waiting``: per topic, the places of the first messages that it has not committed."""

    members: int
    waiting: Mapping[str, tuple["Waiting", ...]]


@dataclass(frozen=True)
class Waiting:
    """What waits on one partition: messages, and where the first of them lies."""

    place: Place
    offset: int
    messages: int


@dataclass(frozen=True)
class Look:
    """One look at the broker. ``ends``: how many messages each topic has ever had; ``newest_deadletter``: when the last
    message was set aside, in seconds since the epoch, 0 where none is there."""

    brokers: int
    under_replicated: int
    ends: Mapping[str, int]
    groups: Mapping[str, Group]
    newest_deadletter: float = 0.0


def waiting(committed: Mapping[Place, int], ranges: Mapping[Place, tuple[int, int]], topic: str) -> tuple[Waiting, ...]:
    """What a group has not committed of a topic; where it has committed nothing, all that is there.

    Args:
        committed: the offset that is to be read next.
        ranges: first and end offset of each partition.
    """
    found = []
    for place, (first, end) in sorted(ranges.items()):
        offset = max(first, committed.get(place, first))
        if place[0] == topic and offset < end:
            found.append(Waiting(place, offset, end - offset))
    return tuple(found)


class BrokerMetrics(Instruments):
    """All names start with ``tocsin_kafka_``. Topics and groups come from the settings."""

    def __init__(
        self, registry: CollectorRegistry, topics: Iterable[str], consumers: Mapping[str, Iterable[str]]
    ) -> None:
        super().__init__(registry, "kafka")
        self.up = self.gauge("up", "1 while the broker answers.")
        self.brokers = self.gauge("brokers", "Brokers of the cluster that are there.")
        self.under_replicated = self.gauge(
            "under_replicated_partitions", "Partitions of our topics that have fewer copies in step than they should."
        )
        self.messages = self.gauge(
            "topic_end_offset", "Messages that a topic has ever had: the sum of its partitions' ends.", topic=topics
        )
        self.newest_deadletter = self.gauge(
            "newest_deadletter_timestamp_seconds", "When the newest dead letter was written; 0: none is there."
        )
        self.members = self.gauge("group_members", "Consumers of a group that are there.", group=consumers)
        self.lag = Gauges(self, "consumer_lag_messages", "Messages that a group has not committed yet.", consumers)
        self.oldest = Gauges(
            self,
            "consumer_oldest_waiting_seconds",
            "Age of the oldest message that a group has not committed.",
            consumers,
        )

    def looked(self, look: Look, oldest_seconds: Mapping[tuple[str, str], float]) -> None:
        """Tell what was seen; ages by (group, topic)."""
        self.up.set(1)
        self.brokers.set(look.brokers)
        self.under_replicated.set(look.under_replicated)
        for topic, end in look.ends.items():
            self.messages.labels(topic).set(end)
        self.newest_deadletter.set(look.newest_deadletter)
        for name, group in look.groups.items():
            self.members.labels(name).set(group.members)
            for topic, places in group.waiting.items():
                self.lag.set(name, topic, sum(place.messages for place in places))
                self.oldest.set(name, topic, oldest_seconds.get((name, topic), 0.0))


class Gauges:
    """A gauge by group and topic, of the pairs that the settings name and no other."""

    def __init__(self, metrics: Instruments, name: str, text: str, consumers: Mapping[str, Iterable[str]]) -> None:
        self._gauge = metrics.gauge(name, text, group=(), topic=())
        for group, topics in consumers.items():
            for topic in topics:
                self._gauge.labels(group, topic)

    def set(self, group: str, topic: str, value: float) -> None:
        self._gauge.labels(group, topic).set(value)
