"""A worker that stood still for longer than its session has been given up by the group, whether it knows yet or not.

Its partitions may be another worker's by then, and what it still has to write is older than what that one wrote: it
must end before it writes again (a paused virtual machine, SIGSTOP, swapping).
"""

import logging
import time
from collections.abc import Callable
from threading import Thread

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.25

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine is suspended, where there is such a clock (Linux)."""


def now_seconds() -> float:
    return time.clock_gettime(CLOCK)


class Standstill:
    """Watched from a thread of its own: an event loop that is only busy does not count.

    Args:
        most_seconds: the consumer's session.
        end: called once, from whichever thread notices.
    """

    def __init__(self, most_seconds: float, end: Callable[[], None]) -> None:
        self._most_seconds, self._end = most_seconds, end
        self._seen = now_seconds()

    def start(self) -> None:
        self._seen = now_seconds()
        Thread(target=self._watch, name="standstill", daemon=True).start()

    def look(self) -> None:
        """To be asked before each write that may overwrite another worker's."""
        if (seconds := now_seconds() - self._seen) > self._most_seconds:
            logger.critical("stood still for %.0f s: the partitions may be another worker's", seconds)
            self._end()

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            self.look()
            self._seen = now_seconds()
