"""The listener's metrics, declared once."""

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry

from dicom_listener.peers import RejectionReason
from monitoring.metrics import STAGE_BUCKETS_SECONDS, Instruments
from streams.contracts.series import LedgerKind, RefusalReason
from streams.contracts.topics import DEADLETTERS, IDENTITIES, SERIES, SLICES

TOPICS = tuple(topic.name for topic in (SLICES, SERIES, IDENTITIES, DEADLETTERS))


OTHER_SCANNER = "other"
"""Stands for every calling AE title that the settings do not name."""


class ListenerMetrics(Instruments):
    """All names start with ``tocsin_listener_``.

    Args:
        scanners: calling AE titles that are told apart, from the settings.
    """

    def __init__(self, registry: CollectorRegistry, scanners: Iterable[str] = ()) -> None:
        super().__init__(registry, "listener")
        self._scanners = frozenset(scanners)
        told_apart = (*sorted(self._scanners), OTHER_SCANNER)
        self.heartbeat_slices = self.counter(
            "heartbeat_slices_total", "Frames of dead-man's studies, which are counted nowhere else."
        )
        self.scanner_slices = self.counter(
            "scanner_slices_total",
            "Frames accepted, by calling AE title as far as the settings name it.",
            scanner=told_apart,
        )
        self.scanner_heard = self.gauge(
            "scanner_last_slice_timestamp_seconds",
            "When the last frame of a scanner was accepted; 0 before the first since the start.",
            scanner=told_apart,
        )
        self.slices_accepted = self.counter("slices_accepted_total", "Frames made durable and told Success.")
        self.objects_refused = self.counter(
            "objects_refused_total", "Objects answered with a failure status.", reason=RefusalReason
        )
        self.objects_repeated = self.counter("objects_repeated_total", "Objects that were accepted before, unchanged.")
        self.objects_conflicting = self.counter(
            "objects_conflicting_total", "Objects whose SOP Instance UID came before with other content."
        )
        self.bytes_received = self.counter("bytes_received_total", "Bytes of the data sets of C-STORE requests.")
        self.store_seconds = self.histogram(
            "store_seconds", "From a whole C-STORE request to its durability.", STAGE_BUCKETS_SECONDS
        )
        self.echoes = self.counter("echoes_total", "C-ECHO requests answered.")
        self.requests_unrecognised = self.counter(
            "requests_unrecognised_total", "Requests for a DIMSE service that is not offered; answered 0x0211."
        )
        self.associations_open = self.gauge("associations_open", "Associations that are established.")
        self.associations_ended = self.counter(
            "associations_ended_total", "Associations that ended.", how=(LedgerKind.RELEASED, LedgerKind.ABORTED)
        )
        self.associations_rejected = self.counter(
            "associations_rejected_total", "Connections and association requests turned away.", reason=RejectionReason
        )
        self.spool_messages = self.gauge("spool_messages", "Messages that wait for Kafka.")
        self.spool_bytes = self.gauge("spool_bytes", "Bytes of the spool on the disk.")
        self.spool_oldest_seconds = self.gauge("spool_oldest_seconds", "Age of the oldest message that waits.")
        self.spool_damaged_bytes = self.gauge("spool_damaged_bytes", "Spooled bytes found unreadable at start-up.")
        self.published = self.counter("published_total", "Messages acknowledged by Kafka.", topic=TOPICS)
        self.publish_failures = self.counter(
            "publish_failures_total", "Attempts to publish that failed and are retried."
        )
        self.set_aside = self.counter(
            "set_aside_total", "Messages that Kafka will never take.", where=("deadletter", "rejected_folder")
        )
        self.publish_seconds = self.histogram("publish_seconds", "From durability to Kafka's acknowledgement.")
        self.kafka_connected = self.gauge("kafka_connected", "1 while the broker answers, otherwise 0.")
        self.spool_limit = self.gauge(
            "spool_limit_bytes", "Bytes that the spool may take; beyond it scanners are refused."
        )

    def slices_taken(self, calling_ae: str, frames: int, at: datetime) -> None:
        """Frames of one object became durable."""
        scanner = calling_ae if calling_ae in self._scanners else OTHER_SCANNER
        self.slices_accepted.inc(frames)
        self.scanner_slices.labels(scanner).inc(frames)
        self.scanner_heard.labels(scanner).set(at.timestamp())
