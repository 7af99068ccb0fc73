"""The metrics of the dead-man's study, declared once."""

from prometheus_client import CollectorRegistry

from monitoring.metrics import Instruments
from tocsin.heartbeat import Beat, BeatOutcome


class HeartbeatMetrics(Instruments):
    """What one heart counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "heartbeat")
        failures = [outcome for outcome in BeatOutcome if outcome is not BeatOutcome.SUCCESS]
        self.last_success = self.gauge(
            "last_success_timestamp_seconds", "When the last dead-man's study that came back in time was sent; 0: never"
        )
        self.failures = self.counter("failures_total", "Dead-man's studies that failed, by how", outcome=failures)
        self.beats = self.counter("beats_total", "Dead-man's studies that ended, whatever way")
        self.seconds = self.histogram(
            "seconds", "From the first C-STORE of a dead-man's study to the test recipient's having the alert"
        )
        self.every = self.gauge("every_seconds", "How often a dead-man's study is sent")

    def ended(self, beat: Beat) -> None:
        """Count one."""
        self.beats.inc()
        if beat.seconds is not None:
            self.seconds.observe(beat.seconds)
        if beat.outcome is BeatOutcome.SUCCESS:
            self.last_success.set(beat.sent_at.timestamp())
        else:
            self.failures.labels(beat.outcome).inc()
