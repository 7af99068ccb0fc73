"""A real Prometheus with our rules, on targets of a test.

It uses the files under monitoring/prometheus as they are, with three changes: the targets are the test's and may come
and go, everything is looked at every two seconds, and every ``for:`` is cut to 4 s, so that what takes minutes in a
hospital takes seconds here.
"""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import watch_files
from tests.support.node import until
from tocsin.ports import free_ports

LONGEST_FOR_SECONDS = 4
SCRAPE_SECONDS = 2
"""Also the time limit of a scrape: a busy machine is no dead service."""
READY_TIMEOUT_SECONDS = 60.0


def is_installed() -> bool:
    return shutil.which("prometheus") is not None


@dataclass
class Prometheus:
    """A running server."""

    process: subprocess.Popen[bytes]
    url: str
    folder: Path

    @classmethod
    def start(cls, folder: Path, targets: Mapping[str, list[str]]) -> "Prometheus":
        """``targets``: addresses by job."""
        folder.mkdir()
        _write_configuration(folder)
        for job in targets:
            _write_targets(folder, job, targets[job])
        (port,) = free_ports(1)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=log,
                stderr=log,
            )
        started = cls(process, f"http://127.0.0.1:{port}", folder)
        until(started._is_ready, READY_TIMEOUT_SECONDS, "Prometheus's start")
        return started

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"Prometheus ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def watch(self, job: str, addresses: list[str]) -> None:
        """Look at these from now on, as when a service is found or is no longer there."""
        _write_targets(self.folder, job, addresses)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def api(self, path: str, **parameters: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=20) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query.

        Raises:
            HTTPError: Prometheus does not understand the query.
        """
        data = self.api("query", query=expression)
        assert data["resultType"] == "vector", expression
        return list(data["result"])

    def value(self, expression: str) -> float | None:
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def history(self, expression: str, seconds: float, step: float = 1.0) -> list[dict[str, Any]]:
        """The series of a range query that ends now."""
        now = time.time()
        data = self.api("query_range", query=expression, start=str(now - seconds), end=str(now), step=str(step))
        return list(data["result"])

    def firing(self) -> set[str]:
        """Names of the alerts that fire, the watchdog left out."""
        alerts = self.api("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"} - {"TocsinWatchdog"}

    def alert(self, name: str) -> dict[str, Any]:
        return next(a for a in self.api("alerts")["alerts"] if a["labels"]["alertname"] == name)

    def broken_rules(self) -> dict[str, str]:
        """The last error of each rule that could not be evaluated."""
        rules = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule.get("lastError", "") for rule in rules if rule["health"] == "err"}

    def evaluated(self) -> bool:
        """Has every rule been evaluated at least once?"""
        rules = [rule for group in self.api("rules")["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in rules)


def _write_targets(folder: Path, job: str, addresses: list[str]) -> None:
    """Prometheus sees a file that is put in place at once."""
    new = folder / f"{job}.new"
    new.write_text(json.dumps([{"targets": addresses}]))
    new.rename(folder / f"{job}.targets.json")


def _write_configuration(folder: Path) -> None:
    document = yaml.safe_load((watch_files.MONITORING / "prometheus" / "prometheus.yml").read_text())
    every = f"{SCRAPE_SECONDS}s"
    document["global"] |= {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    document["rule_files"] = [str(folder / "rules" / "*.yml")]
    document.pop("alerting")
    for job in document["scrape_configs"]:
        del job["dns_sd_configs"]
        job["file_sd_configs"] = [{"files": [str(folder / f"{job['job_name']}.targets.json")]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
    (folder / "rules").mkdir()
    for file in watch_files.RULES:
        (folder / "rules" / file.name).write_text(yaml.safe_dump(_hastened(yaml.safe_load(file.read_text()))))


def _hastened(document: dict[str, Any]) -> dict[str, Any]:
    for group in document["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = f"{LONGEST_FOR_SECONDS}s"
    return document
