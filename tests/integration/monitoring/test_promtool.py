"""Prometheus's and Alertmanager's own tools judge our files."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import watch_files

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's prometheus is not installed")
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None, reason="Debian's prometheus-alertmanager is not installed"
)
ALERTMANAGER = watch_files.MONITORING / "alertmanager" / "alertmanager.yml"


def output_of(*command: str | Path) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_promtool
def test_the_configuration_and_the_rules_are_valid() -> None:
    output_of("promtool", "check", "config", watch_files.MONITORING / "prometheus" / "prometheus.yml")


@needs_promtool
@pytest.mark.parametrize("file", watch_files.RULE_TESTS, ids=[file.stem for file in watch_files.RULE_TESTS])
def test_each_rule_fires_when_it_must_and_only_then(file: Path) -> None:
    assert "SUCCESS" in output_of("promtool", "test", "rules", file)


@needs_amtool
def test_alertmanagers_configuration_is_valid() -> None:
    output_of("amtool", "check-config", ALERTMANAGER)


@needs_amtool
@pytest.mark.parametrize("rule", watch_files.alerts(), ids=[rule["alert"] for rule in watch_files.alerts()])
def test_each_alert_reaches_who_must_hear_it(rule: dict[str, dict[str, str]]) -> None:
    receiver = {"critical": "pager", "warning": "tickets", "none": "dead-mans-switch"}[rule["labels"]["severity"]]
    labels = [f"alertname={rule['alert']}", *(f"{name}={value}" for name, value in rule["labels"].items())]
    routed = output_of("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels)
    assert routed.strip() == receiver
