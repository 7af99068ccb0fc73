"""``tocsin selftest``: every way in which scanners send, against the running node."""

import subprocess
import sys

from tests.support.node import UpNode
from tocsin.selftest import SCENARIOS


def test_every_scenario_passes(node: UpNode) -> None:
    command = [sys.executable, "-m", "tocsin", "selftest", "--data-dir", str(node.directory.root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") == len(SCENARIOS)
