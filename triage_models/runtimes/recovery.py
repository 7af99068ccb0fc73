"""Tries resting runtimes again, in a thread of its own, for as long as their chains are in use."""

import logging
import threading
import weakref

from triage_models.runtimes.chain import RuntimeChain

logger = logging.getLogger(__name__)


class RuntimeRecovery:
    """Looks after every chain it was told of until the chain's model is closed.

    Args:
        every_seconds: between two looks whether a resting runtime's time has come.
    """

    def __init__(self, every_seconds: float = 1.0) -> None:
        self._every_seconds = every_seconds
        self._chains: weakref.WeakSet[RuntimeChain] = weakref.WeakSet()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="runtime-recovery", daemon=True)

    @property
    def wants_fresh_process(self) -> bool:
        """Could a fresh process use a runtime that this one cannot?"""
        return any(chain.wants_fresh_process for chain in list(self._chains))

    def watch(self, chain: RuntimeChain) -> None:
        """Look after this chain too."""
        self._chains.add(chain)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            for chain in list(self._chains):
                try:
                    chain.recover()
                except Exception:  # boundary: whatever a back end raises, the next attempt comes
                    logger.exception("a resting runtime could not be tried")
