"""What was accepted before: tells a repetition from a conflict.

Two objects with the same SOP Instance UID are a repetition when everything that would be published about them is
equal, and a conflict otherwise. The memory is bounded in number and time: forgetting is harmless, because what is
published twice is one frame downstream; remembering too long would be harmful, because a study that is sent again
after Kafka's data were lost must go through.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto

from streams.contracts.ids import Key

MAX_OBJECTS = 200_000
"""About a week of head CT at a busy site, 60 MB."""
KEPT_SECONDS = 3600.0


class Acquaintance(Enum):
    NEW = auto()
    REPEATED = auto()
    CONFLICTING = auto()


@dataclass(slots=True)
class _Memory:
    fingerprints: dict[bytes, bool]
    """Fingerprint → is it durable."""
    at: float


class SeenObjects:
    """Thread-safe. ``now`` arguments are seconds since the epoch."""

    def __init__(self, max_objects: int = MAX_OBJECTS, kept_seconds: float = KEPT_SECONDS) -> None:
        self._max_objects, self._kept_seconds = max_objects, kept_seconds
        self._objects: OrderedDict[Key, _Memory] = OrderedDict()
        self._lock = threading.Lock()

    def meet(self, sop_digest: Key, fingerprint: bytes, now: float) -> Acquaintance:
        """Judge an object, and keep in mind that it is being accepted until :meth:`settle` or :meth:`forget`."""
        with self._lock:
            self._expire(now)
            memory = self._objects.get(sop_digest)
            if memory is None:
                self._make_room()
                self._objects[sop_digest] = _Memory({fingerprint: False}, now)
                return Acquaintance.NEW
            if memory.fingerprints.get(fingerprint):
                return Acquaintance.REPEATED
            known_alone = set(memory.fingerprints) == {fingerprint}
            memory.fingerprints.setdefault(fingerprint, False)
            return Acquaintance.NEW if known_alone else Acquaintance.CONFLICTING

    def settle(self, sop_digest: Key, fingerprint: bytes) -> None:
        """It is durable: from now on it is a repetition."""
        with self._lock:
            if sop_digest in self._objects:
                self._objects[sop_digest].fingerprints[fingerprint] = True

    def forget(self, sop_digest: Key, fingerprint: bytes) -> None:
        """It could not be made durable: the next attempt is not a repetition."""
        with self._lock:
            memory = self._objects.get(sop_digest)
            if memory is None or memory.fingerprints.get(fingerprint):
                return
            memory.fingerprints.pop(fingerprint, None)
            if not memory.fingerprints:
                del self._objects[sop_digest]

    def _expire(self, now: float) -> None:
        while self._objects and now - next(iter(self._objects.values())).at >= self._kept_seconds:
            self._objects.popitem(last=False)

    def _make_room(self) -> None:
        while len(self._objects) >= self._max_objects:
            self._objects.popitem(last=False)
