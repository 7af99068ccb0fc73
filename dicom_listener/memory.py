"""One bound for all that is being received: a hundred senders of large objects must not exhaust the machine."""

import threading


class MemoryBudget:
    """Counts bytes. Thread-safe."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit, self._taken = limit_bytes, 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """False, and nothing taken, where the limit would be exceeded."""
        with self._lock:
            if self._taken + count > self._limit:
                return False
            self._taken += count
            return True

    def give(self, count: int) -> None:
        with self._lock:
            self._taken -= count

    @property
    def taken(self) -> int:
        return self._taken
