"""The real clock, and the bell that wakes a sleeping worker."""

import threading
from datetime import UTC, datetime


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)


class Bell:
    """Wakes every worker that waits; a ring while nobody waits is not lost."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    def ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, heard: int, timeout_seconds: float) -> int:
        """Wait for a ring after the ``heard``-th; returns the number of rings so far."""
        with self._condition:
            self._condition.wait_for(lambda: self._rings != heard, timeout_seconds)
            return self._rings
