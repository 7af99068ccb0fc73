"""What an answer of the far side means, and what is handed to it."""

import smtplib
import ssl
from datetime import timedelta
from typing import Any

import pytest

from alerts.backoff import LONGEST_REQUESTED_WAIT_SECONDS, people_must_know, retry_after
from alerts.channels import email, webhook
from alerts.errors import (
    ChannelBroken,
    ChannelBusy,
    ChannelError,
    ChannelRefused,
    ChannelTimedOut,
    ChannelUnreachable,
    FailureKind,
)
from tests.unit.alerts.builders import START, a_finding


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (200, None),
        (204, None),
        (301, ChannelRefused),
        (400, ChannelRefused),
        (404, ChannelRefused),
        (408, ChannelBusy),
        (429, ChannelBusy),
        (500, ChannelBroken),
        (503, ChannelBusy),
    ],
)
def test_http_statuses(status: int, failure: type[ChannelError] | None) -> None:
    assert type(webhook.failure_of(status)) is (failure or type(None))


def test_a_wait_that_was_asked_for_is_kept_within_bounds() -> None:
    busy = webhook.failure_of(429, "20")
    assert busy
    assert busy.retry_after_seconds == 20
    for text in ("soon", "-1", "", "1e9", None):
        refused = webhook.failure_of(429, text)
        assert refused
        assert refused.retry_after_seconds is None
    assert retry_after(FailureKind.BUSY, 1, 9999) == timedelta(seconds=LONGEST_REQUESTED_WAIT_SECONDS)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (smtplib.SMTPRecipientsRefused({"a@b": (550, b"no such user")}), ChannelRefused),
        (smtplib.SMTPRecipientsRefused({"a@b": (451, b"greylisted")}), ChannelBusy),
        (smtplib.SMTPDataError(452, b"full"), ChannelBusy),
        (smtplib.SMTPDataError(554, b"spam"), ChannelRefused),
        (smtplib.SMTPAuthenticationError(535, b"no"), ChannelRefused),
        (smtplib.SMTPServerDisconnected("bye"), ChannelUnreachable),
        (smtplib.SMTPNotSupportedError("no STARTTLS"), ChannelRefused),
        (smtplib.SMTPException("?"), ChannelBroken),
        (TimeoutError(), ChannelTimedOut),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), ChannelUnreachable),
        (ConnectionRefusedError(111, "Connection refused"), ChannelUnreachable),
    ],
)
def test_smtp_errors(error: Exception, failure: type[ChannelError]) -> None:
    found = email.failure_of(error)
    assert type(found) is failure
    assert "a@b" not in str(found)


def test_a_bug_is_not_taken_for_a_channels_failure() -> None:
    assert email.failure_of(KeyError("x")) is None


@pytest.mark.parametrize("kind", FailureKind)
def test_waits_grow_and_never_end(kind: FailureKind) -> None:
    waits = [retry_after(kind, attempts, None) for attempts in range(1, 60)]
    assert waits == sorted(waits)
    assert timedelta(0) < waits[0]
    assert waits[-1] <= timedelta(minutes=2)
    assert people_must_know(kind, 10)


def test_the_mail_is_plain_threaded_and_named_by_its_notice(ward: Any) -> None:
    ward.send(a_finding())
    [message] = ward.expects("second")
    mail = email.mail_of(message, "tocsin@hospital.example", "second@hospital.example")
    assert mail["Message-ID"] == f"<{message.notice_id}@hospital.example>"
    assert message.alert_id in mail["References"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Importance"] == "high"
    assert mail.get_content_type() == "text/plain"
    assert "Possible intracranial hemorrhage" in mail["Subject"]
    assert "Acknowledge: http" in mail.get_content()


def test_the_signature_covers_time_and_body() -> None:
    signed = webhook.signature("secret", b"body", START)
    assert signed.startswith(f"t={int(START.timestamp())},v1=")
    assert signed != webhook.signature("secret", b"bodY", START)
    assert signed != webhook.signature("secreT", b"body", START)
    assert signed != webhook.signature("secret", b"body", START + timedelta(seconds=1))
