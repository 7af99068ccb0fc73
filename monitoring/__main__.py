"""``python -m monitoring``: the watch at the broker. Tells what waits there, whoever reads it and whether or not.

Exit status: 0 after SIGTERM or SIGINT, 2 for settings it cannot run with.
"""

import logging
import signal
import sys
import threading
import time

from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from monitoring.broker import BrokerWatch
from monitoring.exposition import Exposition
from monitoring.health import Health
from monitoring.host import HostMetrics
from monitoring.journal import open_journal
from monitoring.lag import BrokerMetrics
from monitoring.settings import MonitoringSettings

journal = logging.getLogger("monitoring")

EXIT_OK, EXIT_SETTINGS = 0, 2
STUCK_SECONDS = 60.0
"""A look takes a few time limits of the client at most; one that takes longer never ends."""


def main() -> int:
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    try:
        settings = MonitoringSettings()
    except (ValidationError, ValueError) as error:
        print(f"monitoring: bad settings: {error}", file=sys.stderr)  # noqa: T201 - no journal yet
        return EXIT_SETTINGS
    open_journal("monitoring", settings.log_level)
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    try:
        run(settings, asked_to_stop)
    except OSError as error:
        where = f"{settings.metrics_host}:{settings.metrics_port}"
        print(f"monitoring: cannot listen on {where}: {error.strerror}", file=sys.stderr)  # noqa: T201 - for who started it
        return EXIT_SETTINGS
    return EXIT_OK


def run(settings: MonitoringSettings, asked_to_stop: threading.Event) -> None:
    """Look until asked to stop."""
    registry = CollectorRegistry()
    metrics = BrokerMetrics(registry, settings.topics, settings.consumers)
    HostMetrics(registry)
    watch = BrokerWatch(
        settings.bootstrap_servers, settings.topics, settings.consumers, metrics, settings.deadletter_topic
    )
    looked_at = time.monotonic()

    def stuck() -> str | None:
        return "a look at the broker does not end" if time.monotonic() - looked_at > STUCK_SECONDS else None

    def unanswered() -> str | None:
        return None if watch.answered_at else "the broker has not answered yet"

    health = Health({"looking": stuck}, {"broker": unanswered})
    exposition = Exposition(registry, health, (settings.metrics_host, settings.metrics_port)).start()
    journal.info("watching", extra={"metrics_port": exposition.port})
    while not asked_to_stop.is_set():
        watch.look()
        looked_at = time.monotonic()
        asked_to_stop.wait(settings.look_seconds)
    watch.close()
    exposition.close()


if __name__ == "__main__":
    sys.exit(main())
