"""The dead-man's study: a synthetic bleed that goes through the real door to a test recipient, and is timed.

Laws: every object carries a seal over its UIDs and pixels (:mod:`streams.contracts.heartbeat`), so that it can never be
taken for a patient, nor a patient for it; a beat counts only when the alert has come back.
"""

import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydicom.dataset import Dataset

from streams.contracts.findings import Outcome
from streams.contracts.heartbeat import CALLING_AE, PRIVATE_CREATOR, PRIVATE_GROUP, SEAL_ELEMENT
from streams.contracts.ids import SiteSecret
from tocsin import offline, scanner
from tocsin.errors import NoHeartbeatStudy, ScannerFailed
from tocsin.scanner import Destination
from tocsin.synthetic_patients import readable_head, shuffled
from tocsin.webhook_receiver import WebhookReceiver
from triage_models.reader import Reader
from triage_models.synthetic import SyntheticSeries
from triage_models.synthetic.dicom import slice_dataset, write_series

SLICES = 24
SIDE_PIXELS = 256
"""Half a scanner's: 3 MB a study, so that a study every five minutes is 2 GB of the 48 h that Kafka keeps."""
RATE_PER_SECOND = 20.0
BLEED = "intraparenchymal"
SEEDS = range(1, 13)
"""Heads that are tried, in order, until the reader finds the bleed."""
PATIENT_NAME = "TOCSIN^HEARTBEAT"
LOOK_SECONDS = 0.02


class BeatOutcome(StrEnum):
    """What became of one dead-man's study."""

    SUCCESS = "success"
    LATE = "late"
    """The alert came, after the deadline."""
    MISSING = "missing"
    """No alert came while anybody waited."""
    REFUSED = "refused"
    """The DICOM port did not take all of it."""


@dataclass(frozen=True)
class Beat:
    """One dead-man's study. ``seconds``: from its first C-STORE to the test recipient; None where nothing arrived."""

    study_key: str
    sent_at: datetime
    outcome: BeatOutcome
    seconds: float | None = None
    detail: str = ""


@dataclass(frozen=True)
class Limits:
    """Seconds from the first C-STORE: after ``late`` the beat has failed, after ``missing`` nobody waits any more."""

    late_seconds: float = 30.0
    missing_seconds: float = 120.0


def beating_head(model_dir: Path | None, say: Callable[[str], None] = lambda _text: None) -> SyntheticSeries:
    """A synthetic head in which this reader finds the bleed.

    Raises:
        NoHeartbeatStudy: it finds it in none of those that were tried.
        ModelError: there is no reader.
    """
    reader = Reader.open(model_dir)
    for seed in SEEDS:
        head = readable_head(seed, BLEED, slices=SLICES, side=SIDE_PIXELS)
        with tempfile.TemporaryDirectory(prefix="tocsin-heartbeat-") as folder:
            paths = write_series(head, Path(folder), patient_name=PATIENT_NAME)
            (result,) = offline.read(paths, reader)
        if not isinstance(result, offline.SeriesResult):
            raise NoHeartbeatStudy(f"the synthetic head would be refused: {result.comment}")
        score = result.finding.score
        say(
            f"head {seed}: {result.finding.outcome}, score {score:.2f}" if score is not None else f"head {seed}: unread"
        )
        if result.finding.outcome is Outcome.POSITIVE:
            return head
    raise NoHeartbeatStudy(
        f"The model finds no bleed in {len(SEEDS)} synthetic heads that have one: a heartbeat would mean nothing."
    )


def sealed_files(head: SyntheticSeries, secret: SiteSecret, folder: Path) -> list[Path]:
    """Write the head as a new study, each object sealed."""
    now, salt = datetime.now(UTC), secrets.token_hex(16)
    paths = []
    for index in range(len(head.voxels_hu)):
        dataset = slice_dataset(head, index, PATIENT_NAME, "TOCSIN-HEARTBEAT", now, salt)
        seal(dataset, secret)
        path = folder / f"slice-{index + 1:04d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def seal(dataset: Dataset, secret: SiteSecret) -> None:
    """Mark an uncompressed object as the dead-man's."""
    pixels = hashlib.sha256(dataset.PixelData).hexdigest()
    value = secret.heartbeat_seal(
        str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID), pixels
    )
    dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True).add_new(SEAL_ELEMENT, "LO", value)


@dataclass(frozen=True)
class Heart:
    """Beats once per call."""

    head: SyntheticSeries
    to: Destination
    secret: SiteSecret
    recipient: WebhookReceiver
    limits: Limits

    def beat(self) -> Beat:
        """Send one study, and wait for what comes of it."""
        self.recipient.forget()
        with tempfile.TemporaryDirectory(prefix="tocsin-heartbeat-") as folder:
            files, _ = scanner.find_files(sealed_files(self.head, self.secret, Path(folder)))
            study_key = self.secret.study_key(files[0].study_instance_uid)
            sent_at, started = datetime.now(UTC), time.monotonic()
            try:
                sent = scanner.send(shuffled(files, self.head.seed), self.to, CALLING_AE, RATE_PER_SECOND)
            except ScannerFailed as error:
                return Beat(study_key, sent_at, BeatOutcome.REFUSED, detail=str(error))
        if sent.accepted < len(files):
            _, status = sent.refused[0]
            return Beat(study_key, sent_at, BeatOutcome.REFUSED, detail=f"answered 0x{status:04X}")
        arrived_at = self._wait_for(study_key, started)
        if arrived_at is None:
            return Beat(study_key, sent_at, BeatOutcome.MISSING)
        seconds = (arrived_at - sent_at).total_seconds()
        late = seconds > self.limits.late_seconds
        return Beat(study_key, sent_at, BeatOutcome.LATE if late else BeatOutcome.SUCCESS, seconds)

    def _wait_for(self, study_key: str, started: float) -> datetime | None:
        while time.monotonic() - started < self.limits.missing_seconds:
            for at, message in self.recipient.received:
                if message["study_key"] == study_key and message["purpose"] == "alarm" and message["topic"] == "bleed":
                    return at
            time.sleep(LOOK_SECONDS)
        return None
