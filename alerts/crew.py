"""The service's threads: started by name, watched, and waited for."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Crew:
    """A thread that ends before it is asked to is a failure of the whole service, which must then be restarted."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(name, work), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:
            log.exception("a thread broke", extra={"thread": name})

    def missing(self) -> str | None:
        """The names of the threads that have ended, in words; None when all are there."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"not running: {', '.join(dead)}" if dead and not self.stop.is_set() else None

    def join(self, seconds: float) -> None:
        """Ask all to stop, and wait for each."""
        self.stop.set()
        for thread in self._threads:
            thread.join(seconds)
