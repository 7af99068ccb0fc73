"""One beat: what counts as success, and what as which failure."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydicom import dcmread

from streams.contracts.ids import SiteSecret
from tocsin import heartbeat as subject
from tocsin.heartbeat import Beat, BeatOutcome, Heart, Limits, sealed_files
from tocsin.heartbeat_metrics import HeartbeatMetrics
from tocsin.ports import free_ports
from tocsin.scanner import Destination
from tocsin.synthetic_patients import readable_head
from tocsin.webhook_receiver import WebhookReceiver
from triage_models.synthetic import SyntheticSeries

SECRET = SiteSecret(b"s" * 32)
AT = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def head() -> SyntheticSeries:
    return readable_head(1, subject.BLEED, slices=2, side=64)


def test_every_study_is_a_new_one_with_the_same_pixels(head: SyntheticSeries, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    one = [dcmread(path) for path in sealed_files(head, SECRET, tmp_path)]
    other = [dcmread(path) for path in sealed_files(head, SECRET, tmp_path / "b")]
    assert one[0].StudyInstanceUID == one[1].StudyInstanceUID != other[0].StudyInstanceUID
    assert [a.PixelData == b.PixelData for a, b in zip(one, other, strict=True)] == [True, True]
    assert str(one[0].PatientName) == "TOCSIN^HEARTBEAT"


def test_a_port_where_nobody_answers_is_a_refusal(head: SyntheticSeries) -> None:
    recipient = WebhookReceiver("a secret of sixteen")
    (nobody,) = free_ports(1)
    beat = Heart(head, Destination("TOCSIN", "127.0.0.1", nobody), SECRET, recipient, Limits()).beat()
    recipient.close()
    assert beat.outcome is BeatOutcome.REFUSED
    assert "nobody answers" in beat.detail


@pytest.mark.parametrize(
    ("outcome", "seconds"), [(BeatOutcome.LATE, 40.0), (BeatOutcome.MISSING, None), (BeatOutcome.REFUSED, None)]
)
def test_only_success_moves_the_clock(outcome: BeatOutcome, seconds: float | None) -> None:
    metrics = HeartbeatMetrics(CollectorRegistry())
    value = metrics.registry.get_sample_value
    metrics.ended(Beat("a" * 32, AT, BeatOutcome.SUCCESS, 2.0))
    metrics.ended(Beat("b" * 32, AT.replace(hour=1), outcome, seconds))
    assert value("tocsin_heartbeat_last_success_timestamp_seconds") == AT.timestamp()
    assert value("tocsin_heartbeat_failures_total", {"outcome": outcome}) == 1
    assert value("tocsin_heartbeat_seconds_count") == (2 if seconds else 1)
    assert value("tocsin_heartbeat_beats_total") == 2
