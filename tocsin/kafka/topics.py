"""Creates the topics, with the limits that :mod:`streams.contracts.topics` sets."""

from collections.abc import Iterable
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from streams.contracts.topics import ALL, Topic
from tocsin.errors import KafkaUnavailable

REQUEST_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class TopicLayout:
    """How the topics are spread over a cluster."""

    partitions: int = 4
    """Of the slices and the ledger: at most this many stream workers share the load."""
    replication_factor: int = 1
    min_insync_replicas: int = 1


def missing_topics(existing: Iterable[str]) -> tuple[Topic, ...]:
    present = set(existing)
    return tuple(topic for topic in ALL if topic.name not in present)


def create_topics(bootstrap_servers: str, layout: TopicLayout) -> tuple[str, ...]:
    """Create the topics that are not there yet; those that exist are left as they are.

    Returns:
        The names of the topics that were created.

    Raises:
        KafkaUnavailable: the cluster cannot be reached or refuses.
    """
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers.split(","),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            wanted = missing_topics(admin.list_topics())
            if wanted:
                admin.create_topics(
                    [_new_topic(topic, layout) for topic in wanted], timeout_ms=REQUEST_TIMEOUT_MS, raise_errors=True
                )
                admin.wait_for_topics([topic.name for topic in wanted])
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(
            f"The topics could not be created on {bootstrap_servers}: {type(error).__name__}."
        ) from error
    return tuple(topic.name for topic in wanted)


def _new_topic(topic: Topic, layout: TopicLayout) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=layout.partitions if topic.co_partitioned else 1,
        replication_factor=layout.replication_factor,
        topic_configs=topic.config(layout.min_insync_replicas),
    )
