"""A single-machine node: which services run, on which addresses, with which environment.

Each service is a process of its own (``python -m dicom_listener`` …), exactly as in production; this file only says
how they find each other.
"""

import asyncio
import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from alerts.settings import page_refusal
from tocsin.data_directory import DataDirectory
from tocsin.errors import BadRequest, NodeNotRunning, ServiceFailed
from tocsin.kafka.broker import BrokerFiles, EmbeddedBroker, child_environment, wait_until_answering
from tocsin.kafka.distribution import find_distribution
from tocsin.kafka.topics import TopicLayout, create_topics
from tocsin.ports import LOOPBACK, demand_free, free_ports, free_run
from tocsin.supervisor import ProcessSpec, Supervised

READY_TIMEOUT_SECONDS = 90.0
POLL_SECONDS = 0.1
ORPHAN_SECONDS = 30.0
OUR_PROGRAMS = (b"dicom_listener", b"streams", b"alerts", b"monitoring", b"kafka.Kafka")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Addresses:
    """Where the node's parts listen. Every port but the DICOM and the page's is loopback only."""

    dicom_host: str = LOOPBACK
    dicom_port: int = 11112
    ae_title: str = "TOCSIN"
    web_host: str = LOOPBACK
    web_port: int = 8080
    kafka_port: int = 19092
    kafka_controller_port: int = 19093
    listener_metrics_port: int = 9101
    streams_metrics_port: int = 9102
    alerts_metrics_port: int = 9103
    further_metrics_port: int = 9111
    """The first of those of stream workers and listening processes beyond the first."""
    workers: int = 1
    """Processes that share the slices: at most as many as the topic has partitions."""
    listeners: int = 1
    """Processes that listen on the DICOM port."""
    monitoring_metrics_port: int = 9104
    kafka_bootstrap_servers: str | None = None
    """Of a cluster that is there already; then none is started."""
    heartbeat_metrics_port: int = 9105
    heartbeat_webhook_port: int = 9106

    @classmethod
    def on_free_ports(cls, workers: int = 1, listeners: int = 1) -> "Addresses":
        ports = free_ports(8)
        return cls(
            dicom_port=ports[0],
            web_port=ports[1],
            kafka_port=ports[2],
            kafka_controller_port=ports[3],
            listener_metrics_port=ports[4],
            streams_metrics_port=ports[5],
            alerts_metrics_port=ports[6],
            further_metrics_port=free_run(workers + listeners),
            workers=workers,
            listeners=listeners,
            monitoring_metrics_port=ports[7],
        )

    @property
    def page_url(self) -> str:
        return f"http://{self.web_host}:{self.web_port}/"

    @property
    def bootstrap_servers(self) -> str:
        return self.kafka_bootstrap_servers or f"{LOOPBACK}:{self.kafka_port}"

    def metrics_ports(self) -> dict[str, int]:
        return {
            **self.listener_metrics_ports(),
            **self.streams_metrics_ports(),
            "alerts": self.alerts_metrics_port,
            "monitoring": self.monitoring_metrics_port,
        }

    def streams_metrics_ports(self) -> dict[str, int]:
        """By worker: ``streams``, ``streams-2``, …"""
        further = {f"streams-{n}": self.further_metrics_port + n - 2 for n in range(2, self.workers + 1)}
        return {"streams": self.streams_metrics_port, **further}

    def listener_metrics_ports(self) -> dict[str, int]:
        """By process: ``listener``, ``listener-2``, …; several have neighbouring ports."""
        if self.listeners == 1:
            return {"listener": self.listener_metrics_port}
        first = self.further_metrics_port + self.workers - 1
        further = {f"listener-{n}": first + n - 1 for n in range(2, self.listeners + 1)}
        return {"listener": first, **further}

    def demand_free(self) -> None:
        """Raises PortTaken for the first address that belongs to another process."""
        demand_free(self.dicom_host, self.dicom_port, "the DICOM listener")
        demand_free(self.web_host, self.web_port, "the web page")
        for service, port in self.metrics_ports().items():
            demand_free(LOOPBACK, port, f"the metrics of {service}")


@dataclass(frozen=True)
class RunningNode:
    """What ``node.json`` says about a running node."""

    pid: int
    addresses: Addresses
    pids: dict[str, int | None]
    started_at: float


