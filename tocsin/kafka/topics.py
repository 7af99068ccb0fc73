"""Creates the topics, with the limits of :mod:`streams.contracts.topics`, and tells how they are on a cluster."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
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
    with _administering(bootstrap_servers, "created") as admin:
        wanted = missing_topics(admin.list_topics())
        if wanted:
            admin.create_topics(
                [_new_topic(topic, layout) for topic in wanted], timeout_ms=REQUEST_TIMEOUT_MS, raise_errors=True
            )
            admin.wait_for_topics([topic.name for topic in wanted])
    return tuple(topic.name for topic in wanted)


@dataclass(frozen=True)
class TopicOnCluster:
    """One of our topics as a cluster has it. ``retention_ms`` is None where the newest message per key is kept."""

    name: str
    partitions: int
    replication_factor: int
    min_insync_replicas: int
    retention_ms: int | None


def topics_on(bootstrap_servers: str) -> tuple[TopicOnCluster, ...]:
    """Those of our topics that exist, in the order of the flow.

    Raises:
        KafkaUnavailable: the cluster cannot be reached or refuses.
    """
    with _administering(bootstrap_servers, "read") as admin:
        present = set(admin.list_topics())
        names = [topic.name for topic in ALL if topic.name in present]
        found = {each["name"]: each["partitions"] for each in admin.describe_topics(names)} if names else {}
        return tuple(_on_cluster(name, found[name], _configuration(admin, name)) for name in names)


def keep_for(bootstrap_servers: str, name: str, retention_ms: int) -> None:
    """Set how long a topic's messages are kept.

    Raises:
        KafkaUnavailable: the cluster cannot be reached or refuses.
    """
    with _administering(bootstrap_servers, "changed") as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": str(retention_ms)})])


@contextmanager
def _administering(bootstrap_servers: str, done: str) -> Iterator[KafkaAdminClient]:
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers.split(","),
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            bootstrap_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            yield admin
        finally:
            admin.close()
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(
            f"The topics could not be {done} on {bootstrap_servers}: {type(error).__name__}."
        ) from error


def _configuration(admin: KafkaAdminClient, name: str) -> dict[str, str]:
    described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    return {key: entry["value"] for key, entry in described["topic"][name].items()}


def _on_cluster(name: str, partitions: list[dict[str, list[int]]], configuration: dict[str, str]) -> TopicOnCluster:
    compacted = configuration["cleanup.policy"] == "compact"
    return TopicOnCluster(
        name,
        len(partitions),
        min(len(partition["replica_nodes"]) for partition in partitions),
        int(configuration["min.insync.replicas"]),
        None if compacted else int(configuration["retention.ms"]),
    )


def _new_topic(topic: Topic, layout: TopicLayout) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=layout.partitions if topic.co_partitioned else 1,
        replication_factor=layout.replication_factor,
        topic_configs=topic.config(layout.min_insync_replicas),
    )
