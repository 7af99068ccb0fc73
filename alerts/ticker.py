"""The ticker: once a second, whatever becomes due by the clock alone, and the gauges."""

import logging

from alerts import worklist
from alerts.desk import Desk
from alerts.errors import StoreUnavailable
from alerts.metrics import AlertMetrics
from alerts.ports import Stop

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0


class Ticker:
    def __init__(self, desk: Desk, metrics: AlertMetrics) -> None:
        self._desk = desk
        self._metrics = metrics

    def tick(self) -> None:
        """Do what is due.

        Raises:
            StoreUnavailable: it is still due.
        """
        self._desk.look_again()
        self._gauge()

    def _gauge(self) -> None:
        now = self._desk.clock.now()
        with self._desk.database.reading() as session:
            counts = worklist.counts(session)
        self._metrics.waiting.set(counts.waiting)
        self._metrics.waiting_oldest.set((now - counts.waiting_since).total_seconds() if counts.waiting_since else 0)
        self._metrics.outbox_depth.set(counts.owed)
        self._metrics.outbox_oldest.set((now - counts.owed_since).total_seconds() if counts.owed_since else 0)
        self._metrics.outbox_failed.set(counts.failed)
        self._metrics.events_unpublished.set(counts.unpublished)


def tick_until(stop: Stop, ticker: Ticker) -> None:
    """The life of the ticker's thread."""
    while not stop.wait(TICK_SECONDS):
        try:
            ticker.tick()
        except StoreUnavailable:
            log.warning("the store is not available")
