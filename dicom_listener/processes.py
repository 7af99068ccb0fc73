"""Several listeners on one port (:mod:`dicom_listener.shared_port`).

The first process only watches: it opens the port, starts the others, starts one again that died, and passes the signal
to stop on.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from dicom_listener.errors import CannotStart
from dicom_listener.shared_port import VARIABLE as PORT_VARIABLE
from dicom_listener.shared_port import SharedPort

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
        port: which they share.
        environment: of each, to which its number and its share are added.
        cannot_start: exit status by which a worker says that it never will.
        stop_seconds: that a worker may take to stop.
    """

    def __init__(
        self, port: SharedPort, environment: Mapping[str, str], cannot_start: int, stop_seconds: float
    ) -> None:
        self._port, self._environment = port, {**environment, PORT_VARIABLE: port.variable}
        self._cannot_start, self._stop_seconds = cannot_start, stop_seconds
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def run(self, asked_to_stop: threading.Event) -> int:
        """Until asked to stop; the exit status."""
        for number in range(self._port.processes):
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
        self._processes[number] = subprocess.Popen(
            [sys.executable, "-m", "dicom_listener"], env=environment, pass_fds=self._port.descriptors
        )

    def _stop(self) -> int:
        self._port.close()
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
