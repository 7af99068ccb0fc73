"""Measures the whole path on this machine: several scanners at scanner pace, real services, every clock.

Load goes to loopback only, and ends by itself. What is sent is compared with what was read, slice by slice in number:
a figure of a run that lost something is worth nothing.
"""

import asyncio
import json
import math
import os
import random
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.ids import SiteSecret
from tocsin import scanner
from tocsin.data_directory import DataDirectory
from tocsin.errors import ScannerFailed
from tocsin.findings_watch import FindingsWatch
from tocsin.load_watch import LoadWatch
from tocsin.node import Addresses, Node
from tocsin.scanner import Destination, DicomFile
from tocsin.synthetic_patients import readable_head
from tocsin.webhook_receiver import WebhookReceiver
from triage_models.synthetic.dicom import write_series

LABELS = ("intraparenchymal", "none")
"""Of the studies, by turns."""
GENERATED_SLICES = 32
"""Longer series are made of thinner slices between these."""
SETTLE_SECONDS = 120.0
"""Without any further result, after the last slice, the run is given up."""
SCANNER_PATIENCE_SECONDS = 120.0
"""A scanner that is not served tries again for so long."""


@dataclass(frozen=True)
class Load:
    """What is sent.

    Attributes:
        studies_each: per scanner, one after the other.
        seconds: if not 0, each scanner begins studies until so much time has passed, however many they become.
        slices: of a study; they cover 160 mm.
        rate: slices per second and scanner.
        workers, listeners: processes of ours.
    """

    scanners: int = 1
    studies_each: int = 2
    seconds: float = 0.0
    slices: int = 32
    rate: float = 10.0
    side: int = 512
    workers: int = 1
    listeners: int = 1

    @property
    def parts(self) -> int:
        """Into so many slices each generated one is divided."""
        return math.ceil(self.slices / GENERATED_SLICES)

    @property
    def thickness_mm(self) -> float:
        return round(5.0 / self.parts, 3)


@dataclass(frozen=True)
class SentStudy:
    """A study that a scanner has sent."""

    label: str
    study_key: str
    series_key: str
    accepted: int
    refused: int


@dataclass
class _Run:
    findings: list[FindingProduced] = field(default_factory=list)
    sent: list[SentStudy] = field(default_factory=list)


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
        Addresses.on_free_ports(load.workers, load.listeners),
        say,
        extra={"alerts": {"TOCSIN_ALERTS_RECIPIENTS": json.dumps(recipients)}},
    )
    node.directory.create()
    site = SiteSecret(node.directory.site_secret.read_bytes())
    say(f"Making heads of {load.slices} slices")
    heads = await asyncio.to_thread(_make_heads, folder, load)
    run = _Run()
    async with node.running():
        findings = await asyncio.to_thread(FindingsWatch, node.addresses.bootstrap_servers, run.findings.append)
        watch = LoadWatch(node)
        watch.start()
        started = time.monotonic()
        say(f"{load.scanners} scanners at {load.rate:g} slices per second")
        await _send_all(node, heads, site, load, run)
        sent_seconds = time.monotonic() - started
        say(f"Sent within {sent_seconds:.0f} s; waiting for the results")
        await _settle(run)
        final_seconds = time.monotonic() - started
        observed = watch.stop()
        findings.close()
    received = receiver.received
    receiver.close()
    accepted = sum(study.accepted for study in run.sent)
    return {
        "load": {**asdict(load), "thickness_mm": load.thickness_mm},
        "machine": {"cores": os.cpu_count(), "load_average_before": observed.load_average},
        "studies": len(run.sent),
        "slices_accepted": accepted,
        "slices_refused": sum(study.refused for study in run.sent),
        "slices_lost": _lost(run),
        "slices_per_second": round(accepted / sent_seconds, 1),
        "seconds_sending": round(sent_seconds, 1),
        "seconds_until_all_final": round(final_seconds, 1),
        "slices_per_second_until_all_final": round(accepted / final_seconds, 1),
        "outcomes": _outcomes(run),
        "series_ever_failed": len({f.series_key for f in run.findings if f.outcome is Outcome.FAILED}),
        "clocks_seconds": _clocks(run, received),
        "backlog": observed.backlog,
        "per_study": observed.per(len(run.sent)),
        "cpu_milliseconds_per_slice": observed.milliseconds_per(accepted),
    }


# -- what is sent ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Head:
    """A synthetic head as data sets in memory; each study sends it under UIDs of its own."""

    label: str
    slices: tuple[Dataset, ...]

    def study(self) -> tuple[DicomFile, ...]:
        study, series = generate_uid(), generate_uid()
        return tuple(_renamed(data_set, study, series) for data_set in self.slices)


def _renamed(data_set: Dataset, study: str, series: str) -> DicomFile:
    renamed = _changed(data_set, StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=generate_uid())
    meta = data_set.file_meta
    syntax = str(meta.TransferSyntaxUID)
    return DicomFile(Path(), str(meta.MediaStorageSOPClassUID), syntax, study, series, data_set=renamed)


def _changed(data_set: Dataset, **values: object) -> Dataset:
    """A shallow copy with other values; what is not changed, pixels above all, is shared.

    Elements are replaced: setting the value of one that two data sets share would change both.
    """
    copy = Dataset()
    copy.update(data_set)
    copy.file_meta = data_set.file_meta
    for keyword, value in values.items():
        delattr(copy, keyword)
        setattr(copy, keyword, value)
    return copy


def _make_heads(folder: Path, load: Load) -> list[Head]:
    made = []
    for number, label in enumerate(LABELS):
        head = readable_head(20261 + number, label, slices=math.ceil(load.slices / load.parts), side=load.side)
        place = folder / f"head{number}"
        write_series(head, place)
        thick = [dcmread(file.path) for file in scanner.find_files([place])[0]]
        thin = [part for data_set in thick for part in _thinned(data_set, load.parts)][: load.slices]
        made.append(Head(label, tuple(random.Random(number).sample(thin, len(thin)))))  # noqa: S311 - an order
    return made


