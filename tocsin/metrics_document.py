"""Writes ``docs/metrics.md`` from the code: every metric, unit and label. ``python -m tocsin.metrics_document``.

A test compares the file with what this prints, and holds the labels to their law: no value that comes from data.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from alerts.metrics import AlertMetrics
from dicom_listener.metrics import ListenerMetrics
from monitoring import gpu
from monitoring.host import HostMetrics
from monitoring.lag import BrokerMetrics
from monitoring.metrics import LATENCY_BUCKETS_SECONDS
from monitoring.settings import MonitoringSettings
from streams.metrics import StreamsMetrics
from tocsin.heartbeat_metrics import HeartbeatMetrics

UNITS = {
    "timestamp_seconds": "Unix seconds",
    "seconds": "seconds",
    "bytes": "bytes",
    "messages": "messages",
    "celsius": "°C",
    "watts": "watts",
}
PREAMBLE = f"""\
# Metrics

Written by `python -m tocsin.metrics_document`; do not edit. Every service answers `GET /metrics` on a port of its own
(loopback unless set otherwise). Label values come from the code or from the site's settings, never from images or
messages: no UID, no patient, no key of a series. What exists from the start is there at zero, so that `rate()` sees
the first event. Which of them make somebody's phone ring is in [monitoring.md](monitoring.md).

Histograms of clocks have the bounds {", ".join(f"{b:g}" for b in LATENCY_BUCKETS_SECONDS)} s:
fine where the healthy system lives, and with a bound at the promised 30 s. Latencies are computed from the instants
that the events carry.
"""
MOST_VALUES = 12
"""Of a label; the rest is counted."""


def _broker(registry: CollectorRegistry) -> None:
    settings = MonitoringSettings()
    BrokerMetrics(registry, settings.topics, settings.consumers)


def _streams(registry: CollectorRegistry) -> None:
    StreamsMetrics(registry).model_info.labels("of the manifest", "of the manifest", "in use")


class _Gpu(Collector):
    """One GPU, as it would be told."""

    def collect(self) -> Iterator[Metric]:
        for family in gpu.declared():
            family.add_metric(["0"], 0)
            yield family


def _gpu(registry: CollectorRegistry) -> None:
    registry.register(_Gpu())


def _host(registry: CollectorRegistry) -> None:
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "certificate.pem")
        certificate.write_bytes(_a_certificate())
        HostMetrics(registry, {"spool": Path("/"), "store": Path("/")}, {"dicom": certificate})


SERVICES: tuple[tuple[str, str, Callable[[CollectorRegistry], object]], ...] = (
    ("dicom_listener", "port 9101, further processes on the ports behind it", ListenerMetrics),
    ("streams", "port 9102", _streams),
    ("alerts", "port 9103", AlertMetrics),
    ("monitoring", "port 9104: the watch at the broker, `python -m monitoring`", _broker),
    ("heartbeat", "port 9105: the dead-man's study, `tocsin heartbeat`", HeartbeatMetrics),
    ("streams with an NVIDIA GPU", "with those of streams, where a GPU and the `gpu` extra are", _gpu),
    ("Every service", "of its machine and its process", _host),
)
"""Title, where it is exposed, and what declares it."""


def families(declare: Callable[[CollectorRegistry], object]) -> list[Metric]:
    """The metrics that something declares, as they are at the start."""
    registry = CollectorRegistry()
    declare(registry)
    return list(registry.collect())


def labels_of(family: Metric) -> dict[str, list[str]]:
    """The labels of a metric and the values that exist from the start; buckets apart."""
    found: dict[str, list[str]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if not (label == "le" and family.type == "histogram") and value not in found.setdefault(label, []):
                found[label].append(value)
    return found


def lines() -> Iterator[str]:
    """The document, line by line."""
    yield from PREAMBLE.splitlines()
    for title, where, declare in SERVICES:
        yield ""
        yield f"## {title}"
        yield ""
        yield f"{where[0].upper()}{where[1:]}."
        yield ""
        yield "| metric | type | unit | labels | meaning |"
        yield "|---|---|---|---|---|"
        for family in families(declare):
            yield _row(family)


def _row(family: Metric) -> str:
    suffix = "_total" if family.type == "counter" else ""
    labels = "; ".join(f"`{label}`: {_values(values)}" for label, values in labels_of(family).items())
    unit = next((unit for ending, unit in UNITS.items() if family.name.endswith(ending)), "")
    meaning = " ".join(family.documentation.split()).rstrip(".").replace("|", "\\|")
    return f"| `{family.name}{suffix}` | {family.type} | {unit} | {labels} | {meaning} |"


def _values(values: list[str]) -> str:
    more = f" and {len(values) - MOST_VALUES} more" if len(values) > MOST_VALUES else ""
    return ", ".join(values[:MOST_VALUES]) + more


def _a_certificate() -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tocsin")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
