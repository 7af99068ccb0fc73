"""Measures the whole path on this machine: several scanners at scanner pace, real services, every clock.

Load goes to loopback only, and ends by itself.
"""

import asyncio
import json
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.ids import SiteSecret
from tocsin import scanner
from tocsin.data_directory import DataDirectory
from tocsin.findings_watch import FindingsWatch
from tocsin.node import Addresses, Node
from tocsin.scanner import Destination
from tocsin.synthetic_patients import SyntheticStudy, readable_head, shuffled
from tocsin.webhook_receiver import WebhookReceiver
from triage_models.synthetic.dicom import write_series

CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SETTLE_SECONDS = 120.0
"""After the last slice, for everything to come to its end."""


@dataclass(frozen=True)
class Load:
    """What is sent. ``rate``: slices per second and scanner; each scanner sends one study after the other."""

    scanners: int = 1
    studies_each: int = 2
    slices: int = 32
    thickness_mm: float = 5.0
    rate: float = 10.0
    side: int = 512


@dataclass
class _Run:
    findings: list[FindingProduced] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0


def measure_pipeline(load: Load, say: Callable[[str], None]) -> dict[str, object]:
    """Run the load and return the figures, ready for JSON."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as folder:
        return asyncio.run(_measure(Path(folder), load, say))


async def _measure(folder: Path, load: Load, say: Callable[[str], None]) -> dict[str, object]:
    secret = secrets.token_hex(32)
    receiver = WebhookReceiver(secret)
    recipients = {"recipients": [{"name": "bench", "webhook": {"url": receiver.url, "secret": secret}}]}
    node = Node(
        DataDirectory(folder / "node"),
        Addresses.on_free_ports(),
        say,
        extra={"alerts": {"TOCSIN_ALERTS_RECIPIENTS": json.dumps(recipients)}},
    )
    node.directory.create()
    say(f"Making {load.scanners * load.studies_each} studies")
    site = SiteSecret(node.directory.site_secret.read_bytes())
    queues = await asyncio.to_thread(_make_studies, folder, load, site)
    run = _Run()
    async with node.running():
        watch = await asyncio.to_thread(FindingsWatch, node.addresses.bootstrap_servers, run.findings.append)
        before = {name: _usage(process.pid) for name, process in node.processes.items()}
        started = time.monotonic()
        say(f"{load.scanners} scanners at {load.rate:g} slices per second")
        await _send_all(node, queues, load, run)
        sent_seconds = time.monotonic() - started
        studies = [study for queue in queues for study in queue]
        await _settle(studies, run)
        after = {name: _usage(process.pid) for name, process in node.processes.items()}
        watch.close()
    received = receiver.received
    receiver.close()
    return {
        "load": load.__dict__,
        "machine": {"cores": os.cpu_count()},
        "slices_accepted": run.accepted,
        "slices_refused": run.refused,
        "slices_per_second": round(run.accepted / sent_seconds, 1),
        "seconds_sending": round(sent_seconds, 1),
        "seconds_until_all_final": round(time.monotonic() - started, 1),
        "outcomes": _outcomes(studies, run),
        "clocks_seconds": _clocks(studies, run, received),
        "per_study": _per_study(before, after, len(studies)),
    }


def _make_studies(folder: Path, load: Load, site: SiteSecret) -> list[list[SyntheticStudy]]:
    heads = [
        (label, readable_head(20261 + n, label, slices=load.slices, thickness_mm=load.thickness_mm, side=load.side))
        for n, label in enumerate(("intraparenchymal", "none"))
    ]
    queues = []
    for number in range(load.scanners):
        queue = []
        for turn in range(load.studies_each):
            label, head = heads[(number + turn) % len(heads)]
            place = folder / f"scanner{number}" / f"study{turn}"
            write_series(head, place, uid_salt=f"{number}.{turn}")
            files, _ = scanner.find_files([place])
            key = site.series_key(files[0].study_instance_uid, files[0].series_instance_uid)
            queue.append(SyntheticStudy(label, shuffled(files, turn), key))
        queues.append(queue)
    return queues


async def _send_all(node: Node, queues: Sequence[Sequence[SyntheticStudy]], load: Load, run: _Run) -> None:
    to = Destination(node.addresses.ae_title, node.addresses.dicom_host, node.addresses.dicom_port)

    def scan(number: int, queue: Sequence[SyntheticStudy]) -> list[scanner.Outcome]:
        return [scanner.send(study.files, to, f"BENCH{number}", load.rate) for study in queue]

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(queues)) as scanners:
        done = await asyncio.gather(
            *(loop.run_in_executor(scanners, scan, number, queue) for number, queue in enumerate(queues))
        )
    for outcome in (each for outcomes in done for each in outcomes):
        run.accepted += outcome.accepted
        run.refused += len(outcome.refused)


async def _settle(studies: Sequence[SyntheticStudy], run: _Run) -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    wanted = {study.series_key for study in studies}
    while time.monotonic() < deadline and wanted - _final(run).keys():
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)


def _final(run: _Run) -> dict[str, FindingProduced]:
    return {finding.series_key: finding for finding in run.findings if finding.closed_by is not None}


def _outcomes(studies: Sequence[SyntheticStudy], run: _Run) -> dict[str, int]:
    final = _final(run)
    counts = dict.fromkeys(["no_result", *map(str, Outcome)], 0)
    for study in studies:
        finding = final.get(study.series_key)
        counts[str(finding.outcome) if finding else "no_result"] += 1
    return counts


def _clocks(
    studies: Sequence[SyntheticStudy], run: _Run, received: Sequence[tuple[datetime, dict[str, object]]]
) -> dict[str, dict[str, float]]:
    final = _final(run)
    delivered: dict[object, datetime] = {}
    for at, message in received:
        delivered.setdefault(message.get("series_key"), at)
    first: dict[str, FindingProduced] = {}
    for finding in run.findings:
        first.setdefault(finding.series_key, finding)
    samples: dict[str, list[float]] = {"decisive_slice_to_alert_delivered": [], "last_slice_to_final_result": []}
    for study in studies:
        if study.series_key in final:
            clocks = final[study.series_key].clocks
            samples["last_slice_to_final_result"].append((clocks.produced - clocks.last_slice).total_seconds())
        begun = first.get(study.series_key)
        if begun and begun.clocks.decisive_slice and study.series_key in delivered:
            wait = delivered[study.series_key] - begun.clocks.decisive_slice
            samples["decisive_slice_to_alert_delivered"].append(wait.total_seconds())
    return {name: _percentiles(values) for name, values in samples.items()}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    cuts = statistics.quantiles([*values, values[-1]], n=100, method="inclusive")
    return {"n": len(values), "p50": round(cuts[49], 3), "p95": round(cuts[94], 3), "p99": round(cuts[98], 3)}


def _usage(pid: int | None) -> tuple[float, float]:
    """(CPU seconds, resident MB) of a process, from ``/proc``."""
    if pid is None:
        return 0.0, 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_SECOND, int(fields[21]) * PAGE_BYTES / 1e6


def _per_study(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]], studies: int
) -> dict[str, dict[str, float]]:
    return {
        name: {
            "cpu_seconds": round((after[name][0] - before[name][0]) / studies, 3),
            "resident_mb": round(after[name][1], 1),
        }
        for name in after
    }
