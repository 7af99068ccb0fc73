"""Traces: off unless configured, the same ids in every service, and never in anybody's way."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from monitoring.tracing import NO_TRACES, SERIES, Kind, Span, finding_step, open_traces, within

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from monitoring.otlp import OtlpTraces
from tests.support.otlp import Collector

KEY = "0123456789abcdef0123456789abcdef"
START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def traces(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpTraces]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    traces = open_traces("streams", {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint})
    assert isinstance(traces, OtlpTraces)
    yield traces
    traces.close()


def a_span(name: str, step: tuple[str | int, ...] = (), parent: str | None = None, **attributes: str) -> Span:
    return Span(
        name, KEY, START, START + timedelta(seconds=1), Kind.CONSUMER, step=step, parent=parent, attributes=attributes
    )


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_nothing_is_traced_unless_asked_for_in_a_way_that_is_known(environment: dict[str, str]) -> None:
    traces = open_traces("listener", environment)
    assert traces is NO_TRACES
    assert traces.context(KEY, "store", KEY) is None


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys; from monitoring.tracing import open_traces; open_traces('streams', {});"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_series_is_one_trace_whose_steps_know_each_other_by_the_key_alone(
    collector: Collector, traces: OtlpTraces
) -> None:
    stored = traces.context(KEY, "store", "slice")
    traces.record(a_span("C-STORE", ("store", "slice")))
    with within(traces.context(KEY, "process", "slice")):
        traces.record(a_span("send finding", finding_step(1)))
    traces.record(a_span("process slice", ("process", "slice"), stored))
    traces.record(a_span("notify", parent=traces.context(KEY, *finding_step(1))))
    traces.record(a_span("series", SERIES, outcome="positive"))
    traces.close()
    spans = {span.name: span for span in collector.trace(KEY)}
    assert len(spans) == len(collector.spans) == 5
    above = {name: next((s.name for s in spans.values() if s.span == span.parent), "") for name, span in spans.items()}
    assert above == {
        "series": "",
        "C-STORE": "series",
        "process slice": "C-STORE",
        "send finding": "process slice",
        "notify": "send finding",
    }
    assert spans["series"].parent == ""
    assert spans["series"].attributes == {"outcome": "positive"}
    assert spans["series"].end - spans["series"].start == 1_000_000_000
    assert {span.service for span in spans.values()} == {"tocsin-streams"}


@pytest.mark.parametrize("parent", ["", "nonsense", f"00-{'f' * 32}-{'1' * 16}-01"])
def test_a_parent_that_is_none_of_this_series_is_replaced_by_the_series(
    collector: Collector, traces: OtlpTraces, parent: str
) -> None:
    traces.record(a_span("series", SERIES))
    traces.record(a_span("process slice", parent=parent))
    traces.close()
    spans = {span.name: span for span in collector.trace(KEY)}
    assert spans["process slice"].parent == spans["series"].span


def test_a_sampled_share_of_the_series_is_the_same_in_every_service(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    keys = [f"{number << 56:032x}" for number in range(1, 256, 8)]
    services = [OtlpTraces.to_endpoint(name) for name in ("a", "b")]
    for key in keys:
        for traces in services:
            traces.record(Span("series", key, START, START, step=SERIES))
            traces.record(Span("slice", key, START, START, parent=traces.context(key, "store", "1")))
    for traces in services:
        traces.close()
    assert {len(collector.trace(key)) for key in keys} == {0, 4}


def test_a_collector_that_is_away_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    traces = OtlpTraces.to_endpoint("streams")
    before = time.monotonic()
    for number in range(5_000):
        traces.record(a_span("process slice", ("process", number)))
    traces.record(Span("bad", "not a key", START, START))
    traces.close()
    assert time.monotonic() - before < 30
