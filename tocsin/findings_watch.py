"""Follows ``triage.findings.v1`` from now on, for commands that want to see findings as they are made."""

from collections.abc import Callable
from threading import Event, Thread

from kafka import KafkaConsumer, TopicPartition

from streams.contracts.findings import FindingProduced
from streams.contracts.topics import FINDINGS, MAX_MESSAGE_BYTES

POLL_MS = 100


class FindingsWatch:
    """Calls ``found`` in a thread for each finding that is published after construction."""

    def __init__(self, bootstrap_servers: str, found: Callable[[FindingProduced], None]) -> None:
        self._found = found
        self._stopped = Event()
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers.split(","),
            enable_auto_commit=False,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES,
            fetch_max_wait_ms=50,
            allow_auto_create_topics=False,
        )
        places = [TopicPartition(FINDINGS.name, p) for p in self._consumer.partitions_for_topic(FINDINGS.name) or ()]
        self._consumer.assign(places)
        self._consumer.seek_to_end(*places)
        for place in places:
            self._consumer.position(place)
        self._thread = Thread(target=self._follow, name="findings watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            for records in self._consumer.poll(POLL_MS).values():
                for record in records:
                    self._found(FindingProduced.decode(record.value))
        self._consumer.close()
