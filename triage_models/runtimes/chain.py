"""Several runtimes as one: the best that is ready reads, and what fails is passed over without losing a slice.

Laws: a batch is given to one runtime after the other until one answers with sense; a runtime is blamed for nonsense
only when another makes sense of the same slices. Reading and recovering may be two threads: a runtime is swapped in
whole.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from triage_models.errors import InferenceFailed, ModelError
from triage_models.ports import Array, Runtime, nonsense
from triage_models.runtimes.faults import RuntimeFault, fault_of
from triage_models.runtimes.reference_slice import disagreement, reference_batch
from triage_models.runtimes.standing import (
    Phase,
    Standing,
    after_fault,
    after_return,
    exchanged,
    order_of_attempts,
    postponed,
    ready,
    to_try,
)

logger = logging.getLogger(__name__)

WARM_UP_RUNS = 3
"""Inferences before a runtime may read: the first ones allocate, choose kernels and capture graphs."""


@dataclass(frozen=True)
class Member:
    """One runtime of a chain: how to make it, how to get its network, and a trial of it in another process.

    `trial` returns None when a fresh process can load and run it, else the fault.
    """

    name: str
    make: Callable[[], Runtime]
    network: Callable[[], bytes]
    trial: Callable[[], RuntimeFault | None]


class ChainWatch(Protocol):
    """Hears what becomes of the runtimes."""

    def fell(self, name: str, fault: RuntimeFault) -> None:
        """A runtime was passed over."""
        ...

    def serves(self, name: str, degraded: bool) -> None:
        """This runtime reads from now on."""
        ...


class Unwatched:
    """Nobody listens."""

    def fell(self, name: str, fault: RuntimeFault) -> None:
        """Nothing."""

    def serves(self, name: str, degraded: bool) -> None:
        """Nothing."""


class RuntimeChain:
    """The runtimes of one model, best first; `triage_models.ports.Inference`.

    Args:
        input_size: side of the network's square, for warming up.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        members: Sequence[Member],
        input_size: int,
        watch: ChainWatch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not members:
            raise InferenceFailed("no runtime was asked for")
        self._members = {member.name: member for member in members}
        self._batch = reference_batch(input_size)
        self._watch = watch or Unwatched()
        self._clock = clock
        self._change = threading.Lock()
        self._loaded: dict[str, Runtime] = {}
        self._answer: dict[str, Array] | None = None
        self._standings = tuple(ready(member.name, clock()) for member in members)
        self._last = members[0].name
        self._told: str | None = None
        self.wants_fresh_process = False
        """A fresh process could use a runtime that this process cannot: its device context is beyond repair."""

    @property
    def expected(self) -> str:
        """The runtime that reads when all is well."""
        return next(iter(self._members))

    @property
    def name(self) -> str:
        """Who read the last batch."""
        return self._last

    @property
    def standings(self) -> tuple[Standing, ...]:
        """Of all runtimes, best first."""
        return self._standings

    def open(self) -> None:
        """Loads and warms up all of them, the plainest first. Raises InferenceFailed when none can be used."""
        faults = []
        for member in reversed(self._members.values()):
            try:
                self._bring_up(member)
            except ModelError as error:
                faults.append(f"{member.name}: {error}")
                self._fell(member.name, fault_of(error), error)
        if not self._loaded:
            raise InferenceFailed("no runtime can be used: " + "; ".join(faults))
        self._tell(order_of_attempts(self._standings)[0])

    def infer(self, batch: Array) -> dict[str, Array]:
        """The answer of the first runtime that makes sense. Raises InferenceFailed when none does."""
        suspects: list[str] = []
        faults: list[str] = []
        for name in order_of_attempts(self._standings):
            runtime = self._loaded.get(name)
            if runtime is None:
                continue
            try:
                outputs = runtime.infer(batch)
            except ModelError as error:
                faults.append(f"{name}: {error}")
                self._fell(name, fault_of(error), error)
                continue
            wrong = nonsense(outputs, len(batch))
            if wrong is not None:
                faults.append(f"{name}: {wrong}")
                suspects.append(name)
                continue
            for suspect in suspects:
                self._fell(suspect, RuntimeFault.NONSENSE, None)
            self._last = name
            self._tell(name)
            return outputs
        raise InferenceFailed("; ".join(faults) or "no runtime is loaded")

    def recover(self) -> bool:
        """Tries the resting runtime whose time has come, away from the slices; True when one came back."""
        standing = to_try(self._standings, self._clock())
        if standing is None:
            return False
        member = self._members[standing.name]
        fault = member.trial()
        if fault is None:
            try:
                self._bring_up(member)
            except ModelError as error:
                self.wants_fresh_process = True
                logger.error("%s works in a fresh process but not in this one: %s", member.name, error)
            else:
                logger.warning("%s is back", member.name)
                self._tell(order_of_attempts(self._standings)[0])
                return True
        with self._change:
            self._standings = exchanged(self._standings, postponed(standing, self._clock()))
        return False

    def _bring_up(self, member: Member) -> None:
        """Make, load and warm up one runtime, and compare it with the others before it may read."""
        runtime = member.make()
        runtime.load(member.network())
        for _ in range(WARM_UP_RUNS):
            outputs = runtime.infer(self._batch)
        wrong = nonsense(outputs, len(self._batch))
        if wrong is None and self._answer is not None:
            wrong = disagreement(outputs, self._answer)
        if wrong is not None:
            raise Nonsense(wrong)
        with self._change:
            self._answer = self._answer or outputs
            self._loaded[member.name] = runtime
            standing = next(s for s in self._standings if s.name == member.name)
            self._standings = exchanged(self._standings, after_return(standing, self._clock()))

    def _fell(self, name: str, fault: RuntimeFault, error: Exception | None) -> None:
        fault = RuntimeFault.NONSENSE if isinstance(error, Nonsense) else fault
        with self._change:
            standing = next(s for s in self._standings if s.name == name)
            if standing.phase is Phase.READY:
                self._standings = exchanged(self._standings, after_fault(standing, fault, self._clock()))
            if any(s.phase is Phase.READY for s in self._standings):
                self._loaded.pop(name, None)  # its memory on the device is free again
        self._watch.fell(name, fault)
        logger.error("%s is passed over: %s (%s)", name, fault, error)

    def _tell(self, name: str) -> None:
        if name != self._told:
            self._told = name
            self._watch.serves(name, name != self.expected)


class Nonsense(InferenceFailed):
    """A runtime answers otherwise than the others; never read with."""
