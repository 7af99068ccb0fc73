"""``tocsin demo``: the main job, on real parts, in front of your eyes."""

import asyncio
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.ids import SiteSecret
from tocsin import scanner, synthetic_patients
from tocsin.commands.up import directory_of, say, show_log, stop_signal, table_of
from tocsin.console import err, out
from tocsin.findings_watch import FindingsWatch
from tocsin.node import Addresses, Node, with_environment
from tocsin.ops_view import ops_table
from tocsin.samples import samples_at
from tocsin.scanner import Destination
from tocsin.synthetic_patients import SyntheticStudy
from tocsin.webhook_receiver import WebhookReceiver

RATE_PER_SECOND = 10.0
"""Slices per second and scanner: what a CT's reconstruction delivers."""

SLICES = 32
PATIENCE_SECONDS = 120.0
"""After the last slice; then the demonstration has failed."""

NO_ALERT_SECONDS = 3.0
"""How long the clean study is watched for an alert that should not come."""


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="stop by itself; exit status 0 only if all went well")] = False,
    report: Annotated[Path | None, typer.Option(help="write the figures to this file, as JSON")] = None,
    bleed: Annotated[str, typer.Option(help="the bleeding patient's hemorrhage")] = "intraparenchymal",
    seed: Annotated[int, typer.Option(help="another seed, other patients", min=0)] = 20261,
    data_dir: Annotated[Path | None, typer.Option(help="a directory to keep; a fresh one is used and removed")] = None,
) -> None:
    """Start everything, send a bleeding and a clean synthetic head CT, and watch the alert arrive."""
    show_log()
    folder = data_dir or Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    try:
        passed = asyncio.run(_Demo(folder, bleed, seed, report).run(exit_))
    finally:
        if data_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    if exit_ and not passed:
        raise typer.Exit(1)


