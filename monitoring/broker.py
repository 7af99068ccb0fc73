"""Asks the broker how far its topics reach and how far they have been read. Blocks; one thread.

Reads no message but the first of those that wait, for its age; commits nothing and is in no group.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer import OffsetSpec

from monitoring.lag import BrokerMetrics, Group, Look, Place, Waiting, waiting

journal = logging.getLogger(__name__)

TIMEOUT_MS = 5_000
FETCH_TIMEOUT_MS = 2_000


class BrokerWatch:
    """Looks, again and again.

    Args:
        consumers: topics by consumer group.
        deadletters: the topic of what was set aside.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        servers: Iterable[str],
        topics: Iterable[str],
        consumers: Mapping[str, Iterable[str]],
        metrics: BrokerMetrics,
        deadletters: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._servers, self._topics, self._deadletters = list(servers), list(topics), deadletters
        self._consumers = {group: list(names) for group, names in consumers.items()}
        self._metrics, self._now = metrics, now
        self._admin: Any = None
        self._reader: Any = None
        self._newest_deadletter = 0.0
        self._written: dict[tuple[Place, int], float] = {}
        self.answered_at: float | None = None
        """When the broker answered last."""

    def look(self) -> None:
        """One look. Never raises: a broker that does not answer is what is told then."""
        try:
            seen = self._look()
            self._metrics.looked(seen, self._ages(seen))
            self.answered_at = self._now()
        except (KafkaError, OSError, ValueError) as error:
            if self._metrics_say_up():
                journal.warning("the broker does not answer", extra={"error": type(error).__name__})
            self._metrics.up.set(0)
            self.close()

    def _metrics_say_up(self) -> bool:
        return bool(self.answered_at) and self._admin is not None

    def close(self) -> None:
        for client in (self._admin, self._reader):
            if client is not None:
                with suppress(KafkaError, OSError):
                    client.close()
        self._admin = self._reader = None

    # The questions

    def _look(self) -> Look:
        admin = self._connected()
        described = [t for t in admin.describe_topics(self._topics) if not t["error_code"]]
        partitions = [(t["name"], p) for t in described for p in t["partitions"]]
        places = [TopicPartition(name, p["partition_index"]) for name, p in partitions]
        first, ends = self._reader.beginning_offsets(places), self._reader.end_offsets(places)
        ranges = {(p.topic, p.partition): (first[p], ends[p]) for p in places}
        return Look(
            brokers=len(admin.describe_cluster()["brokers"]),
            under_replicated=sum(len(p["isr_nodes"]) < len(p["replica_nodes"]) for _, p in partitions),
            ends={
                t["name"]: sum(end for (topic, _), (_, end) in ranges.items() if topic == t["name"]) for t in described
            },
            groups=self._groups(admin, ranges),
            newest_deadletter=self._newest(admin, [place for place in places if place.topic == self._deadletters]),
        )

    def _newest(self, admin: Any, places: list[TopicPartition]) -> float:
        """When the newest message on these was written; 0 where there never was one.

        A broker names none while its newest is still being copied: what was known before holds.
        """
        found = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.MAX_TIMESTAMP)) if places else {}
        written = [at.timestamp / 1000 for at in found.values() if at.offset >= 0]
        self._newest_deadletter = max(self._newest_deadletter, *written, 0.0)
        return self._newest_deadletter

    def _groups(self, admin: Any, ranges: Mapping[Place, tuple[int, int]]) -> dict[str, Group]:
        described = admin.describe_groups(list(self._consumers))
        offsets = admin.list_group_offsets(dict.fromkeys(self._consumers))
        groups = {}
        for name, topics in self._consumers.items():
            committed = {(p.topic, p.partition): at.offset for p, at in offsets.get(name, {}).items() if at.offset >= 0}
            groups[name] = Group(
                members=len(described.get(name, {}).get("members", ())),
                waiting={topic: waiting(committed, ranges, topic) for topic in topics},
            )
        return groups

    def _ages(self, look: Look) -> dict[tuple[str, str], float]:
        """Seconds that the oldest waiting message of each (group, topic) has waited."""
        now, known = self._now(), self._written
        ages: dict[tuple[str, str], float] = {}
        self._written = {}
        for name, group in look.groups.items():
            for topic, places in group.waiting.items():
                for first in places:
                    key = (first.place, first.offset)
                    written = known.get(key) or self._written_at(first)
                    if written is not None:
                        self._written[key] = written
                        ages[name, topic] = max(ages.get((name, topic), 0.0), now - written)
        return ages

    def _written_at(self, first: Waiting) -> float | None:
        """When a message was written, by its own account; None when it is not to be had."""
        place = TopicPartition(*first.place)
        self._reader.assign([place])
        self._reader.seek(place, first.offset)
        for record in self._reader.poll(FETCH_TIMEOUT_MS, max_records=1).get(place, ()):
            return float(record.timestamp) / 1000
        return None

    def _connected(self) -> Any:
        if self._admin is None:
            limits = {
                "bootstrap_servers": self._servers,
                "client_id": "tocsin-monitoring",
                "request_timeout_ms": TIMEOUT_MS,
                "bootstrap_timeout_ms": TIMEOUT_MS,
                "reconnect_backoff_max_ms": 1_000,
            }
            self._admin = KafkaAdminClient(**limits)
            self._reader = KafkaConsumer(
                **limits,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
                max_partition_fetch_bytes=1,  # a broker gives one message at least, whatever its size
            )
        return self._admin
