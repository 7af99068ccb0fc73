"""Keeps processes running on one machine: starts them, restarts what crashed with back-off, stops them in order.

Children are told by the kernel when we die (``PR_SET_PDEATHSIG``), so that a killed supervisor leaves no orphans that
hold ports and data.
"""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

logger = logging.getLogger(__name__)

FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 5.0
"""The promise of 30 s has to hold for a service that crashes again and again, too."""
STABLE_AFTER_SECONDS = 10.0
"""A process that ran this long has recovered: its next crash is a first one again."""

STOP_TIMEOUT_SECONDS = 20.0
PR_SET_PDEATHSIG = 1
"""``linux/prctl.h``."""

LOG_LIMIT_BYTES = 50 * 1024 * 1024


class ProcessState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True)
class ProcessSpec:
    """What to run. ``log`` receives standard output and standard error."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path


def restart_delay_seconds(crashes_in_a_row: int) -> float:
    """Wait before the restart after the n-th crash in a row (1, 2, …): doubling, bounded."""
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(crashes_in_a_row - 1, 16))


@dataclass
class Supervised:
    """One process that is kept running."""

    spec: ProcessSpec
    state: ProcessState = ProcessState.STARTING
    restarts: int = 0
    last_exit: int | None = None
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _task: "asyncio.Task[None] | None" = field(default=None, repr=False)

    @property
    def pid(self) -> int | None:
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_running(), name=f"supervise {self.spec.name}")

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL for what does not listen."""
        self._stopping.set()
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_SECONDS)
            except TimeoutError:
                logger.warning("%s did not stop in time and is killed", self.spec.name)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._task is not None:
            await self._task
        self.state = ProcessState.STOPPED

    async def _keep_running(self) -> None:
        crashes = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            self.last_exit = await self._run_once()
            if self._stopping.is_set():
                return
            crashes = 1 if time.monotonic() - started > STABLE_AFTER_SECONDS else crashes + 1
            delay = restart_delay_seconds(crashes)
            self.state, self.restarts = ProcessState.RESTARTING, self.restarts + 1
            logger.warning("%s ended with %s; starting it again in %.2f s", self.spec.name, self.last_exit, delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self) -> int:
        _rotate(self.spec.log)
        with self.spec.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.environment),
                start_new_session=True,  # Ctrl-C is ours to handle: children are stopped in order
                preexec_fn=partial(_die_with_parent, os.getpid()),
            )
        self.state = ProcessState.RUNNING
        return await self._process.wait()


def _rotate(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(log.suffix + ".1"))


_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent(parent: int) -> None:
    """Runs in the child between fork and exec."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before prctl took effect
        os._exit(1)
