"""``python -m dicom_listener``: reads the settings, builds the parts, runs until SIGTERM or SIGINT."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from dicom_listener.errors import CannotStart
from dicom_listener.identities import IdentityRegister
from dicom_listener.intake import Intake
from dicom_listener.kafka_broker import assert_checksums_are_native, connector
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.open_associations import OpenAssociations
from dicom_listener.outgoing import ledger_message
from dicom_listener.peers import Caps
from dicom_listener.privacy import silence_libraries
from dicom_listener.processes import WATCHER_VARIABLE, Workers, stop_when_parent_dies
from dicom_listener.publisher import Publisher
from dicom_listener.seen import SeenObjects
from dicom_listener.server import Listener, ServerOptions
from dicom_listener.settings import Settings
from dicom_listener.shared_port import VARIABLE as PORT_VARIABLE
from dicom_listener.shared_port import PortShare, SharedPort
from dicom_listener.spool.folders import left_behind, own_folder
from dicom_listener.spool.journal import Spool
from dicom_listener.spool.spare import SpareKeeper
from dicom_listener.tls import server_context
from monitoring.exposition import Exposition
from monitoring.health import Health
from monitoring.host import HostMetrics
from monitoring.journal import open_journal
from monitoring.tracing import open_traces
from streams.contracts.errors import WeakSecret
from streams.contracts.identities import IdentityCipher
from streams.contracts.ids import SiteSecret

journal = logging.getLogger("dicom_listener")

EXIT_CANNOT_START = 2

T = TypeVar("T")


class Service:
    """One listening process, wired. Starting order: spool, publisher, port, side door."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        assert_checksums_are_native()
        secret = SiteSecret(_secret_file(settings.site_secret_file, "TOCSIN_SITE_SECRET_FILE"))
        cipher = IdentityCipher(_secret_file(settings.identity_key_file, "TOCSIN_IDENTITY_KEY_FILE"))
        self.metrics = ListenerMetrics(CollectorRegistry(), settings.known_scanners)
        self.spool = Spool(own_folder(settings.spool_dir, settings.worker), settings.spool_max_bytes)
        self._spares = SpareKeeper(self.spool)
        self._spools = [self.spool, *self._left_behind()]
        connect = connector(settings.bootstrap_servers)
        self._traces = open_traces("listener", os.environ)
        self._publishers = [Publisher(spool, connect, self.metrics, traces=self._traces) for spool in self._spools]
        for spool in self._spools:
            _tell_of_the_lost(OpenAssociations(spool.folder), spool)
        notes = OpenAssociations(self.spool.folder)
        identities, seen = IdentityRegister(cipher), SeenObjects()
        intake = Intake(self.spool, secret, identities, seen, notes, self.metrics, traces=self._traces)
        where = f"DICOM port {settings.host}:{settings.port}"
        self.listener = _bound(where, lambda: Listener(_options(settings), intake, self.metrics))
        self.exposition = _bound(f"metrics port {settings.metrics_host}:{self._metrics_port}", self._side_door)

    def _left_behind(self) -> list[Spool]:
        """The first process also publishes what lies in folders that no process has any more."""
        settings = self._settings
        if settings.worker not in (None, 0):
            return []
        processes = 1 if settings.worker is None else settings.processes
        return [Spool(folder, settings.spool_max_bytes) for folder in left_behind(settings.spool_dir, processes)]

    @property
    def _metrics_port(self) -> int:
        port = self._settings.metrics_port
        return port + (self._settings.worker or 0) if port else 0

    def _side_door(self) -> Exposition:
        metrics, spools = self.metrics, self._spools
        HostMetrics(metrics.registry, {"spool": self._settings.spool_dir}, _certificates(self._settings))
        metrics.spool_limit.set(self._settings.spool_max_bytes)
        metrics.spool_damaged_bytes.set(sum(spool.damaged_bytes for spool in spools))
        metrics.spool_messages.set_function(lambda: sum(spool.depth().messages for spool in spools))
        metrics.spool_bytes.set_function(lambda: sum(spool.depth().bytes_on_disk for spool in spools))
        metrics.spool_oldest_seconds.set_function(lambda: max(_age(spool.depth().oldest_at) for spool in spools))
        health = Health(
            liveness={"accepting": self.listener.trouble, "publisher": self._publishers[0].trouble},
            readiness={"spool": self.spool.trouble},
        )
        return Exposition(metrics.registry, health, (self._settings.metrics_host, self._metrics_port))

    def start(self) -> None:
        self._spares.start()
        for publisher in self._publishers:
            publisher.start()
        self.listener.start()
        self.exposition.start()
        journal.info(
            "listening",
            extra={
                "ae_title": self._settings.ae_title,
                "host": self._settings.host,
                "port": self.listener.port,
                "metrics_port": self.exposition.port,
                "spooled_messages": sum(spool.depth().messages for spool in self._spools),
            },
        )

    def stop(self) -> None:
        journal.info("stopping")
        self.listener.stop(self._settings.stop_seconds)
        for publisher in self._publishers:
            publisher.stop(self._settings.drain_seconds)
        left = sum(spool.depth().messages for spool in self._spools)
        self.exposition.close()
        self._spares.stop()
        self._traces.close()
        for spool in self._spools:
            spool.close()
        journal.info("stopped", extra={"left_in_spool": left})


