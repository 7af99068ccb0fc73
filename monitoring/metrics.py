"""Metrics toolkit: each service declares its metrics once, in a typed object of its own ``metrics.py``.

Laws: names follow the Prometheus conventions (base unit, ``_total``); label values come from enums or settings, never
from data, so no UID can become a label; every series of a labelled metric exists from the start, at zero, so that
``rate()`` sees the first event.
"""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 25, 30, 45, 60, 120, 300)
"""Sized for a promise of 30 s: fine below 5 s, where the healthy system lives, and exact at 30 s."""

STAGE_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""For the work of one stage on one slice."""


class Labelled(Protocol):
    """A metric that can be asked for the child of one label value."""

    def labels(self, *values: str) -> object: ...


def zero(metric: Labelled, *values: Iterable[str]) -> None:
    """Create every child of a labelled metric: the cross product of the values of its labels."""
    combinations: list[tuple[str, ...]] = [()]
    for column in values:
        options = [str(v) for v in column]
        combinations = [(*done, option) for done in combinations for option in options]
    for combination in combinations:
        metric.labels(*combination)


class Instruments:
    """Base of a service's metrics object: one registry, one namespace ``tocsin``.

    Args:
        registry: where the metrics are exposed from; a fresh one per service or per test.
        service: the second part of each name, such as ``listener``.
    """

    def __init__(self, registry: CollectorRegistry, service: str) -> None:
        self.registry = registry
        self._service = service

    def counter(self, name: str, help_text: str, **labels: Iterable[str]) -> Counter:
        metric = Counter(
            name, help_text, list(labels), namespace="tocsin", subsystem=self._service, registry=self.registry
        )
        if labels:
            zero(metric, *labels.values())
        return metric

    def gauge(self, name: str, help_text: str, **labels: Iterable[str]) -> Gauge:
        metric = Gauge(
            name, help_text, list(labels), namespace="tocsin", subsystem=self._service, registry=self.registry
        )
        if labels:
            zero(metric, *labels.values())
        return metric

    def histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...] = LATENCY_BUCKETS_SECONDS, **labels: Iterable[str]
    ) -> Histogram:
        metric = Histogram(
            name,
            help_text,
            list(labels),
            namespace="tocsin",
            subsystem=self._service,
            registry=self.registry,
            buckets=buckets,
        )
        if labels:
            zero(metric, *labels.values())
        return metric