def _thinned(data_set: Dataset, parts: int) -> list[Dataset]:
    """One slice as several thinner ones side by side, each with its voxels."""
    if parts == 1:
        return [data_set]
    orientation = [float(each) for each in data_set.ImageOrientationPatient]
    normal = np.cross(orientation[:3], orientation[3:])
    origin, thickness = np.array(data_set.ImagePositionPatient, float), float(data_set.SliceThickness) / parts
    places = [origin + normal * thickness * (part + 0.5 - parts / 2) for part in range(parts)]
    return [
        _changed(
            data_set,
            ImagePositionPatient=[round(float(each), 4) for each in place],
            SliceThickness=round(thickness, 4),
        )
        for place in places
    ]


async def _send_all(node: Node, heads: Sequence[Head], site: SiteSecret, load: Load, run: _Run) -> None:
    to = Destination(node.addresses.ae_title, node.addresses.dicom_host, node.addresses.dicom_port)
    until = time.monotonic() + load.seconds

    def turns() -> Iterator[int]:
        return iter(count()) if load.seconds else iter(range(load.studies_each))

    def scan(number: int) -> None:
        for turn in turns():
            if load.seconds and time.monotonic() >= until:
                return
            head = heads[(number + turn) % len(heads)]
            run.sent.append(_send(head, to, f"BENCH{number}", load.rate, site))

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(load.scanners) as scanners:
        await asyncio.gather(*(loop.run_in_executor(scanners, scan, number) for number in range(load.scanners)))


def _send(head: Head, to: Destination, calling_ae: str, rate: float, site: SiteSecret) -> SentStudy:
    """Send a study as a scanner does: what was refused, or broke off, is sent again."""
    files = head.study()
    first = files[0]
    study_key = site.study_key(first.study_instance_uid)
    series_key = site.series_key(first.study_instance_uid, first.series_instance_uid)
    refused, deadline = 0, time.monotonic() + SCANNER_PATIENCE_SECONDS
    waiting = list(files)
    while waiting and time.monotonic() < deadline:
        accepted: set[str] = set()

        def heard(file: DicomFile, status: int, accepted: set[str] = accepted) -> None:
            if status == scanner.SUCCESS and file.data_set is not None:
                accepted.add(file.data_set.SOPInstanceUID)

        try:
            outcome = scanner.send(waiting, to, calling_ae, rate, heard)
            refused += len(outcome.refused)
        except ScannerFailed:
            time.sleep(1)
        waiting = [file for file in waiting if file.data_set and file.data_set.SOPInstanceUID not in accepted]
    return SentStudy(head.label, study_key, series_key, len(files) - len(waiting), refused)


async def _settle(run: _Run) -> None:
    wanted = {study.series_key for study in run.sent}
    seen, patience = -1, time.monotonic() + SETTLE_SECONDS
    while wanted - _final(run).keys() and time.monotonic() < patience:
        if len(run.findings) != seen:
            seen, patience = len(run.findings), time.monotonic() + SETTLE_SECONDS
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)


# -- what came of it ---------------------------------------------------------------------------------------------


def _final(run: _Run) -> dict[str, FindingProduced]:
    return {finding.series_key: finding for finding in list(run.findings) if finding.closed_by is not None}


def _lost(run: _Run) -> int:
    """Slices that a scanner was told were stored, and that are in no result."""
    taken_in = {key: finding.coverage.slices_accepted for key, finding in _final(run).items()}
    return sum(max(0, study.accepted - taken_in.get(study.series_key, 0)) for study in run.sent)


def _outcomes(run: _Run) -> dict[str, int]:
    final = _final(run)
    counts = dict.fromkeys(["no_result", *map(str, Outcome)], 0)
    for study in run.sent:
        finding = final.get(study.series_key)
        counts[str(finding.outcome) if finding else "no_result"] += 1
    return counts


def _clocks(run: _Run, received: Sequence[tuple[datetime, dict[str, object]]]) -> dict[str, dict[str, float | int]]:
    final = _final(run)
    delivered: dict[object, datetime] = {}
    for at, message in received:
        delivered.setdefault(message.get("series_key"), at)
    first: dict[str, FindingProduced] = {}
    for finding in run.findings:
        first.setdefault(finding.series_key, finding)
    samples: dict[str, list[float]] = {
        "decisive_slice_to_finding": [],
        "decisive_slice_to_alert_delivered": [],
        "last_slice_to_final_result": [],
        "first_slice_to_final_result": [],
    }
    for key, finding in final.items():
        clocks = finding.clocks
        samples["last_slice_to_final_result"].append((clocks.produced - clocks.last_slice).total_seconds())
        samples["first_slice_to_final_result"].append((clocks.produced - clocks.first_slice).total_seconds())
        begun = first[key].clocks
        if begun.decisive_slice is not None:
            samples["decisive_slice_to_finding"].append((begun.produced - begun.decisive_slice).total_seconds())
            if key in delivered:
                wait = delivered[key] - begun.decisive_slice
                samples["decisive_slice_to_alert_delivered"].append(wait.total_seconds())
    return {name: percentiles(values) for name, values in samples.items()}


def percentiles(values: Sequence[float]) -> dict[str, float | int]:
    if not values:
        return {"n": 0}
    cuts = statistics.quantiles([*values, values[-1]], n=100, method="inclusive")
    return {"n": len(values), "p50": round(cuts[49], 3), "p95": round(cuts[94], 3), "p99": round(cuts[98], 3)}