@dataclass
class _Demo:
    folder: Path
    bleed: str
    seed: int
    report: Path | None
    started: float = field(default_factory=time.monotonic)
    findings: list[FindingProduced] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    async def run(self, exit_: bool) -> bool:
        secret = secrets.token_hex(32)
        receiver = WebhookReceiver(secret)
        recipients = {"recipients": [{"name": "demo doctor", "webhook": {"url": receiver.url, "secret": secret}}]}
        addresses = with_environment(Addresses.on_free_ports())
        node = Node(
            directory_of(self.folder),
            addresses,
            say,
            extra={"alerts": {"TOCSIN_ALERTS_RECIPIENTS": json.dumps(recipients)}},
        )
        node.directory.create()
        # before anything is started: a fork while another thread computes can leave OpenBLAS waiting for ever
        say("Making two heads")
        studies = self._make_studies(node)
        try:
            async with node.running():
                out.print(table_of(node))
                stop = stop_signal()
                watch = await asyncio.to_thread(FindingsWatch, addresses.bootstrap_servers, self._found)
                passed = await self._play(node, studies, receiver)
                watch.close()
                out.print(f"The page: {addresses.page_url}")
                if not exit_ and not stop.is_set():
                    out.print("Ctrl-C stops it.")
                    await stop.wait()
        finally:
            receiver.close()
        return passed

    # The story

    def _make_studies(self, node: Node) -> list[SyntheticStudy]:
        secret = SiteSecret(node.directory.site_secret.read_bytes())
        studies = []
        for number, label in enumerate((self.bleed, "none")):
            folder = self.folder / "studies" / label
            studies.append(synthetic_patients.make(label, self.seed + number, SLICES, folder, secret))
        return studies

    async def _play(self, node: Node, studies: list[SyntheticStudy], receiver: WebhookReceiver) -> bool:
        self.names = {study.series_key: _name(study) for study in studies}
        self.tell(f"two scanners send {SLICES} slices each, out of order, {RATE_PER_SECOND:g} per second")
        to = Destination(node.addresses.ae_title, node.addresses.dicom_host, node.addresses.dicom_port)
        following = asyncio.create_task(self._follow(receiver))
        with ThreadPoolExecutor(len(studies)) as scanners:
            loop = asyncio.get_running_loop()
            sending = [
                loop.run_in_executor(scanners, self._scan, study, to, f"CT_{n}") for n, study in enumerate(studies, 1)
            ]
            outcomes = await asyncio.gather(*sending)
            self.tell("the last slice of both is accepted")
            await self._until_settled(studies, receiver)
            following.cancel()
        results = [self._result(s, o, receiver) for s, o in zip(studies, outcomes, strict=True)]
        document = {"passed": all(r["passed"] for r in results), "studies": results}
        self._show(results)
        out.print(ops_table(await asyncio.to_thread(samples_at, node.addresses.metrics_ports().values())))
        if self.report is not None:
            self.report.write_text(json.dumps(document, indent=1) + "\n")
        return bool(document["passed"])

    def _scan(self, study: SyntheticStudy, to: Destination, calling: str) -> scanner.Outcome:
        outcome = scanner.send(study.files, to, calling, RATE_PER_SECOND)
        for path, status in outcome.refused:
            self.tell(f"{path.name} was refused with status 0x{status:04X}")
        return outcome

    def _found(self, finding: FindingProduced) -> None:
        self.findings.append(finding)
        name = self.names.get(finding.series_key, finding.series_key[:8])
        read, of = finding.coverage.slices_read, SLICES
        score = f", score {finding.score:.2f}" if finding.score is not None else ""
        self.tell(f"{name}: {finding.status} {finding.outcome} after {read} of {of} slices{score}")

    async def _until_settled(self, studies: Iterable[SyntheticStudy], receiver: WebhookReceiver) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            final = all(self._final(study) for study in studies)
            alerted = all(self._delivered(s, receiver) or s.label == "none" for s in studies)
            if final and alerted:
                await asyncio.sleep(NO_ALERT_SECONDS)
                return
            await asyncio.sleep(0.05)
        self.tell("patience is at its end")

    async def _follow(self, receiver: WebhookReceiver) -> None:
        """Tell what reaches the doctor, as it does."""
        told: set[str] = set()
        while True:
            for _, message in receiver.received:
                if message["notice_id"] not in told:
                    told.add(message["notice_id"])
                    self.tell(f"the doctor's webhook was told: {message['headline']}")
            await asyncio.sleep(0.05)

    # The figures

    def _final(self, study: SyntheticStudy) -> FindingProduced | None:
        ended = [f for f in self.findings if f.series_key == study.series_key and f.closed_by is not None]
        return ended[-1] if ended else None

    def _delivered(self, study: SyntheticStudy, receiver: WebhookReceiver) -> datetime | None:
        times = [
            at
            for at, message in receiver.received
            if message.get("series_key") == study.series_key and message["purpose"] == "alarm"
        ]
        return min(times, default=None)

    def _result(self, study: SyntheticStudy, sent: scanner.Outcome, receiver: WebhookReceiver) -> dict[str, Any]:
        final, delivered = self._final(study), self._delivered(study, receiver)
        outcome = final.outcome if final else None
        bleeds = study.label != "none"
        right = outcome is (Outcome.POSITIVE if bleeds else Outcome.NEGATIVE) and (delivered is not None) == bleeds
        return {
            "label": study.label,
            "verdict": outcome or "no result",
            "reason": list(final.reasons) if final else [],
            "passed": right and sent.accepted == len(study.files),
            "alerted": delivered is not None,
            "slices": {
                "sent": sent.sent,
                "received": final.coverage.slices_accepted if final else 0,
                "read": final.coverage.slices_read if final else 0,
            },
            "score": final.score if final else None,
            "seconds": self._seconds(study, final, delivered),
        }

    def _seconds(
        self, study: SyntheticStudy, final: FindingProduced | None, delivered: datetime | None
    ) -> dict[str, float | None]:
        if final is None:
            return {}
        clocks = next((f.clocks for f in self.findings if f.series_key == study.series_key), final.clocks)
        decisive, last = clocks.decisive_slice, final.clocks.last_slice
        return {
            "first_slice_to_last_slice": _between(final.clocks.first_slice, last),
            "first_slice_to_decisive_slice": _between(clocks.first_slice, decisive),
            "decisive_slice_to_alert_delivered": _between(decisive, delivered),
            "last_slice_to_alert_delivered": _between(last, delivered),
            "last_slice_to_final_result": _between(last, final.clocks.produced),
        }

    def _show(self, results: list[dict[str, Any]]) -> None:
        for result in results:
            mark = "[green]as it should be[/green]" if result["passed"] else "[red]NOT as it should be[/red]"
            alerted = "alerted" if result["alerted"] else "not alerted"
            out.print(f"{result['label']}: {result['verdict']}, {alerted}, {mark}")
            for clock, seconds in result["seconds"].items():
                if seconds is not None:
                    out.print(f"    {clock}: {seconds:.2f} s")

    def tell(self, text: str) -> None:
        err.print(f"[dim]{datetime.now(UTC):%H:%M:%S} +{time.monotonic() - self.started:5.1f} s[/dim]  {text}")


def _name(study: SyntheticStudy) -> str:
    return "the clean study" if study.label == "none" else f"the {study.label} study"


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None
