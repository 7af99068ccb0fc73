"""What every service tells of the machine it runs on: its clock, its disks, its certificates, its own process.

The names are the same in every service; Prometheus tells them apart by ``job`` and ``instance``. Volumes and
certificates are labels from the code, never paths or names from a file.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class HostMetrics(Collector):
    """Registers itself; looks at each scrape.

    Args:
        volumes: folders whose disk must not fill up, by what they hold.
        certificates: PEM files, by their use; read once, here, because that is when the service reads them.
        now: seconds since the epoch.

    Raises:
        OSError, ValueError: a certificate cannot be read.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        volumes: Mapping[str, Path] | None = None,
        certificates: Mapping[str, Path] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._volumes = dict(volumes or {})
        self._ends = {use: first_end(path) for use, path in (certificates or {}).items()}
        self._now = now
        ProcessCollector(registry=registry)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "tocsin_clock_seconds",
            "This machine's clock at the scrape; against Prometheus's own it shows a clock that is wrong.",
            value=self._now(),
        )
        free = GaugeMetricFamily(
            "tocsin_disk_free_bytes", "Free for us on the disk that holds a volume.", labels=["volume"]
        )
        size = GaugeMetricFamily("tocsin_disk_size_bytes", "Size of the disk that holds a volume.", labels=["volume"])
        for volume, folder in self._volumes.items():
            try:
                usage = shutil.disk_usage(folder)
            except OSError:
                continue  # a disk that is gone is no disk with room: the series ends, and the rule says so
            free.add_metric([volume], usage.free)
            size.add_metric([volume], usage.total)
        yield from (free, size)
        ends = GaugeMetricFamily(
            "tocsin_certificate_expiry_timestamp_seconds",
            "When the first certificate of a file in use ceases to be valid.",
            labels=["certificate"],
        )
        for use, end in self._ends.items():
            ends.add_metric([use], end)
        yield ends


def first_end(pem: Path) -> float:
    """Seconds since the epoch at which the first of a file's certificates ends.

    Raises:
        OSError, ValueError: it cannot be read, or holds no certificate.
    """
    certificates = x509.load_pem_x509_certificates(pem.read_bytes())
    return min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)
