"""The ticker: once a second, whatever becomes due by the clock alone, and the gauges."""

import logging
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from alerts import worklist
from alerts.audit import Auditor, Violation
from alerts.broker import Reception
from alerts.circuits import Circuits, CircuitState
from alerts.desk import Desk
from alerts.errors import StoreUnavailable
from alerts.life import Answer
from alerts.metrics import AlertMetrics
from alerts.ports import Stop
from alerts.recipients import ChannelKind
from alerts.store.record import head_of

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0


AUDIT_EVERY = timedelta(seconds=10)
HOUSEKEEPING_EVERY = timedelta(minutes=10)


class Ticker:
    def __init__(
        self,
        desk: Desk,
        metrics: AlertMetrics,
        reception: Reception,
        auditor: Auditor,
        refresh_plan: Callable[[], None] = lambda: None,
        circuits: Circuits | None = None,
    ) -> None:
        self._desk = desk
        self._metrics = metrics
        self._reception = reception
        self._auditor = auditor
        self._refresh_plan = refresh_plan
        self._circuits = circuits or Circuits()
        self._audit_at = self._housekeeping_at = desk.clock.now()

    def tick(self) -> None:
        """Do what is due.

        Raises:
            StoreUnavailable: it is still due.
        """
        self._refresh_plan()
        self._desk.withhold(self._circuits.down(self._desk.clock.now()))
        self._desk.look_again(caught_up=self._reception.caught_up)
        self._gauge()
        now = self._desk.clock.now()
        if now >= self._audit_at:
            self._audit_at = now + AUDIT_EVERY
            self._audit(now)
        if now >= self._housekeeping_at:
            self._housekeeping_at = now + HOUSEKEEPING_EVERY
            self._desk.close_old()
            self._note_head()

    def _audit(self, now: datetime) -> None:
        with self._desk.database.reading() as session:
            breaches = self._auditor.look(session, now)
        counts = Counter(breach.violation for breach in breaches)
        for violation in Violation:
            self._metrics.violations.labels(violation).set(counts[violation])
        for breach in breaches:
            log.error("the auditor found a breach", extra={"violation": breach.violation, "study": breach.study_key})
            if breach.violation is Violation.POSITIVE_WITHOUT_ALERT:
                self._desk.decide_again(breach.study_key)

    def _note_head(self) -> None:
        """Out of the database's reach, so that a forged record can be told."""
        with self._desk.database.reading() as session:
            number, digest = head_of(session)
        log.info("head of the record", extra={"entries": number, "hash": digest})

    def _gauge(self) -> None:
        now = self._desk.clock.now()
        with self._desk.database.reading() as session:
            counts = worklist.counts(session)
        for answer in Answer:
            self._metrics.alerts.labels(answer).set(counts.answers.get(answer, 0))
        self._metrics.waiting.set(counts.waiting)
        self._metrics.waiting_oldest.set((now - counts.waiting_since).total_seconds() if counts.waiting_since else 0)
        self._metrics.outbox_depth.set(counts.owed)
        self._metrics.outbox_oldest.set((now - counts.owed_since).total_seconds() if counts.owed_since else 0)
        self._metrics.outbox_failed.set(counts.failed)
        self._metrics.arriving.set(counts.arriving)
        self._metrics.arriving_oldest.set((now - counts.arriving_since).total_seconds() if counts.arriving_since else 0)
        self._metrics.events_unpublished.set(counts.unpublished)
        states = self._circuits.states(now).values()
        for channel in ChannelKind:
            is_open = [s for s, behind in states if s != CircuitState.CLOSED and channel in {a.channel for a in behind}]
            self._metrics.circuits_open.labels(channel).set(len(is_open))


def tick_until(stop: Stop, ticker: Ticker) -> None:
    """The life of the ticker's thread."""
    while not stop.wait(TICK_SECONDS):
        try:
            ticker.tick()
        except StoreUnavailable:
            log.warning("the store is not available")
