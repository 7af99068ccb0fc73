"""The embedded broker: one real Apache Kafka node in KRaft mode, on loopback.

Its data, log and configuration live under one directory and are used again after a stop or a crash. The broker
writes every batch through to the disk before it answers (``log.flush.interval.messages=1``): with one replica there is
nobody else to have a copy when the power fails.
"""

import base64
import os
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from streams.contracts.topics import MAX_MESSAGE_BYTES
from tocsin.errors import KafkaUnavailable
from tocsin.kafka.distribution import Distribution
from tocsin.ports import LOOPBACK, demand_free

HEAP = "512m"
START_TIMEOUT_SECONDS = 60.0
FORMAT_TIMEOUT_SECONDS = 60.0
NODE_ID = 1
BROKER_SESSION_MS = 2000
"""A killed broker is let in again only when its former session is over: the default of 9 s would be a third of the
promise."""


_LOG4J2 = """\
status = warn
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
"""


@dataclass(frozen=True)
class BrokerFiles:
    """The broker's place on disk, all under ``root``."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def properties(self) -> Path:
        return self.root / "server.properties"

    @property
    def log4j2(self) -> Path:
        return self.root / "log4j2.properties"

    @property
    def log(self) -> Path:
        return self.root / "kafka.log"

    @property
    def console(self) -> Path:
        return self.root / "console.log"


@dataclass(frozen=True)
class EmbeddedBroker:
    """One broker: how it is configured, prepared and started. It keeps no process; a supervisor does."""

    distribution: Distribution
    files: BrokerFiles
    port: int
    controller_port: int

    @property
    def bootstrap_servers(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration and, the first time, format the storage.

        Raises:
            PortTaken: one of the two ports belongs to another process.
            KafkaUnavailable: the storage cannot be formatted.
        """
        demand_free(LOOPBACK, self.port, "the embedded Kafka")
        demand_free(LOOPBACK, self.controller_port, "the embedded Kafka's controller")
        self.files.root.mkdir(parents=True, exist_ok=True)
        self.files.properties.write_text(self._properties())
        self.files.log4j2.write_text(_log4j2(self.files.log))
        if not (self.files.data / "meta.properties").is_file():
            self._format()

    def command(self) -> list[str]:
        """The command line that runs the broker in the foreground.

        The class-data archive, written when a broker stops in good order, makes the next start a third quicker.
        """
        archive = self.files.root / "classes.jsa"
        options = (f"-Xmx{HEAP}", "-Xms128m", "-XX:+AutoCreateSharedArchive", f"-XX:SharedArchiveFile={archive}")
        return [*self._java(*options), "kafka.Kafka", str(self.files.properties)]

    def _java(self, *options: str) -> list[str]:
        return [
            str(self.distribution.java),
            *options,
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={self.files.log4j2}",
            "-cp",
            self.distribution.class_path,
        ]

    def _format(self) -> None:
        command = [
            *self._java("-Xmx128m", "-XX:TieredStopAtLevel=1"),
            "kafka.tools.StorageTool",
            *("format", "--cluster-id", new_cluster_id(), "--config", str(self.files.properties), "--ignore-formatted"),
        ]
        try:
            done = subprocess.run(  # noqa: S603 - our own command line
                command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KafkaUnavailable(f"The embedded Kafka's storage could not be formatted: {error}") from error
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise KafkaUnavailable(f"The embedded Kafka's storage could not be formatted: {reason[0]}")

    def _properties(self) -> str:
        settings = {
            "process.roles": "broker,controller",
            "node.id": NODE_ID,
            "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{self.controller_port}",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.files.data,
            "auto.create.topics.enable": "false",
            "num.partitions": 1,
            "default.replication.factor": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
            "log.flush.interval.messages": 1,
            "log.segment.bytes": 256 * 1024 * 1024,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,
            "broker.session.timeout.ms": BROKER_SESSION_MS,
            "broker.heartbeat.interval.ms": BROKER_SESSION_MS // 4,
            "num.network.threads": 2,
            "num.io.threads": 4,
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def new_cluster_id() -> str:
    """A random cluster id; like Kafka's own, it never begins with a dash, which its tool would take for an option."""
    while True:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not cluster_id.startswith("-"):
            return cluster_id


def _log4j2(log: Path) -> str:
    return _LOG4J2.format(log=log)


def wait_until_answering(bootstrap_servers: str, timeout_seconds: float = START_TIMEOUT_SECONDS) -> None:
    """Block until a broker answers a metadata request.

    Raises:
        KafkaUnavailable: it did not within the time.
    """
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=bootstrap_servers.split(","), request_timeout_ms=5000, bootstrap_timeout_ms=2000
            )
        except (KafkaError, OSError, ValueError):
            if time.monotonic() > deadline:
                raise KafkaUnavailable(
                    f"No Kafka broker answers at {bootstrap_servers} after {timeout_seconds:.0f} s."
                ) from None
            time.sleep(0.2)
        else:
            admin.close()
            return


def child_environment() -> dict[str, str]:
    """Environment for the Java process: ours, without options meant for other Java programs."""
    return {key: value for key, value in os.environ.items() if key not in {"JAVA_TOOL_OPTIONS", "KAFKA_OPTS"}}