@dataclass
class Node:
    """One node and its processes.

    Args:
        say: told, in a few words, what is being done.
        extra: further environment for the services, by name.
    """

    directory: DataDirectory
    addresses: Addresses
    say: Say
    extra: dict[str, dict[str, str]] = field(default_factory=dict)
    processes: dict[str, Supervised] = field(default_factory=dict)
    heartbeat_seconds: float | None = None
    """Between two dead-man's studies; None: there are none."""
    serving: bool = False
    """All services have been ready once."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Node"]:
        """The node, ready; stopped in the order of the flow at the end.

        Raises:
            TocsinError: with the sentence for the user.
        """
        if wrong := page_refusal(self.addresses.web_host):
            raise BadRequest(wrong)
        self.directory.create()
        with self.directory.locked():
            await self._await_orphans()
            self.addresses.demand_free()
            try:
                await self._start()
                self.serving = True
                yield self
            finally:
                await self._stop()

    async def _await_orphans(self) -> None:
        """Wait for the processes of a node that was killed: they know that it died, and are stopping."""
        try:
            pids = json.loads(self.directory.node_file.read_text())["pids"].values()
        except (OSError, ValueError, KeyError):
            return
        deadline = time.monotonic() + ORPHAN_SECONDS
        if any(_is_ours(pid) for pid in pids):
            self.say("Waiting for the processes of the last node, which was killed, to stop")
        while any(_is_ours(pid) for pid in pids) and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)

    async def _start(self) -> None:
        if self.addresses.kafka_bootstrap_servers is None:
            await self._start_kafka()
        servers = self.addresses.bootstrap_servers
        self.say(f"Waiting for Kafka at {servers}")
        await asyncio.to_thread(wait_until_answering, servers)
        await asyncio.to_thread(create_topics, servers, TopicLayout())
        self.say("Starting listener, streams, alerts and monitoring")
        workers = map(self._streams, self.addresses.streams_metrics_ports())
        for spec in (self._listener(), *workers, self._alerts(), self._monitoring()):
            self._supervise(spec)
        self._record()
        await asyncio.gather(*(self._wait_ready(name) for name in self.addresses.metrics_ports()))
        if self.heartbeat_seconds is not None:
            self._supervise(self._heartbeat())
        self._record()

    async def _start_kafka(self) -> None:
        self.say("Looking for Apache Kafka (the first time about 45 MB are downloaded)")
        distribution = await asyncio.to_thread(find_distribution)
        broker = EmbeddedBroker(
            distribution,
            BrokerFiles(self.directory.kafka),
            self.addresses.kafka_port,
            self.addresses.kafka_controller_port,
        )
        self.say("Preparing the embedded Kafka")
        await asyncio.to_thread(broker.prepare)
        self._supervise(ProcessSpec("kafka", broker.command(), child_environment(), broker.files.console))

    def _supervise(self, spec: ProcessSpec) -> None:
        self.processes[spec.name] = process = Supervised(spec)
        process.start()

    async def _stop(self) -> None:
        self.say("Stopping")
        for name in ("heartbeat", "monitoring", "listener", *self.addresses.streams_metrics_ports(), "alerts", "kafka"):
            if name in self.processes:
                await self.processes[name].stop()
        self.directory.node_file.unlink(missing_ok=True)

    async def _wait_ready(self, name: str) -> None:
        url = f"http://{LOOPBACK}:{self.addresses.metrics_ports()[name]}/readyz"
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not await asyncio.to_thread(answers_ok, url):
            process = self.processes.get(name) or self.processes["listener"]
            if time.monotonic() > deadline or process.restarts >= 3:
                raise ServiceFailed(
                    f"The service {name} did not become ready. The end of {process.spec.log}: {_tail(process.spec.log)}"
                )
            await asyncio.sleep(POLL_SECONDS)

    def _record(self) -> None:
        node = {
            "pid": os.getpid(),
            "addresses": asdict(self.addresses),
            "pids": {name: process.pid for name, process in self.processes.items()},
            "started_at": time.time(),
        }
        partial = self.directory.node_file.with_suffix(".partial")
        partial.write_text(json.dumps(node, indent=1))
        partial.replace(self.directory.node_file)

    async def keep_record(self) -> None:
        """Keep the process ids in ``node.json`` up to date until cancelled."""
        known: dict[str, int | None] = {}
        while True:
            pids = {name: process.pid for name, process in self.processes.items()}
            if pids != known:
                self._record()
                known = pids
            await asyncio.sleep(1)

    # The services

    def _service(self, name: str, module: str, settings: dict[str, str], *arguments: str) -> ProcessSpec:
        environment = {
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            "KAFKA_BOOTSTRAP_SERVERS": self.addresses.bootstrap_servers,
            **settings,
            **self.extra.get(name, {}),
        }
        command = [sys.executable, "-m", module, *arguments]
        return ProcessSpec(name, command, environment, self.directory.logs / f"{name}.log")

    def _listener(self) -> ProcessSpec:
        return self._service(
            "listener",
            "dicom_listener",
            {
                "TOCSIN_SITE_SECRET_FILE": str(self.directory.site_secret),
                "TOCSIN_IDENTITY_KEY_FILE": str(self.directory.identity_key),
                "TOCSIN_LISTENER_AE_TITLE": self.addresses.ae_title,
                "TOCSIN_LISTENER_HOST": self.addresses.dicom_host,
                "TOCSIN_LISTENER_PORT": str(self.addresses.dicom_port),
                "TOCSIN_LISTENER_SPOOL_DIR": str(self.directory.spool),
                "TOCSIN_LISTENER_METRICS_HOST": LOOPBACK,
                "TOCSIN_LISTENER_METRICS_PORT": str(self.addresses.listener_metrics_ports()["listener"]),
                "TOCSIN_LISTENER_PROCESSES": str(self.addresses.listeners),
            },
        )

    def _streams(self, name: str) -> ProcessSpec:
        """One worker. Several share the cores, and each keeps a copy of another's state to take over from."""
        several = {"TOCSIN_STREAMS_INFERENCE_THREADS": "1", "TOCSIN_STREAMS_TABLE_STANDBY_REPLICAS": "1"}
        return self._service(
            name,
            "streams",
            {
                "TOCSIN_STREAMS_INSTANCE": name,
                "TOCSIN_STREAMS_MODEL_STORE": str(self.directory.models),
                "TOCSIN_STREAMS_METRICS_HOST": LOOPBACK,
                "TOCSIN_STREAMS_METRICS_PORT": str(self.addresses.streams_metrics_ports()[name]),
                **(several if self.addresses.workers > 1 else {}),
            },
        )

    def _heartbeat(self) -> ProcessSpec:
        """Its own command, as in compose; it chooses its head first, so nothing waits for it."""
        return self._service(
            "heartbeat",
            "tocsin",
            {
                "TOCSIN_SITE_SECRET_FILE": str(self.directory.site_secret),
                "TOCSIN_HEARTBEAT_TO": str(self._dicom_port_from_here()),
                "TOCSIN_HEARTBEAT_EVERY_SECONDS": str(self.heartbeat_seconds),
                "TOCSIN_HEARTBEAT_WEBHOOK": heartbeat_webhook(self.directory, self.addresses),
                "TOCSIN_HEARTBEAT_WEBHOOK_PORT": str(self.addresses.heartbeat_webhook_port),
                "TOCSIN_HEARTBEAT_METRICS_PORT": str(self.addresses.heartbeat_metrics_port),
            },
            "heartbeat",
        )

    def _dicom_port_from_here(self) -> str:
        at = self.addresses
        host = LOOPBACK if at.dicom_host in ("0.0.0.0", "::") else at.dicom_host  # noqa: S104 - compared, not bound
        return f"{at.ae_title}@{host}:{at.dicom_port}"

    def _alerts(self) -> ProcessSpec:
        return self._service(
            "alerts",
            "alerts",
            {
                "TOCSIN_ALERTS_HEARTBEAT_WEBHOOK": heartbeat_webhook(self.directory, self.addresses),
                "TOCSIN_IDENTITY_KEY_FILE": str(self.directory.identity_key),
                "TOCSIN_ALERTS_DATABASE_URL": self.directory.database_url,
                "TOCSIN_ALERTS_HOST": self.addresses.web_host,
                "TOCSIN_ALERTS_PORT": str(self.addresses.web_port),
                "TOCSIN_ALERTS_METRICS_HOST": LOOPBACK,
                "TOCSIN_ALERTS_METRICS_PORT": str(self.addresses.alerts_metrics_port),
            },
        )

    def _monitoring(self) -> ProcessSpec:
        return self._service(
            "monitoring",
            "monitoring",
            {
                "TOCSIN_MONITORING_METRICS_HOST": LOOPBACK,
                "TOCSIN_MONITORING_METRICS_PORT": str(self.addresses.monitoring_metrics_port),
            },
        )


