"""Circuit breakers: a provider that is down is not tried by everybody at once, and those who wait for it know.

A provider is what several addresses share: a mail server, a push service, the host of webhooks. After some failures in
a row its circuit opens; one attempt at a time then looks whether it is back, at growing intervals.

Laws: an open circuit never drops a message, it only delays attempts, and never longer than :data:`LONGEST_SECONDS`; a
provider that answered, even by a refusal, is there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Lock

from alerts.errors import FailureKind
from alerts.store.outbox import Address

OPENS_AFTER = 3
"""Failures in a row, of any of the provider's addresses."""

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 30.0

PROBE = timedelta(seconds=15)
"""An attempt that looks whether the provider is back is over after this: no channel's deadline is longer."""

DOWN = frozenset({FailureKind.UNREACHABLE, FailureKind.TIMED_OUT, FailureKind.BROKEN})
"""Failures that say something about the provider; the others say something about the message or its address."""


class CircuitState(StrEnum):
    CLOSED = "closed"
    """All is well."""
    OPEN = "open"
    """Nothing is tried just now."""
    HALF_OPEN = "half_open"
    """One attempt looks whether it is back."""


@dataclass
class Circuit:
    """One provider's."""

    failures: int = 0
    """In a row."""
    closed_again_at: datetime | None = None
    """When it may next be tried; None while closed."""
    probing_since: datetime | None = None

    def state(self, now: datetime) -> CircuitState:
        if self.closed_again_at is None:
            return CircuitState.CLOSED
        return CircuitState.OPEN if now < self.closed_again_at else CircuitState.HALF_OPEN

    def may_try(self, now: datetime) -> bool:
        probing = self.probing_since is not None and now < self.probing_since + PROBE
        return self.state(now) is CircuitState.CLOSED or (self.state(now) is CircuitState.HALF_OPEN and not probing)

    def begin(self, now: datetime) -> None:
        if self.state(now) is not CircuitState.CLOSED:
            self.probing_since = now

    def answered(self) -> None:
        self.failures, self.closed_again_at, self.probing_since = 0, None, None

    def failed(self, now: datetime) -> None:
        self.failures += 1
        self.probing_since = None
        if self.failures >= OPENS_AFTER:
            pause = min(FIRST_SECONDS * 2.0 ** (self.failures - OPENS_AFTER), LONGEST_SECONDS)
            self.closed_again_at = now + timedelta(seconds=pause)


@dataclass
class Circuits:
    """All circuits of this instance, for many threads."""

    providers: Mapping[Address, str] = field(default_factory=dict)
    """What each address depends on; an address that is not here depends on nothing that it shares."""
    _lock: Lock = field(default_factory=Lock)
    _circuits: dict[str, Circuit] = field(default_factory=dict)
    _addresses: dict[str, set[Address]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for address in self.providers:
            self._of(address)

    def _of(self, address: Address) -> Circuit:
        provider = self.providers.get(address, f"{address.channel} of {address.recipient}")
        self._addresses.setdefault(provider, set()).add(address)
        return self._circuits.setdefault(provider, Circuit())

    def shut(self, now: datetime) -> frozenset[Address]:
        """The addresses that are not to be tried now."""
        with self._lock:
            return frozenset(self._behind(p for p, circuit in self._circuits.items() if not circuit.may_try(now)))

    def down(self, now: datetime) -> frozenset[Address]:
        """The addresses whose provider is not known to be back."""
        with self._lock:
            closed = CircuitState.CLOSED
            return frozenset(self._behind(p for p, circuit in self._circuits.items() if circuit.state(now) != closed))

    def _behind(self, providers: Iterable[str]) -> Iterable[Address]:
        return (address for provider in providers for address in self._addresses[provider])

    def begin(self, address: Address, now: datetime) -> None:
        """An attempt is about to be made."""
        with self._lock:
            self._of(address).begin(now)

    def ended(self, address: Address, failure: FailureKind | None, now: datetime) -> None:
        """What came of it."""
        with self._lock:
            circuit = self._of(address)
            if failure in DOWN:
                circuit.failed(now)
            else:
                circuit.answered()

    def states(self, now: datetime) -> dict[str, tuple[CircuitState, frozenset[Address]]]:
        """Each provider's state and the addresses behind it, by provider."""
        with self._lock:
            return {
                provider: (circuit.state(now), frozenset(self._addresses[provider]))
                for provider, circuit in sorted(self._circuits.items())
            }
