"""A listener in this process on a free port, and the service as a process of its own."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE, Association, build_context
from pynetdicom.sop_class import Verification

from dicom_listener.identities import IdentityRegister
from dicom_listener.intake import Intake
from dicom_listener.messages import OutgoingMessage
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.open_associations import OpenAssociations
from dicom_listener.privacy import silence_libraries
from dicom_listener.publisher import Done
from dicom_listener.seen import SeenObjects
from dicom_listener.server import Listener, ServerOptions
from dicom_listener.spool.journal import Spool
from streams.contracts.identities import IdentityCipher
from streams.contracts.ids import SiteSecret
from streams.contracts.series import SeriesLedgerEntry
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from tocsin.ports import free_ports
from tocsin.scanner import held

AE_TITLE = "TOCSIN"
ECHO_SECONDS = 1.0
"""A scanner's C-ECHO is answered within so long, whatever happens at the port."""


class Published:
    """Messages, read as their consumers would."""

    def __init__(self, messages: list[OutgoingMessage]) -> None:
        self.messages = messages

    @property
    def slices(self) -> list[SliceAccepted]:
        found = [m for m in self.messages if m.topic == "ct.slices.v1"]
        return [SliceAccepted.decode(dict(m.headers)[SLICE_HEADER].encode()) for m in found]

    @property
    def ledger(self) -> list[SeriesLedgerEntry]:
        return [SeriesLedgerEntry.decode(bytes(m.value)) for m in self.messages if m.topic == "ct.series.v1"]


@dataclass
class Live:
    """A listener without a publisher: what it spooled is what it promised."""

    spool: Spool
    listener: Listener
    metrics: ListenerMetrics
    taken: list[OutgoingMessage] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.port

    def published(self) -> Published:
        self.taken += [entry.read() for entry in self.spool.take()]
        return Published(self.taken)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tocsin_listener_{name}", labels) or 0.0

    def wait_for(self, name: str, value: float, seconds: float = 10.0, **labels: str) -> None:
        deadline = time.monotonic() + seconds
        while self.count(name, **labels) < value:
            assert time.monotonic() < deadline, f"{name} is {self.count(name, **labels)}, not {value}"
            time.sleep(0.01)


@contextmanager
def a_listener(folder: Path, max_object_bytes: int = 1 << 26, **options: Any) -> Iterator[Live]:
    silence_libraries()
    metrics = ListenerMetrics(CollectorRegistry())
    spool = Spool(folder / "spool", 1 << 28)
    register = IdentityRegister(IdentityCipher(b"k" * 32))
    notes = OpenAssociations(spool.folder)
    intake = Intake(spool, SiteSecret(b"s" * 32), register, SeenObjects(), notes, metrics)
    server_options = ServerOptions(AE_TITLE, "127.0.0.1", 0, max_object_bytes=max_object_bytes, **options)
    listener = Listener(server_options, intake, metrics)
    listener.start()
    try:
        yield Live(spool, listener, metrics)
    finally:
        listener.stop(0.5)
        spool.close()


def associate(
    port: int,
    called: str = AE_TITLE,
    calling: str = "CT1",
    syntaxes: tuple[str, ...] = (ExplicitVRLittleEndian,),
    **kwargs: Any,
) -> Association:
    ae = AE(calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 20
    contexts = [build_context(Verification)]
    for syntax in syntaxes:
        contexts += [build_context(CTImageStorage, syntax), build_context(EnhancedCTImageStorage, syntax)]
    return ae.associate("127.0.0.1", port, contexts=contexts, ae_title=called, **kwargs)


def send(association: Association, ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """Send one object; the status as the sender sees it."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    with held(association):
        return association.send_c_store(ds)


def echo_seconds(port: int, calling: str = "CT1") -> float:
    """A whole C-ECHO of a scanner: connect, associate, echo, release."""
    started = time.monotonic()
    association = associate(port, calling=calling)
    assert association.is_established
    with held(association):
        assert association.send_c_echo().Status == 0x0000
    elapsed = time.monotonic() - started
    association.release()
    return elapsed


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


@dataclass
class Service:
    """``python -m dicom_listener``."""

    folder: Path
    environment: dict[str, str]
    port: int
    metrics_port: int
    process: subprocess.Popen[str]

    @property
    def journal(self) -> str:
        return (self.folder / "journal").read_text()

    def kill(self) -> None:
        """As ``kill -9``."""
        self.process.kill()
        self.process.wait()

    def metric(self, name: str) -> float:
        for line in self.page("/metrics").splitlines():
            if line.startswith(f"tocsin_listener_{name} "):
                return float(line.rsplit(" ", 1)[1])
        raise KeyError(name)

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def spooled(self) -> Published:
        """What lies in the spool of a service that has ended."""
        spool = Spool(self.folder / "spool", 1 << 30)
        try:
            return Published([entry.read() for entry in spool.take()])
        finally:
            spool.close()


def service_environment(folder: Path, **changes: str) -> dict[str, str]:
    for name in ("site", "identity"):
        if not (folder / name).exists():
            (folder / name).write_bytes(secrets.token_bytes(32))
    port, metrics_port, nobody = free_ports(3)
    return os.environ | {
        "TOCSIN_SITE_SECRET_FILE": str(folder / "site"),
        "TOCSIN_IDENTITY_KEY_FILE": str(folder / "identity"),
        "TOCSIN_LISTENER_SPOOL_DIR": str(folder / "spool"),
        "TOCSIN_LISTENER_PORT": str(port),
        "TOCSIN_LISTENER_METRICS_PORT": str(metrics_port),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody}",
        "TOCSIN_LISTENER_STOP_SECONDS": "1",
        "TOCSIN_LISTENER_DRAIN_SECONDS": "1",
        **changes,
    }


def start_service(folder: Path, **changes: str) -> Service:
    environment = service_environment(folder, **changes)
    with (folder / "journal").open("a") as journal:
        process = subprocess.Popen([sys.executable, "-m", "dicom_listener"], env=environment, stderr=journal, text=True)
    port = int(environment["TOCSIN_LISTENER_PORT"])
    deadline = time.monotonic() + 30
    while True:
        try:
            connect(port).close()
            break
        except OSError:
            assert process.poll() is None, (folder / "journal").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    return Service(folder, environment, port, int(environment["TOCSIN_LISTENER_METRICS_PORT"]), process)


def fails_to_start(environment: dict[str, str]) -> str:
    """The sentence by which the service says why it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "dicom_listener"], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2, done.stderr
    lines = set(done.stderr.strip().splitlines())
    assert len(lines) == 1, "one sentence, even of several processes"
    return lines.pop()


class FakeKafka:
    """A broker in memory, for publishers in this process."""

    def __init__(self) -> None:
        self.messages: list[OutgoingMessage] = []

    def send(self, message: OutgoingMessage, done: Done) -> None:
        self.messages.append(message)
        done(None)

    def will_never_take(self, error: BaseException) -> bool:
        return False

    def close(self, seconds: float) -> None:
        return
