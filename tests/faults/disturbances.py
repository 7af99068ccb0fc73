"""What does not kill a service: bad networks, processes that stand still, full disks. Played while a study is sent.

Each has a beginning, a duration and an end, all within the study's transfer or shortly after it; the promise is
the same as for a crash. A disturbance says whether it has really disturbed anything: a row that did not proves nothing.
"""

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.faults.matrix import Row, acknowledged, deliver, fault_environment, outcome
from tests.faults.proxy import Condition, FaultProxy
from tests.support.node import UpNode
from tests.support.patients import Patients
from tocsin.ports import free_run
from tocsin.scanner import DicomFile

BEGIN_AFTER_SECONDS = 0.8
"""In the middle of the study."""
SPOOL_MB, KAFKA_MB = 64, 320
BALLAST = "ballast"


@dataclass
class Hospital:
    """A node with everything around it that can be disturbed."""

    node: UpNode
    faults: Path
    scanner_network: FaultProxy
    kafka_network: FaultProxy
    small_disks: dict[str, Path] = field(default_factory=dict)

    def deliver(self, files: list[DicomFile]) -> None:
        deliver(self.node, files, port=self.scanner_network.port)


class Disturbance(Protocol):
    """Begins and ends; ``begin`` returns a function that tells whether anything was met by it."""

    seconds: float

    def begin(self, hospital: Hospital) -> Callable[[], bool]: ...

    def end(self, hospital: Hospital) -> None: ...


@dataclass(frozen=True)
class BadNetwork:
    """Between ``scanner`` or ``kafka`` and its clients."""

    where: str
    condition: Condition
    seconds: float = 4.0

    def __str__(self) -> str:
        return f"network of {self.where}: {self.condition}"

    def _proxy(self, hospital: Hospital) -> FaultProxy:
        return hospital.scanner_network if self.where == "scanner" else hospital.kafka_network

    def begin(self, hospital: Hospital) -> Callable[[], bool]:
        proxy = self._proxy(hospital)
        before = proxy.touched
        proxy.become(self.condition)
        return lambda: proxy.touched > before

    def end(self, hospital: Hospital) -> None:
        self._proxy(hospital).become(Condition.GOOD)


@dataclass(frozen=True)
class StandsStill:
    """SIGSTOP, and SIGCONT later: a process that is swapped out, or a virtual machine that is moved."""

    service: str
    seconds: float = 8.0

    def __str__(self) -> str:
        return f"{self.service}: SIGSTOP for {self.seconds:g} s"

    def begin(self, hospital: Hospital) -> Callable[[], bool]:
        pid = hospital.node.running.pids[self.service]
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        return lambda: _state(pid) == "T"

    def end(self, hospital: Hospital) -> None:
        pid = hospital.node.running.pids[self.service]
        if pid is not None:
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    """Of a process, in one letter (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@dataclass(frozen=True)
class DiskFull:
    """Somebody else's file takes all the room on the disk of ``spool`` or ``kafka`` (its topics, and with them the
    streams' tables)."""

    disk: str
    seconds: float = 4.0

    def __str__(self) -> str:
        return f"disk of {self.disk}: full"

    def begin(self, hospital: Hospital) -> Callable[[], bool]:
        place = hospital.small_disks[self.disk]
        fill(place)
        full = shutil.disk_usage(place).free < 1 << 16
        return lambda: full

    def end(self, hospital: Hospital) -> None:
        (hospital.small_disks[self.disk] / BALLAST).unlink()


def fill(disk: Path) -> None:
    """Until nothing more goes onto it."""
    with (disk / BALLAST).open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def full_disk(disk: Path) -> Iterator[None]:
    fill(disk)
    try:
        yield
    finally:
        (disk / BALLAST).unlink()


DISTURBANCES: tuple[Disturbance, ...] = (
    *(BadNetwork("scanner", condition) for condition in Condition if condition is not Condition.GOOD),
    *(
        BadNetwork("kafka", condition)
        for condition in (Condition.LATENCY, Condition.ONE_BYTE_WRITES, Condition.DROP, Condition.RESET)
    ),
    *(StandsStill(service) for service in ("listener", "streams", "alerts", "kafka")),
    DiskFull("spool"),
    DiskFull("kafka"),
)

SHORT_DISTURBANCES: tuple[Disturbance, ...] = (
    BadNetwork("scanner", Condition.RESET, 2.0),
    BadNetwork("kafka", Condition.RESET, 2.0),
    DiskFull("spool", 2.0),
)


def possible(disturbance: Disturbance, hospital: Hospital) -> bool:
    """Small disks are mounted, which takes root."""
    return not isinstance(disturbance, DiskFull) or disturbance.disk in hospital.small_disks


@contextmanager
def hospital(folder: Path, *, small_kafka: bool = True) -> Iterator[Hospital]:
    """A node whose networks run through proxies and whose disks are small where that is permitted."""
    root, faults = folder / "node", folder / "faults"
    for each in (root, faults):
        each.mkdir()
    sizes = {"spool": SPOOL_MB, **({"kafka": KAFKA_MB} if small_kafka else {})}
    with ExitStack() as stack:
        disks = {}
        for name, megabytes in sizes.items():
            if mounted(root / name, megabytes):
                disks[name] = root / name
                stack.callback(unmount, root / name)
        first = free_run(7)
        scanner_network = stack.enter_context(FaultProxy(first))
        kafka_network = stack.enter_context(FaultProxy(first + 2))
        environment = {**fault_environment(faults), "FAULT_KAFKA_PORT": str(kafka_network.port)}
        node = UpNode.start(root, environment, first)
        stack.callback(node.stop)
        yield Hospital(node, faults, scanner_network, kafka_network, disks)


def mounted(place: Path, megabytes: int) -> bool:
    place.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], check=False)


def disturb(hospital: Hospital, patients: Patients, disturbance: Disturbance) -> Row:
    """Send a bleeding study, disturb it in the middle, and look at everything afterwards."""
    files = patients.admit(bleeding=True)
    study = acknowledged(hospital.node, files)
    with ThreadPoolExecutor(1) as scanner:
        scanning = scanner.submit(hospital.deliver, files)
        time.sleep(BEGIN_AFTER_SECONDS)
        met = disturbance.begin(hospital)
        try:
            time.sleep(disturbance.seconds)
            fired = met()
        finally:
            disturbance.end(hospital)
        scanning.result()
    return outcome(hospital.node, study, str(disturbance), lambda: fired)
