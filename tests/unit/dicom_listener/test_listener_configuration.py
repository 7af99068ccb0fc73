"""Settings, the quiet of the libraries, and the choice of what is worth another attempt."""

import logging
import warnings
from pathlib import Path

import pytest
from kafka import errors as kafka_errors
from pydantic import ValidationError

from dicom_listener.errors import CannotStart
from dicom_listener.kafka_broker import KafkaBroker, assert_checksums_are_native
from dicom_listener.privacy import TALKATIVE, silence_libraries
from dicom_listener.settings import Settings
from dicom_listener.statuses import STATUS_BY_REASON
from streams.contracts.series import RefusalReason

REQUIRED = {
    "TOCSIN_SITE_SECRET_FILE": "/s",
    "TOCSIN_IDENTITY_KEY_FILE": "/k",
    "TOCSIN_LISTENER_SPOOL_DIR": "/spool",
}


def settings(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    for name, value in (REQUIRED | changes).items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_defaults_are_careful(monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings(monkeypatch)
    assert (s.host, s.metrics_host, s.ae_title, s.port) == ("127.0.0.1", "127.0.0.1", "TOCSIN", 11112)
    assert s.request_seconds <= 5
    assert s.max_pdu_bytes >= 131_072
    assert s.spool_dir == Path("/spool")
    assert s.tls_files is None


def test_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings(
        monkeypatch,
        KAFKA_BOOTSTRAP_SERVERS="a:1, b:2",
        TOCSIN_LISTENER_PEERS='[{"ae_title": "CT1", "address": "10.0.0.0/8"}]',
    )
    assert s.bootstrap_servers == ["a:1", "b:2"]
    assert s.peers[0].ae_title == "CT1"


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "70000"), ("SPOOL_MAX_BYTES", "10"), ("PEERS", '[{"ae_title": "CT1"}]'), ("REQUEST_SECONDS", "0")],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, **{f"TOCSIN_LISTENER_{name}": value})


def test_half_of_tls_is_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotStart, match="all three"):
        _ = settings(monkeypatch, TOCSIN_LISTENER_TLS_KEY_FILE="/key").tls_files


def test_libraries_say_nothing() -> None:
    levels = {name: logging.getLogger(name).level for name in TALKATIVE}
    with warnings.catch_warnings():
        silence_libraries()
        for name in ("pydicom", "pynetdicom", "pynetdicom.dul", "kafka.producer"):
            assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_checksums_are_native() -> None:
    assert_checksums_are_native()


@pytest.mark.parametrize("error", [kafka_errors.MessageSizeTooLargeError("x"), kafka_errors.InvalidRecordError()])
def test_faults_of_the_message(error: Exception) -> None:
    assert KafkaBroker(None).will_never_take(error)


@pytest.mark.parametrize(
    "error",
    [
        kafka_errors.KafkaTimeoutError(),
        kafka_errors.NotEnoughReplicasError(),
        kafka_errors.UnknownTopicOrPartitionError(),
        kafka_errors.TopicAuthorizationFailedError(),
        kafka_errors.IllegalStateError(),
        TimeoutError(),
    ],
)
def test_faults_of_the_moment(error: Exception) -> None:
    assert not KafkaBroker(None).will_never_take(error)


def test_every_reason_has_a_failure_status() -> None:
    assert set(STATUS_BY_REASON) == set(RefusalReason)
    assert all(status >= 0x0100 for status in STATUS_BY_REASON.values())
    assert {reason for reason, status in STATUS_BY_REASON.items() if status == 0xA700} == {
        RefusalReason.SPOOL_FULL,
        RefusalReason.SPOOL_FAILED,
        RefusalReason.INTERNAL_ERROR,
    }
