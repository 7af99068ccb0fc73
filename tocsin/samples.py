"""What services say of themselves at their ``/metrics``, as numbers."""

import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tocsin.ports import LOOPBACK

TIMEOUT_SECONDS = 3.0


@dataclass(frozen=True)
class Samples:
    """The samples of several services, summed where a name and its labels come more than once."""

    values: Mapping[str, Mapping[frozenset[tuple[str, str]], float]]

    @classmethod
    def parsed(cls, texts: Iterable[str]) -> "Samples":
        """From expositions in Prometheus's text format."""
        values: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
        for text in texts:
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    of_name = values.setdefault(sample.name, {})
                    labels = frozenset(sample.labels.items())
                    of_name[labels] = of_name.get(labels, 0.0) + sample.value
        return cls(values)

    def total(self, name: str, **labels: str) -> float:
        """Sum over all samples of a name that have these labels."""
        wanted = set(labels.items())
        return sum(value for found, value in self.values.get(name, {}).items() if wanted <= found)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the values of one label, zeros left out."""
        found = {dict(labels).get(label, "") for labels in self.values.get(name, {})}
        sums = {value: self.total(name, **{label: value}) for value in sorted(found)}
        return {value: total for value, total in sums.items() if total}


def samples_at(ports: Iterable[int], timeout: float = TIMEOUT_SECONDS) -> Samples:
    """Ask services on loopback; one that does not answer is left out."""
    texts = []
    for port in ports:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=timeout) as answer:
                texts.append(answer.read().decode())
        except OSError:
            continue
    return Samples.parsed(texts)
