"""``tocsin model use`` on a running node: no study is lost, each is read by one model and says by which."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.topics import FINDINGS
from tests.support.node import UpNode, until
from tests.support.patients import Patients
from tocsin.samples import samples_at
from tocsin.scanner import DicomFile
from triage_models.manifest import load_manifest, save_manifest
from triage_models.reader import SHIPPED

SLICES_PER_SECOND = 5.0


def tocsin_model(node: UpNode, *arguments: str) -> None:
    store = str(node.directory.models)
    subprocess.run([sys.executable, "-m", "tocsin", "model", *arguments, "--store", store], check=True, timeout=120)


def a_model_of_the_site(folder: Path) -> Path:
    shutil.copytree(SHIPPED, folder)
    save_manifest(folder, load_manifest(folder).model_copy(update={"name": "site", "version": "1"}))
    return folder


def changes(node: UpNode, outcome: str) -> float:
    seen = samples_at([node.running.addresses.metrics_ports()["streams"]])
    return seen.total("tocsin_streams_model_changes_total", outcome=outcome)


def findings(node: UpNode, files: list[DicomFile]) -> list[FindingProduced]:
    found = [FindingProduced.decode(record.value) for record in node.messages(FINDINGS.name)]
    return [finding for finding in found if finding.study_key == node.study_key(files)]


def read_by(node: UpNode, files: list[DicomFile]) -> set[str | None]:
    """Names of the models of a study's findings, once it has its outcome."""
    until(lambda: any(f.closed_by for f in findings(node, files)), 60, "the outcome")
    return {finding.model.name if finding.model else None for finding in findings(node, files)}


def test_a_running_node_changes_its_model_and_loses_no_study(node: UpNode, patients: Patients, tmp_path: Path) -> None:
    shipped = load_manifest(SHIPPED).name
    tocsin_model(node, "add", str(a_model_of_the_site(tmp_path / "site")))
    files, after, later = (patients.admit(bleeding=bleeding) for bleeding in (True, True, False))
    try:
        with ThreadPoolExecutor(1) as scanner:
            sending = scanner.submit(node.send, files, SLICES_PER_SECOND)
            until(
                lambda: node.study_key(files) in {s["study_key"] for s in node.api("studies")}, 30, "the first slices"
            )
            tocsin_model(node, "use", "site-1")
            until(lambda: changes(node, "taken") >= 2, 30, "the change")
            pid = node.running.pids["streams"]
            node.kill("streams")
            assert sending.result().accepted == len(files)
        node.ready_again("streams", pid)
        assert read_by(node, files) == {shipped}
        assert findings(node, files)[-1].outcome is Outcome.POSITIVE

        node.send(after)
        assert read_by(node, after) == {"site"}

        with (node.directory.models / "site-1" / "network.onnx.xz").open("ab") as network:
            network.write(b"damaged")
        (node.directory.models / "site-1" / "manifest.json").touch()
        until(lambda: changes(node, "refused") >= 1, 30, "the refusal")
        node.send(later)
        assert read_by(node, later) == {"site"}
        assert findings(node, later)[-1].outcome is Outcome.NEGATIVE
    finally:
        tocsin_model(node, "use", "shipped")
