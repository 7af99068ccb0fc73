"""Several listeners on one port: the kernel spreads the connections over them (SO_REUSEPORT, Linux 3.9).

The first process only watches: it starts the others, starts one again that died, and passes the signal to stop on.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from dicom_listener.errors import CannotStart

journal = logging.getLogger(__name__)

WORKER_VARIABLE = "TOCSIN_LISTENER_WORKER"
WATCHER_VARIABLE = "TOCSIN_LISTENER_WATCHER"
"""Its value is the process id of the watcher."""
RESTART_SECONDS = 1.0
WATCH_SECONDS = 0.2
KILL_GRACE_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
"""Linux ``prctl``: the signal that a process gets when its parent dies."""


class Workers:
    """The listening processes.

    Args:
        count: how many.
        environment: of each, to which its number is added.
        cannot_start: exit status by which a worker says that it never will.
        stop_seconds: that a worker may take to stop.
    """

    def __init__(self, count: int, environment: Mapping[str, str], cannot_start: int, stop_seconds: float) -> None:
        self._count, self._environment = count, environment
        self._cannot_start, self._stop_seconds = cannot_start, stop_seconds
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def run(self, asked_to_stop: threading.Event) -> int:
        """Until asked to stop; the exit status."""
        for number in range(self._count):
            self._start(number)
        while not asked_to_stop.wait(WATCH_SECONDS):
            for number, process in self._processes.items():
                status = process.poll()
                if status == self._cannot_start:
                    self._stop()
                    return status
                if status is not None:
                    journal.error("a listening process ended and is started again", extra={"status": status})
                    time.sleep(RESTART_SECONDS)
                    self._start(number)
        return self._stop()

    def _start(self, number: int) -> None:
        environment = {**self._environment, WORKER_VARIABLE: str(number)}
        self._processes[number] = subprocess.Popen([sys.executable, "-m", "dicom_listener"], env=environment)

    def _stop(self) -> int:
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self._stop_seconds + KILL_GRACE_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                journal.error("a listening process did not stop and is killed")
                process.kill()
                process.wait()
        return 0


def stop_when_parent_dies(parent: int) -> None:
    """In a worker: a watcher that is killed must not leave listeners behind that nobody watches."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise CannotStart("the process that watches the listeners has ended")


def assert_port_is_free(host: str, port: int) -> None:
    """Shared ports can be bound twice: ask before sharing it whether somebody else has it.

    Raises:
        CannotStart: taken, or 0, which each process would understand as another port.
    """
    if port == 0:
        raise CannotStart("several processes need a port that is named: set TOCSIN_LISTENER_PORT")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotStart(f"the DICOM port {host}:{port} cannot be opened: {error.strerror}") from error
