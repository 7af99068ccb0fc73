"""The streams' metrics, declared once."""

from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Gauge

from monitoring.metrics import STAGE_BUCKETS_SECONDS, Instruments
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import ClosedBy, FindingProduced, FindingStatus, Model, Outcome, SliceReason
from streams.models import ModelChange
from streams.pictures import PictureOutcome
from streams.score_reference import PREVALENCES, SCORE_BOUNDS, ScoreReference
from triage_models.runtimes.faults import RuntimeFault
from triage_models.runtimes.names import RuntimeName

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)

CLOCK_TOLERANCE = timedelta(milliseconds=100)
"""Clocks that NTP keeps differ by less."""


class StreamsMetrics(Instruments):
    """What the stream workers count. Latencies come from the instants that the events carry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry, "streams")
        self.slices = self.counter(
            "slices_total", "Slices taken in, by what became of them", outcome=["read", *SliceReason]
        )
        self.slices_repeated = self.counter("slices_repeated_total", "Slices that had come before")
        self.series = self.counter("series_total", "Series closed, by outcome", outcome=list(Outcome))
        self.closings = self.counter("series_closed_total", "Series closed, by evidence", closed_by=list(ClosedBy))
        self.findings = self.counter("findings_total", "Findings published", status=list(FindingStatus))
        self.deadletters = self.counter(
            "deadletters_total", "Messages set aside for an operator", reason=list(DeadLetterReason)
        )
        self.open_series = self.gauge("open_series", "Series that are still arriving on this worker")
        self.slices_behind = self.gauge(
            "slices_behind", "Slices that wait in Kafka on the partitions of this worker, by the broker's account"
        )
        self.oldest_waiting_seconds = self.gauge(
            "oldest_waiting_seconds",
            "How long the oldest slice has waited for this worker, at most; 0: none waits",
        )
        self.model_changes = self.counter(
            "model_changes_total", "Changes of the model in use, by what came of them", outcome=list(ModelChange)
        )
        self.series_begun_again = self.counter(
            "series_begun_again_total", "Series read again from the start, the model they began with being gone"
        )
        self.pictures = self.counter(
            "pictures_total", "Pictures for people, by what became of them", outcome=list(PictureOutcome)
        )
        self.pictures_waiting = self.gauge("pictures_series_waiting", "Series that wait for their pictures")
        self.model_loaded = self.gauge("model_loaded", "1 when a model is open, 0 when nothing can be read")
        self.runtime_in_use = self.gauge(
            "runtime_in_use", "1 for the runtime that reads the slices, 0 for the others", runtime=list(RuntimeName)
        )
        self.runtime_faults = self.counter(
            "runtime_faults_total",
            "Times that a runtime was passed over",
            runtime=list(RuntimeName),
            fault=list(RuntimeFault),
        )
        self.model_info = Gauge(
            "tocsin_streams_model_info",
            "1 for the model and the runtime in use",
            ["name", "version", "runtime"],
            registry=registry,
        )
        self.degraded = self.gauge("model_degraded", "1 while another runtime reads than the one that should")
        self.scores = self.histogram("series_score", "Scores of closed series", SCORE_BOUNDS)
        self.reference_share = self.gauge(
            "reference_score_share",
            "Share of the calibration series with a score of at most le, were the prevalence what the label says",
            prevalence=[f"{p:g}" for p in PREVALENCES],
            le=[str(float(bound)) for bound in SCORE_BOUNDS],
        )
        self.reference_series = self.gauge(
            "reference_series", "Calibration series behind the reference", kind=("negative", "positive")
        )
        self.clock_disagreements = self.counter(
            "clock_disagreements_total", "Slices that seem to have been accepted after they were processed"
        )
        self.inference_seconds = self.histogram(
            "inference_seconds", "Reading one slice or slab, preprocessing included", STAGE_BUCKETS_SECONDS
        )
        self.batch_slices = self.histogram(
            "inference_batch_slices", "Slices or slabs read together in one call of the reader", BATCH_BUCKETS
        )
        self.accepted_to_processed = self.histogram(
            "slice_accepted_to_processed_seconds", "From a slice's C-STORE to its reading being durable"
        )
        self.decisive_to_finding = self.histogram(
            "decisive_slice_to_finding_seconds", "From the decisive slice's C-STORE to the positive finding"
        )
        self.last_to_final = self.histogram(
            "last_slice_to_final_seconds", "From the last slice's C-STORE to the final outcome"
        )
        self.first_to_final = self.histogram(
            "first_slice_to_final_seconds", "From the first slice's C-STORE to the final outcome"
        )

    def model_changed(self, change: ModelChange) -> None:
        self.model_changes.labels(change).inc()

    def model_opened(self, model: Model, reference: ScoreReference) -> None:
        """Series that begin now are read by this one."""
        self.model_loaded.set(1)
        self.model_info.clear()
        self.model_info.labels(model.name, model.version, model.runtime).set(1)
        for prevalence in PREVALENCES:
            for bound in SCORE_BOUNDS:
                share = reference.share(bound, prevalence)
                self.reference_share.labels(f"{prevalence:g}", str(float(bound))).set(share)
        self.reference_series.labels("negative").set(reference.negatives)
        self.reference_series.labels("positive").set(reference.positives)

    # What :class:`triage_models.runtimes.chain.ChainWatch` hears

    def fell(self, name: str, fault: RuntimeFault) -> None:
        """A runtime was passed over."""
        self.runtime_faults.labels(name, fault).inc()

    def serves(self, name: str, degraded: bool) -> None:
        """This runtime reads from now on."""
        for each in RuntimeName:
            self.runtime_in_use.labels(each).set(each == name)
        self.degraded.set(degraded)

    def slices_read(self, seconds: float, slices: int) -> None:
        """The reader took so long for so many slices."""
        self.batch_slices.observe(slices)
        for _ in range(slices):
            self.inference_seconds.observe(seconds / slices)

    def slice_done(self, accepted_at: datetime, now: datetime) -> None:
        if accepted_at - now > CLOCK_TOLERANCE:
            self.clock_disagreements.inc()
        self.accepted_to_processed.observe(_seconds(accepted_at, now))

    def series_closed(self, outcome: Outcome, closed_by: object) -> None:
        self.series.labels(outcome).inc()
        self.closings.labels(str(closed_by)).inc()

    def finding_published(self, finding: FindingProduced) -> None:
        if finding.heartbeat:
            return
        self.findings.labels(finding.status).inc()
        clocks = finding.clocks
        if finding.outcome is Outcome.POSITIVE and finding.revision == 1 and clocks.decisive_slice:
            self.decisive_to_finding.observe(_seconds(clocks.decisive_slice, clocks.produced))
        if finding.closed_by is not None:
            if finding.score is not None:
                self.scores.observe(finding.score)
            self.last_to_final.observe(_seconds(clocks.last_slice, clocks.produced))
            self.first_to_final.observe(_seconds(clocks.first_slice, clocks.produced))


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
