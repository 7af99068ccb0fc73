"""The topics: names, keys, limits and retention, in one table."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Limit of topic, producer and consumer alike. A 512×512×16-bit slice is 525 kB; a larger frame than this is refused
at the door with a DICOM status."""

MESSAGE_OVERHEAD_BYTES = 64 * 1024
"""Kept free for key, headers and record framing."""

MAX_FRAME_BYTES = MAX_MESSAGE_BYTES - MESSAGE_OVERHEAD_BYTES

HOUR_MS = 60 * 60 * 1000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True)
class Topic:
    """A topic and its settings. ``retention_ms`` is None where the topic is compacted."""

    name: str
    key: str
    producer: str
    consumer: str
    retention_ms: int | None
    co_partitioned: bool = False
    """Shares its number of partitions with the slices, so that one worker sees both."""

    def config(self, min_insync_replicas: int) -> dict[str, str]:
        """The topic's configuration in Kafka's names.

        Kafka's own clock dates every message: retention and look-ups by time then depend on no other machine's.
        """
        config = {
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "min.insync.replicas": str(min_insync_replicas),
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": "compact" if self.retention_ms is None else "delete",
        }
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config


SLICES = Topic("ct.slices.v1", "series key", "dicom_listener", "streams", 2 * DAY_MS, co_partitioned=True)
SERIES = Topic("ct.series.v1", "series key", "dicom_listener", "streams", 2 * DAY_MS, co_partitioned=True)
IDENTITIES = Topic("phi.identities.v1", "study key", "dicom_listener", "alerts", None)
PICTURES = Topic("ct.pictures.v1", "series key", "streams", "alerts", DAY_MS)
FINDINGS = Topic("triage.findings.v1", "study key", "streams", "alerts", 30 * DAY_MS)
ALERTS = Topic("triage.alerts.v1", "study key", "alerts", "anyone", 30 * DAY_MS)
DEADLETTERS = Topic("triage.deadletter.v1", "as source", "any", "an operator", 30 * DAY_MS)

ALL: tuple[Topic, ...] = (SLICES, SERIES, IDENTITIES, PICTURES, FINDINGS, ALERTS, DEADLETTERS)


def working_topics() -> Iterator[Topic]:
    """The topics that must carry no patient identity in any form that can be read."""
    return (topic for topic in ALL if topic is not IDENTITIES)
