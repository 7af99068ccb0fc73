"""Traces to an OpenTelemetry collector, by OTLP over HTTP. Needs the ``otel`` extra."""

import logging
import threading
from datetime import datetime

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from monitoring.tracing import SERIES, ChosenIds, Span, parent_of, span_id

journal = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0
"""What still waits when a service stops is given so long."""
SCOPE = "tocsin"


class OtlpTraces:
    """Spans by way of a provider of its own: the global one stays unset, so no library's spans go out by it."""

    on = True

    def __init__(self, provider: TracerProvider, chosen: ChosenIds) -> None:
        self._provider, self._chosen = provider, chosen
        self._tracer = provider.get_tracer(SCOPE)

    @classmethod
    def to_endpoint(cls, service: str) -> "OtlpTraces":
        """Endpoint, headers, sampler and limits are those of OpenTelemetry's variables."""
        chosen = ChosenIds()
        resource = Resource.create({SERVICE_NAME: service})
        provider = TracerProvider(id_generator=_Ids(chosen), resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        return cls(provider, chosen)

    def context(self, series_key: str, *step: str | int) -> str | None:
        return f"00-{series_key}-{span_id(series_key, step):016x}-{self._flags(series_key):02x}"

    def record(self, span: Span) -> None:
        try:
            self._record(span)
        except Exception:  # noqa: BLE001 - a boundary: no fault of tracing may cost a patient anything
            journal.exception("a span could not be recorded")

    def _record(self, span: Span) -> None:
        self._chosen.trace = int(span.series_key, 16)
        self._chosen.span = span_id(span.series_key, span.step) if span.step else None
        started = self._tracer.start_span(
            span.name,
            self._context(span),
            kind=SpanKind[span.kind],
            attributes=dict(span.attributes),
            start_time=_nanoseconds(span.start),
        )
        if span.failed:
            started.set_status(StatusCode.ERROR)
        started.end(max(_nanoseconds(span.start), _nanoseconds(span.end)))

    def close(self) -> None:
        """A collector that is away does not hold up the end of a service."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)

    def _context(self, span: Span) -> Context:
        if span.step == SERIES:
            return Context()
        parent, flags = parent_of(span) or (span_id(span.series_key, SERIES), self._flags(span.series_key))
        of_parent = SpanContext(int(span.series_key, 16), parent, is_remote=True, trace_flags=TraceFlags(flags))
        return trace.set_span_in_context(NonRecordingSpan(of_parent), Context())

    def _flags(self, series_key: str) -> int:
        """Every service comes to the same: a ratio is of the trace's id."""
        decision = self._provider.sampler.should_sample(None, int(series_key, 16), "series").decision
        return int(TraceFlags.SAMPLED if decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)


class _Ids(RandomIdGenerator):
    def __init__(self, chosen: ChosenIds) -> None:
        self._chosen = chosen

    def generate_trace_id(self) -> int:
        return self._chosen.trace or super().generate_trace_id()

    def generate_span_id(self) -> int:
        return self._chosen.span or super().generate_span_id()


def _nanoseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000) * 1_000