def _tell_of_the_lost(notes: OpenAssociations, spool: Spool) -> None:
    """A process that was killed could not say that its associations ended; nor can they go on."""
    lost = notes.lost(datetime.now(UTC))
    if not lost:
        return
    spool.append([ledger_message(entry) for entry in lost], reserved=True)
    journal.warning("associations ended when the listener was killed", extra={"series": len(lost)})
    for entry in lost:
        notes.forget(entry.association)


def _age(at: float | None) -> float:
    return 0.0 if at is None else max(0.0, time.time() - at)


def _certificates(settings: Settings) -> dict[str, Path]:
    files = settings.tls_files
    return {"dicom": files.certificate, "dicom_authorities": files.authorities} if files else {}


def _secret_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CannotStart(f"{name}: the file {path} cannot be read: {error.strerror}") from error


def _bound(what: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except OSError as error:
        raise CannotStart(f"the {what} cannot be opened: {error.strerror}") from error


def _options(s: Settings) -> ServerOptions:
    reserved = min(s.reserved_associations, s.max_associations - 1)
    return ServerOptions(
        ae_title=s.ae_title,
        host=s.host,
        port=s.port,
        peers=s.peers,
        caps=Caps(s.max_associations, s.max_associations_per_peer, reserved),
        max_pdu_bytes=s.max_pdu_bytes,
        max_object_bytes=s.max_object_bytes,
        request_seconds=s.request_seconds,
        pdu_seconds=s.pdu_seconds,
        idle_seconds=s.idle_seconds,
        max_incoming_bytes=s.max_incoming_bytes,
        tls=server_context(s.tls_files) if s.tls_files else None,
        share=PortShare.inherited(os.environ[PORT_VARIABLE], s.worker) if s.worker is not None else None,
    )


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise CannotStart(f"settings of the listener: {faults}") from None


def _run(settings: Settings, asked_to_stop: threading.Event) -> int:
    if settings.processes > 1 and settings.worker is None:
        port = SharedPort(settings.host, settings.port, settings.processes)
        environment = {**os.environ, WATCHER_VARIABLE: str(os.getpid())}
        stop_seconds = settings.stop_seconds + settings.drain_seconds
        return Workers(port, environment, EXIT_CANNOT_START, stop_seconds).run(asked_to_stop)
    if settings.worker is not None:
        stop_when_parent_dies(int(os.environ.get(WATCHER_VARIABLE, "0")))
    service = Service(settings)
    service.start()
    asked_to_stop.wait()
    service.stop()
    return 0


def main() -> int:
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    try:
        settings = _settings()
        open_journal("dicom_listener", settings.log_level)
        silence_libraries()
        return _run(settings, asked_to_stop)
    except (CannotStart, WeakSecret) as error:
        print(f"dicom_listener: {error}", file=sys.stderr)  # noqa: T201 - one sentence for whoever started it
        return EXIT_CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