def _is_ours(pid: int | None) -> bool:
    """Is this process one of ours, and alive? Process ids are given again to others."""
    try:
        return any(name in Path(f"/proc/{pid}/cmdline").read_bytes() for name in OUR_PROGRAMS)
    except OSError:
        return False


def answers_ok(url: str, timeout_seconds: float = 2.0) -> bool:
    """Does an HTTP GET answer with 200?"""
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def running_node(directory: DataDirectory) -> RunningNode:
    """The node that runs on a data directory.

    Raises:
        NodeNotRunning: none does.
    """
    try:
        record = json.loads(directory.node_file.read_text())
        os.kill(record["pid"], 0)
    except (OSError, ValueError, KeyError):
        raise NodeNotRunning(f"No node is running on {directory.root}. Start one with: tocsin up") from None
    return RunningNode(record["pid"], Addresses(**record["addresses"]), record["pids"], record["started_at"])


def heartbeat_webhook(directory: DataDirectory, addresses: Addresses) -> str:
    """The test recipient as JSON, for both ends: signed with a secret that this node's site secret makes."""
    secret = hashlib.sha256(b"heartbeat webhook\0" + directory.site_secret.read_bytes()).hexdigest()
    url = f"http://{LOOPBACK}:{addresses.heartbeat_webhook_port}/alerts"
    return json.dumps({"url": url, "secret": secret})


def with_environment(addresses: Addresses) -> Addresses:
    """Use the cluster that ``KAFKA_BOOTSTRAP_SERVERS`` names, if it does."""
    servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    return replace(addresses, kafka_bootstrap_servers=servers) if servers else addresses


def _tail(log: Path, lines: int = 3) -> str:
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(empty)"
    except OSError:
        return "(no log)"
