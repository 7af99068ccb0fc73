"""The machine's own metrics."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import CollectorRegistry

from monitoring.host import HostMetrics, first_end


def a_certificate(ends: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tocsin")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, ends - timedelta(days=90), ends)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_the_first_certificate_of_a_chain_to_end_counts(tmp_path: Path) -> None:
    soon = datetime(2030, 1, 1, tzinfo=UTC)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(a_certificate(soon + timedelta(days=400)) + a_certificate(soon))
    assert first_end(chain) == soon.timestamp()


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ValueError, match="PEM"):
        first_end(tmp_path / "empty.pem")


def test_clock_and_disk_are_told_and_a_disk_that_is_gone_is_not(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    HostMetrics(registry, {"spool": tmp_path, "lost": tmp_path / "gone"}, now=lambda: 1234.5)
    assert registry.get_sample_value("tocsin_clock_seconds") == 1234.5
    size = registry.get_sample_value("tocsin_disk_size_bytes", {"volume": "spool"})
    free = registry.get_sample_value("tocsin_disk_free_bytes", {"volume": "spool"})
    assert size is not None
    assert free is not None
    assert 0 <= free <= size
    assert registry.get_sample_value("tocsin_disk_free_bytes", {"volume": "lost"}) is None
    assert registry.get_sample_value("process_open_fds") is not None
