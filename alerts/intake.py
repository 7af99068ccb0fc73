"""Intake: one message from Kafka in, the desk informed, or the message set aside.

Laws: a message is done with when the store has committed it or the dead letters have it; a store that is away means
*try again*, never *skip*; a result that cannot be read is itself a reason to alarm, for it may have been a bleed.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from alerts.decision import Decision
from alerts.desk import Desk
from alerts.errors import BrokerUnavailable, StoreRefused, StoreUnavailable
from alerts.metrics import AlertMetrics
from monitoring.tracing import NO_TRACES, Kind, Span, Traces, carried, messaging
from streams.contracts.deadletters import DeadLetterReason, MessageSetAside
from streams.contracts.errors import MalformedEvent
from streams.contracts.findings import FindingProduced
from streams.contracts.topics import FINDINGS

log = logging.getLogger(__name__)

SERVICE = "alerts"
KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Incoming:
    """A message as Kafka has it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    written_at: datetime


SetAside = Callable[[Incoming, MessageSetAside], None]
"""Puts a message into the dead letters; returns when the broker has confirmed it."""


TakeHeartbeat = Callable[[FindingProduced], None]
"""Takes a finding of the dead-man's study."""


class Taken(StrEnum):
    """What became of a message."""

    KEPT = "kept"
    KNOWN = "known"
    SET_ASIDE = "set_aside"
    HEARTBEAT = "heartbeat"
    """Of the dead-man's study: nothing is kept."""


class Intake:
    def __init__(
        self,
        desk: Desk,
        metrics: AlertMetrics,
        set_aside: SetAside,
        heartbeat: TakeHeartbeat | None = None,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._traces = traces
        self._desk = desk
        self._metrics = metrics
        self._set_aside = set_aside
        self._heartbeat = heartbeat

    def take(self, message: Incoming) -> Taken:
        """Work one message.

        Raises:
            StoreUnavailable, BrokerUnavailable: the same message must be taken again.
        """
        try:
            return self._finding(message) if message.topic == FINDINGS.name else self._identity(message)
        except (StoreUnavailable, BrokerUnavailable):
            raise
        except MalformedEvent as error:
            return self._put_aside(message, DeadLetterReason.MALFORMED_MESSAGE, str(error))
        except StoreRefused as error:
            return self._put_aside(message, DeadLetterReason.INTERNAL_ERROR, f"the store refused it: {error}")
        except Exception as error:
            log.exception("a message could not be worked")
            return self._put_aside(message, DeadLetterReason.INTERNAL_ERROR, type(error).__name__)

    def _finding(self, message: Incoming) -> Taken:
        finding = FindingProduced.decode(message.value or b"")
        if finding.heartbeat and self._heartbeat is not None:
            self._heartbeat(finding)
            return Taken.HEARTBEAT
        started = self._desk.clock.now()
        decision = self._desk.take_finding(finding)
        if decision is None:
            self._metrics.duplicates.inc()
            return Taken.KNOWN
        if self._traces.on:
            self._trace(message, finding, decision, started)
        self._metrics.finding_taken(finding, self._desk.clock.now())
        self._metrics.decisions.labels(decision.reason).inc()
        log.info(
            "finding taken",
            extra={
                "study": finding.study_key,
                "series": finding.series_key,
                "revision": finding.revision,
                "status": finding.status,
                "outcome": finding.outcome,
                "step": decision.step,
                "reason": decision.reason,
            },
        )
        return Taken.KEPT

    def _trace(self, message: Incoming, finding: FindingProduced, decision: Decision, started: datetime) -> None:
        self._traces.record(
            Span(
                f"process {FINDINGS.name}",
                finding.series_key,
                started,
                self._desk.clock.now(),
                Kind.CONSUMER,
                parent=carried(message.headers),
                attributes=messaging(FINDINGS.name, message.partition, message.offset)
                | {"tocsin.step": decision.step, "tocsin.reason": decision.reason},
            )
        )

    def _identity(self, message: Incoming) -> Taken:
        """Kept sealed; whether it can be opened shows when a doctor looks."""
        if message.value is None:
            return Taken.KNOWN  # a compacted topic's tombstone: what has been shown to doctors stays
        study_key, _, series_key = _text(message.key).partition(":")
        if not KEY.fullmatch(study_key) or (series_key and not KEY.fullmatch(series_key)):
            raise MalformedEvent("the key is not that of a study or of a series")
        if series_key:
            self._desk.take_series_identity(study_key, series_key, message.value, message.written_at)
        else:
            self._desk.take_study_identity(study_key, message.value, message.written_at)
        self._metrics.identities.inc()
        return Taken.KEPT

    def _put_aside(self, message: Incoming, reason: DeadLetterReason, detail: str) -> Taken:
        self._set_aside(message, why_aside(message, reason, detail, self._desk.clock.now()))
        self._metrics.set_aside.labels(reason).inc()
        log.error(
            "message set aside",
            extra={"topic": message.topic, "offset": message.offset, "reason": reason, "detail": detail},
        )
        if message.topic == FINDINGS.name and KEY.fullmatch(_text(message.key)):
            self._desk.take_unreadable_result(_text(message.key))
        return Taken.SET_ASIDE


def why_aside(message: Incoming, reason: DeadLetterReason, detail: str, now: datetime) -> MessageSetAside:
    """What goes into the dead letters with a message."""
    return MessageSetAside(
        service=SERVICE,
        source_topic=message.topic,
        source_partition=message.partition,
        source_offset=message.offset,
        reason=reason,
        detail=detail,
        at=now,
    )


def _text(key: bytes | None) -> str:
    return (key or b"").decode("ascii", "replace")
