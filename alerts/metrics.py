"""The metrics of the alert service; see :mod:`monitoring.metrics` for their laws."""

from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry

from alerts.access.entrance import Method, Outcome
from alerts.audit import Violation
from alerts.decision import Reason
from alerts.errors import FailureKind
from alerts.life import Answer
from alerts.recipients import ChannelKind
from alerts.store.outbox import FirstDelivery
from monitoring.metrics import Instruments
from streams.contracts.alerts import AlertState
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import FindingProduced, FindingStatus

DELIVERED = "delivered"

ANSWER_BUCKETS_SECONDS = (15, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14400)
"""People answer in minutes."""

CLOCK_TOLERANCE = timedelta(milliseconds=100)
"""Clocks that NTP keeps differ by less."""


class AlertMetrics(Instruments):
    """Declared once; every series exists from the start."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "alerts")
        self.findings = self.counter("findings_total", "Findings taken in", status=FindingStatus)
        self.duplicates = self.counter("duplicate_findings_total", "Findings that were known already")
        self.decisions = self.counter("decisions_total", "What was decided, by reason", reason=Reason)
        self.set_aside = self.counter("set_aside_total", "Messages put into the dead letters", reason=DeadLetterReason)
        self.identities = self.counter("identities_total", "Identity envelopes taken in")
        self.pictures = self.counter("pictures_total", "Slices for doctors to look at that were taken in")
        self.notifications = self.counter(
            "notifications_total",
            "Attempts to notify, by channel and outcome",
            channel=ChannelKind,
            outcome=(DELIVERED, *FailureKind),
        )
        self.bundled = self.counter("bundled_total", "Notices that went out as part of a bundle")
        self.circuits_open = self.gauge(
            "circuits_open", "Providers that are not tried because they are down, by channel", channel=ChannelKind
        )
        self.acknowledgements = self.counter("acknowledgements_total", "Alerts answered by a human")
        self.published = self.counter("events_published_total", "Events on triage.alerts.v1", state=AlertState)
        self.decisive_to_delivered = self.histogram(
            "decisive_slice_to_alert_delivered_seconds", "From the decisive slice to the first channel's acceptance"
        )
        self.first_to_delivered = self.histogram(
            "first_slice_to_alert_delivered_seconds", "From the first slice to the first channel's acceptance"
        )
        self.finding_to_delivered = self.histogram(
            "finding_to_delivered_seconds", "From the finding to the first channel's acceptance"
        )
        self.last_slice_to_final = self.histogram(
            "last_slice_to_final_seconds", "From the last slice to the finding of the closed series"
        )
        self.raised_to_acknowledged = self.histogram(
            "raised_to_acknowledged_seconds",
            "From an alert's being raised to the first human answer",
            ANSWER_BUCKETS_SECONDS,
        )
        self.clock_disagreements = self.counter(
            "clock_disagreements_total", "Findings that seem to have been produced after they were taken in"
        )
        self.arriving = self.gauge(
            "studies_without_result", "Studies that have begun to arrive and have no finding yet"
        )
        self.arriving_oldest = self.gauge("studies_without_result_oldest_seconds", "Age of the oldest of these")
        self.alerts = self.gauge("alerts", "Alerts of the last days, by how far the answer is", answer=Answer)
        self.waiting = self.gauge("unacknowledged", "Alerts that wait for a human's answer")
        self.waiting_oldest = self.gauge("unacknowledged_oldest_seconds", "Age of the oldest of these")
        self.outbox_depth = self.gauge("outbox_depth", "Notices not yet delivered")
        self.outbox_oldest = self.gauge("outbox_oldest_seconds", "Age of the oldest of these")
        self.outbox_failed = self.gauge("outbox_failed", "Notices that failed so often that people must know")
        self.events_unpublished = self.gauge("events_unpublished", "Events not yet confirmed on triage.alerts.v1")
        self.violations = self.gauge("audit_violations", "What the auditor finds wrong now", violation=Violation)
        self.consumer_connected = self.gauge("consumer_connected", "1 while findings can be received")
        self.sign_ins = self.counter(
            "sign_ins_total", "Attempts to sign in, by the way in and what came of it", method=Method, outcome=Outcome
        )
        self.recipients = self.gauge("recipients", "Recipients who are told; 0 means that nobody is")

    def finding_taken(self, finding: FindingProduced, now: datetime) -> None:
        if finding.clocks.produced - now > CLOCK_TOLERANCE:
            self.clock_disagreements.inc()
        self.findings.labels(finding.status).inc()
        if finding.closed_by is not None:
            self.last_slice_to_final.observe(_seconds(finding.clocks.last_slice, finding.clocks.produced))

    def signed_in(self, method: Method, outcome: Outcome) -> None:
        self.sign_ins.labels(method, outcome).inc()

    def answered(self, took: timedelta) -> None:
        self.raised_to_acknowledged.observe(max(0.0, took.total_seconds()))

    def first_delivery(self, clocks: FirstDelivery, now: datetime) -> None:
        if clocks.decisive_slice_at is not None:
            self.decisive_to_delivered.observe(_seconds(clocks.decisive_slice_at, now))
        self.first_to_delivered.observe(_seconds(clocks.first_slice_at, now))
        self.finding_to_delivered.observe(_seconds(clocks.produced_at, now))


def _seconds(start: datetime, end: datetime) -> float:
    """Never negative: two machines' clocks may differ, and a histogram's sum must not fall."""
    return max(0.0, (end - start).total_seconds())
