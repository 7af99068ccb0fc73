"""Publishes the life of the alerts to ``triage.alerts.v1`` from the events table, so that Kafka may be away."""

import logging
from datetime import timedelta

from alerts.errors import StoreUnavailable
from alerts.metrics import AlertMetrics
from alerts.ports import Clock, Outlet, Stop
from alerts.store.database import Database
from alerts.store.outbox import hold_lease, record_published, unpublished
from alerts.timing import Bell

log = logging.getLogger(__name__)

BATCH = 100
IDLE_SECONDS = 1.0
LEASE_NAME = "publishing"
LEASE = timedelta(seconds=15)


class Publishing:
    """One instance publishes for all, in order, at least once."""

    def __init__(self, database: Database, clock: Clock, outlet: Outlet, metrics: AlertMetrics, holder: str) -> None:
        self._database = database
        self._clock = clock
        self._outlet = outlet
        self._metrics = metrics
        self._holder = holder

    def publish_some(self) -> int:
        """Publish what waits; returns how many events were confirmed.

        Raises:
            StoreUnavailable: confirmed or not, they will be published again.
        """
        with self._database.reading() as session:
            waiting = unpublished(session, BATCH)
        if not waiting:
            return 0
        with self._database.writing() as session:
            if not hold_lease(session, LEASE_NAME, self._holder, self._clock.now(), LEASE):
                return 0
        confirmed = self._outlet.publish([(event.study_key, event) for _, event in waiting])
        with self._database.writing() as session:
            record_published(session, [number for number, _ in waiting[:confirmed]], self._clock.now())
        for _, event in waiting[:confirmed]:
            self._metrics.published.labels(event.state).inc()
        return confirmed


def publish_until(stop: Stop, publishing: Publishing, bell: Bell) -> None:
    """The life of the publisher's thread."""
    heard = 0
    while not stop.is_set():
        try:
            confirmed = publishing.publish_some()
        except StoreUnavailable:
            confirmed = 0
        if not confirmed:
            heard = bell.wait(heard, IDLE_SECONDS)
