"""Processes are kept running, and stopped when asked."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tocsin.supervisor import LONGEST_DELAY_SECONDS, ProcessSpec, ProcessState, Supervised, restart_delay_seconds

SLEEP = "import time; time.sleep(60)"


def spec(folder: Path, code: str) -> ProcessSpec:
    return ProcessSpec("child", [sys.executable, "-c", code], os.environ, folder / "child.log")


async def until(condition: object, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def test_delays_double_and_are_bounded() -> None:
    delays = [restart_delay_seconds(n) for n in range(1, 30)]
    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert max(delays) == LONGEST_DELAY_SECONDS


def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Supervised(spec(tmp_path, SLEEP))
        child.start()
        await until(lambda: child.pid)
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid not in (None, first))
        assert child.restarts == 1
        assert child.last_exit == -signal.SIGKILL
        await child.stop()
        assert child.state is ProcessState.STOPPED
        assert child.pid is None

    asyncio.run(scenario())


def test_a_process_that_cannot_live_is_tried_again_with_patience(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Supervised(spec(tmp_path, "raise SystemExit(3)"))
        child.start()
        await until(lambda: child.restarts >= 2)
        await child.stop()
        assert child.last_exit == 3

    asyncio.run(scenario())


def test_stopping_while_waiting_for_a_restart_is_quick(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = Supervised(spec(tmp_path, "raise SystemExit(3)"))
        child.start()
        await until(lambda: child.restarts >= 3)
        async with asyncio.timeout(0.5):
            await child.stop()

    asyncio.run(scenario())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux's")
def test_children_die_with_their_supervisor(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from tocsin.supervisor import ProcessSpec, Supervised\n"
        "async def main():\n"
        f"    child = Supervised(ProcessSpec('c', [sys.executable, '-c', {SLEEP!r}], os.environ, Path(sys.argv[1])))\n"
        "    child.start()\n"
        "    while not child.pid: await asyncio.sleep(0.01)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )

    async def scenario() -> None:
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(tmp_path / "log"), stdout=asyncio.subprocess.PIPE
        )
        output, _ = await parent.communicate()
        child = int(output)
        await until(lambda: not _alive(child))

    asyncio.run(scenario())


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
