"""Watches a node under load from outside: CPU and memory of each service, and the backlog by the broker's account."""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.contracts.topics import SLICES
from streams.settings import StreamsSettings
from tocsin.node import Node
from tocsin.samples import samples_at

CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LOOK_SECONDS = 1.0
ALARM_SECONDS = 30.0
"""An age of the oldest waiting slice from which an operator would be told: the promise."""
REQUEST_TIMEOUT_MS = 5_000


@dataclass
class Usage:
    """Of one service, child processes included."""

    cpu_seconds: float = 0.0
    resident_mb: float = 0.0
    peak_resident_mb: float = 0.0


@dataclass
class Observed:
    """What was seen from the start to the end of a load."""

    load_average: float
    """Of the machine before it: others may be using it too."""
    usage: dict[str, Usage] = field(default_factory=dict)
    most_behind: int = 0
    oldest_waiting_seconds: float = 0.0
    """By the workers' own metric, the one that alarms."""
    alarm_after_seconds: float | None = None
    behind_at_end: int = 0

    @property
    def backlog(self) -> dict[str, object]:
        return {
            "most_slices_behind_by_broker": self.most_behind,
            "oldest_waiting_seconds_by_metric": round(self.oldest_waiting_seconds, 1),
            "metric_beyond_30_s_after_seconds": self.alarm_after_seconds,
            "slices_behind_at_end": self.behind_at_end,
        }

    def per(self, studies: int) -> dict[str, dict[str, float]]:
        return {
            name: {
                "cpu_seconds": round(usage.cpu_seconds / max(1, studies), 3),
                "resident_mb": round(usage.resident_mb, 1),
                "peak_resident_mb": round(usage.peak_resident_mb, 1),
            }
            for name, usage in self.usage.items()
        }

    def milliseconds_per(self, slices: int) -> dict[str, float]:
        return {name: round(1000 * usage.cpu_seconds / max(1, slices), 1) for name, usage in self.usage.items()}


class LoadWatch:
    """Looks once a second, in a thread of its own."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._observed = Observed(round(os.getloadavg()[0], 1))
        self._before: dict[str, float] = {}
        self._stopping = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="load watch", daemon=True)

    def start(self) -> None:
        self._before = {name: _cpu_seconds(process.pid) for name, process in self._node.processes.items()}
        self._thread.start()

    def stop(self) -> Observed:
        self._stopping.set()
        self._thread.join()
        return self._observed

    def _run(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self._node.addresses.bootstrap_servers.split(","),
            group_id=StreamsSettings.model_fields["app_id"].default,
            enable_auto_commit=False,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            while True:
                last = self._stopping.wait(LOOK_SECONDS)
                self._look_at_processes()
                self._look_at_backlog(consumer)
                if last:
                    return
        finally:
            consumer.close()

    def _look_at_processes(self) -> None:
        for name, process in self._node.processes.items():
            usage = self._observed.usage.setdefault(name, Usage())
            usage.cpu_seconds = max(usage.cpu_seconds, _cpu_seconds(process.pid) - self._before.get(name, 0.0))
            usage.resident_mb = _resident_mb(process.pid)
            usage.peak_resident_mb = max(usage.peak_resident_mb, usage.resident_mb)

    def _look_at_backlog(self, consumer: KafkaConsumer) -> None:
        seen = self._observed
        try:
            places = [TopicPartition(SLICES.name, p) for p in consumer.partitions_for_topic(SLICES.name) or ()]
            ends = consumer.end_offsets(places)
            seen.behind_at_end = sum(ends[place] - (consumer.committed(place) or 0) for place in places)
        except (KafkaError, OSError, ValueError):
            return  # at the next look
        seen.most_behind = max(seen.most_behind, seen.behind_at_end)
        ports = self._node.addresses.streams_metrics_ports().values()
        ages = [samples_at([port], timeout=2).total("tocsin_streams_oldest_waiting_seconds") for port in ports]
        seen.oldest_waiting_seconds = max(seen.oldest_waiting_seconds, *ages)
        if seen.alarm_after_seconds is None and max(ages) >= ALARM_SECONDS:
            seen.alarm_after_seconds = round(time.monotonic() - self._started, 1)


def _tree(pid: int | None) -> list[int]:
    """A process and all that it has started."""
    if pid is None:
        return []
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [pid, *(each for child in children for each in _tree(child))]


def _cpu_seconds(pid: int | None) -> float:
    return sum(int(field) for fields in _stats(pid) for field in fields[11:13]) / CLOCK_TICKS_PER_SECOND


def _resident_mb(pid: int | None) -> float:
    return sum(int(fields[21]) for fields in _stats(pid)) * PAGE_BYTES / 1e6


def _stats(pid: int | None) -> list[list[str]]:
    """``/proc/PID/stat`` of a tree, from the state on (proc(5))."""
    found = []
    for each in _tree(pid):
        try:
            found.append(Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split())
        except OSError:
            continue  # gone meanwhile
    return found
