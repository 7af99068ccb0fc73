"""Scanners are told apart as far as the site names them: a calling AE title is the sender's to choose."""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from dicom_listener.metrics import ListenerMetrics
from dicom_listener.settings import Settings

AT = datetime(2026, 3, 1, tzinfo=UTC)


def test_an_unnamed_scanner_counts_as_other() -> None:
    registry = CollectorRegistry()
    metrics = ListenerMetrics(registry, ["CT_1"])
    metrics.slices_taken("CT_1", 2, AT)
    for stranger in ("EVIL_1", "EVIL_2"):
        metrics.slices_taken(stranger, 1, AT)
    (family,) = [f for f in registry.collect() if f.name == "tocsin_listener_scanner_slices"]
    counted = {s.labels["scanner"]: s.value for s in family.samples if s.name.endswith("_total")}
    assert counted == {"CT_1": 2, "other": 2}
    heard = registry.get_sample_value("tocsin_listener_scanner_last_slice_timestamp_seconds", {"scanner": "CT_1"})
    assert heard == AT.timestamp()


def test_peers_and_named_scanners_are_known_and_the_wildcard_is_not() -> None:
    settings = Settings.model_validate(
        {
            "TOCSIN_SITE_SECRET_FILE": "s",
            "TOCSIN_IDENTITY_KEY_FILE": "k",
            "spool_dir": "d",
            "peers": [{"ae_title": "CT_1", "address": "10.0.0.0/8"}, {"ae_title": "*", "address": "10.1.0.1"}],
            "scanners": ["CT_2"],
        }
    )
    assert settings.known_scanners == {"CT_1", "CT_2"}
