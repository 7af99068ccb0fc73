"""Traces in OpenTelemetry's terms: one per series, from the C-STORE to the alert's delivery. Off unless configured.

Laws: a trace's id is its series' pseudonymous key, and the id of a step that others refer to follows from that key, so
that work repeated after a crash is the same span and no service has to remember another's; attributes are numbers and
values from the code, never a UID, a name or a text from an image; a collector that is slow or away costs spans, never
time: they are sent by a thread of their own, from a queue with a bound.
"""

import hashlib
import importlib.util
import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from monitoring.otlp import OtlpTraces

journal = logging.getLogger(__name__)

TRACEPARENT = "traceparent"
"""Name of the Kafka header that carries the context (W3C Trace Context)."""

SERIES = ("series",)
"""The step that is the whole: from the first slice to the outcome. The parent of what has no other."""


def finding_step(revision: int) -> tuple[str, int]:
    """The step by which a finding of a series went out."""
    return ("finding", revision)


ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
SPOKEN = "http/protobuf"

_CONTEXT = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_within: ContextVar[str | None] = ContextVar("traceparent", default=None)

Attribute = str | int | float | bool


class Kind(StrEnum):
    """OpenTelemetry's kinds of spans."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


def messaging(topic: str, partition: int | None = None, offset: int | None = None) -> dict[str, Attribute]:
    """Attributes of a span that sends to Kafka, or has received from a place on it (conventions for messaging)."""
    sent: dict[str, Attribute] = {"messaging.system": "kafka", "messaging.destination.name": topic}
    if partition is None or offset is None:
        return sent
    return sent | {"messaging.destination.partition.id": str(partition), "messaging.kafka.offset": offset}


def carried(headers: Iterable[tuple[str, bytes]]) -> str:
    """The ``traceparent`` among a message's headers, as somebody wrote it; empty where there is none."""
    return dict(headers).get(TRACEPARENT, b"").decode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class Span:
    """Something that has been done for a series.

    Args:
        step: what others refer to it by; without it nobody does.
        parent: a ``traceparent``; the series as a whole where it is absent or of another trace.
    """

    name: str
    series_key: str
    start: datetime
    end: datetime
    kind: Kind = Kind.INTERNAL
    step: tuple[str | int, ...] = ()
    parent: str | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    failed: bool = False


class Traces(Protocol):
    """Where spans go. Both methods are quick and never raise."""

    on: bool

    def context(self, series_key: str, *step: str | int) -> str | None:
        """The ``traceparent`` of a step of a series, whether it has been recorded or will be; None: nobody traces."""

    def record(self, span: Span) -> None: ...

    def close(self) -> None:
        """Send what waits, for a moment."""


class NoTraces:
    """Nobody traces."""

    on = False

    def context(self, series_key: str, *step: str | int) -> str | None:
        return None

    def record(self, span: Span) -> None: ...

    def close(self) -> None: ...


NO_TRACES = NoTraces()


def open_traces(service: str, environment: Mapping[str, str]) -> "NoTraces | OtlpTraces":
    """As OpenTelemetry's own variables say (docs/monitoring.md). Without an endpoint, nothing is traced nor imported.

    Tracing that cannot be had is said in the journal and stops nothing.
    """
    if not any(environment.get(name) for name in ENDPOINTS):
        return NO_TRACES
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return NO_TRACES
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), SPOKEN)
    if protocol != SPOKEN:
        journal.error("no traces: the protocol is not spoken here", extra={"protocol": protocol, "spoken": SPOKEN})
        return NO_TRACES
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        journal.error("no traces: OpenTelemetry is not installed (pip install 'tocsin[otel]')")
        return NO_TRACES
    from monitoring.otlp import OtlpTraces

    return OtlpTraces.to_endpoint(f"tocsin-{service}")


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """What is recorded inside, and names no parent, has this one."""
    token = _within.set(traceparent)
    try:
        yield
    finally:
        _within.reset(token)


def parent_of(span: Span) -> tuple[int, int] | None:
    """(span id, flags) of the parent, where it is one of the same trace."""
    found = _CONTEXT.fullmatch(span.parent or _within.get() or "")
    if found is None or found["trace"] != span.series_key:
        return None
    return int(found["span"], 16), int(found["flags"], 16)


def span_id(series_key: str, step: tuple[str | int, ...]) -> int:
    """The same for the same step, in every service and after every crash; never 0."""
    digest = hashlib.sha256("\0".join((series_key, *map(str, step))).encode()).digest()
    return int.from_bytes(digest[:8], "big") or 1


class ChosenIds(threading.local):
    """Ids for the span that this thread records next."""

    trace: int | None = None
    span: int | None = None
