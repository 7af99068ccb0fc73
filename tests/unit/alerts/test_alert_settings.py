"""Settings: refused with one sentence that names the setting."""

import json
from pathlib import Path

import pytest

from alerts.errors import SettingsRefused
from alerts.settings import is_loopback, load_cipher, load_oncall, load_recipients, load_settings
from tests.unit.alerts.builders import START

GOOD = {"recipients": [{"name": "a", "webhook": {"url": "http://h/x", "secret": "0123456789abcdef"}}]}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOCSIN_IDENTITY_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_the_defaults_are_this_machine_alone(environment: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    assert is_loopback(settings.host)
    assert is_loopback(settings.metrics_host)


LOOPBACK_PROXY = {"TOCSIN_ALERTS_PUBLIC_URL": "https://t.example", "TOCSIN_ALERTS_TRUSTED_PROXIES": "127.0.0.1"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"TOCSIN_ALERTS_PUBLIC_URL": "https://t.example"}, "needs TLS"),
        (LOOPBACK_PROXY, None),
        ({"TOCSIN_ALERTS_PUBLIC_URL": "http://t.example", "TOCSIN_ALERTS_TRUSTED_PROXIES": "10.0.0.1"}, "https"),
        ({"TOCSIN_ALERTS_PUBLIC_URL": "http://t.example", "TOCSIN_ALERTS_PLAIN_HTTP": "true"}, None),
        (
            {
                "TOCSIN_ALERTS_PUBLIC_URL": "http://t.example",
                "TOCSIN_ALERTS_TLS_CERTIFICATE_FILE": "/c",
                "TOCSIN_ALERTS_TLS_KEY_FILE": "/k",
            },
            "https",
        ),
    ],
)
def test_beyond_loopback_the_page_needs_tls_or_a_proxy_that_has_it(
    environment: pytest.MonkeyPatch, more: dict[str, str], words: str | None
) -> None:
    environment.setenv("TOCSIN_ALERTS_HOST", "10.1.2.3")
    for name, value in more.items():
        environment.setenv(name, value)
    if words is None:
        assert not load_settings().asks_nobody_here
        return
    with pytest.raises(SettingsRefused, match=words):
        load_settings()


@pytest.mark.parametrize(
    ("more", "asks_nobody"),
    [
        ({}, True),
        ({"TOCSIN_ALERTS_PUBLIC_URL": "http://localhost:8080"}, True),
        ({"TOCSIN_ALERTS_PUBLIC_URL": "https://tocsin.hospital.example"}, False),
        (LOOPBACK_PROXY, False),
        (
            {"TOCSIN_ALERTS_SIGN_ON": '{"issuer": "https://s.example", "client_id": "t", "roles": {"g": "doctor"}}'},
            False,
        ),
    ],
)
def test_only_a_page_for_this_machine_alone_asks_nobody(
    environment: pytest.MonkeyPatch, more: dict[str, str], asks_nobody: bool
) -> None:
    for name, value in more.items():
        environment.setenv(name, value)
    assert load_settings().asks_nobody_here is asks_nobody


def test_several_brokers_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:9092, b:9092")
    assert load_settings().kafka_bootstrap_servers == ("a:9092", "b:9092")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOCSIN_ALERTS_HOST", "0.0.0.0", "PUBLIC_URL"),
        ("TOCSIN_ALERTS_HOST", "::", "PUBLIC_URL"),
        ("TOCSIN_ALERTS_HOST", "example.org", "PUBLIC_URL"),
        ("TOCSIN_ALERTS_TLS_KEY_FILE", "/nowhere", "both"),
        ("TOCSIN_ALERTS_TRUSTED_PROXIES", "10.0.0.1", "PUBLIC_URL"),
        ("TOCSIN_ALERTS_TRUSTED_PROXIES", "0.0.0.0/0", "trusted_proxies"),
        ("TOCSIN_ALERTS_TRUSTED_PROXIES", "proxy", "trusted_proxies"),
        ("TOCSIN_ALERTS_SIGN_ON", "{}", "sign_on.issuer"),
        (
            "TOCSIN_ALERTS_SIGN_ON",
            '{"issuer": "http://sso.example", "client_id": "t", "roles": {"g": "doctor"}}',
            "https",
        ),
        (
            "TOCSIN_ALERTS_SIGN_ON",
            '{"issuer": "https://sso.example", "client_id": "t", "roles": {"g": "chief"}}',
            "sign_on.roles",
        ),
        ("TOCSIN_ALERTS_PROT", "1", "TOCSIN_ALERTS_PROT is not a setting"),
        ("TOCSIN_ALERTS_PORT", "http", "port"),
        ("TOCSIN_ALERTS_PORT", "70000", "port"),
        ("TOCSIN_ALERTS_PUBLIC_URL", "ftp://x", "public_url"),
        ("TOCSIN_ALERTS_PUBLIC_URL", "https://x/tocsin", "public_url"),
        ("TOCSIN_ALERTS_TELL_NOT_ASSESSABLE", "sometimes", "tell_not_assessable"),
        ("TOCSIN_ALERTS_SMTP", "{", "smtp"),
        (
            "TOCSIN_ALERTS_SMTP",
            '{"host": "h", "sender": "a@b", "security": "none", "username": "u", "password": "p"}',
            "in the clear",
        ),
    ],
)
def test_an_unsafe_or_wrong_setting_is_refused(
    environment: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SettingsRefused) as refused:
        load_settings()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "neither JSON nor YAML"),
        ("{}", "recipients"),
        ('{"recipients": []}', "recipients"),
        ('{"recipients": [{"name": "a"}]}', "no channel"),
        ('{"recipients": [{"name": "a", "email": "a@b.example"}]}', "TOCSIN_ALERTS_SMTP is not set"),
        ('{"recipients": [{"name": "a", "webhook": {"url": "gopher://h", "secret": "0123456789abcdef"}}]}', "http"),
        ('{"recipients": [{"name": "a", "webhook": {"url": "http://h", "secret": "hunter2"}}]}', "at least 16"),
        (json.dumps({"recipients": GOOD["recipients"] * 2}), "same name"),
        ('{"recipients": [{"name": "a", "email": "a@b\\nBcc: x@y"}]}', "email"),
    ],
)
def test_wrong_recipients_are_refused_without_repeating_a_secret(
    environment: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "recipients.json"
    file.write_text(text)
    environment.setenv("TOCSIN_ALERTS_RECIPIENTS_FILE", str(file))
    with pytest.raises(SettingsRefused) as refused:
        load_recipients(load_settings())
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_recipients_may_be_given_inline(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("TOCSIN_ALERTS_RECIPIENTS", json.dumps(GOOD))
    recipients = load_recipients(load_settings())
    assert recipients
    assert recipients.names == ("a",)
    assert "0123456789abcdef" not in repr(recipients)


def test_missing_and_short_files_are_named(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("TOCSIN_IDENTITY_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsRefused, match="TOCSIN_IDENTITY_KEY_FILE cannot be read"):
        load_cipher(load_settings())
    (tmp_path / "short").write_bytes(b"short")
    environment.setenv("TOCSIN_IDENTITY_KEY_FILE", str(tmp_path / "short"))
    with pytest.raises(SettingsRefused, match="5 bytes"):
        load_cipher(load_settings())
    environment.setenv("TOCSIN_ALERTS_RECIPIENTS_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsRefused, match="RECIPIENTS_FILE cannot be read"):
        load_recipients(load_settings())


def test_an_on_call_file_that_names_nobody_is_refused(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "oncall.yaml").write_text("policies: [{name: p, steps: [{notify: [ghost]}], fall_back: [a]}]")
    environment.setenv("TOCSIN_ALERTS_ONCALL_FILE", str(tmp_path / "oncall.yaml"))
    environment.setenv("TOCSIN_ALERTS_RECIPIENTS", json.dumps(GOOD))
    settings = load_settings()
    with pytest.raises(SettingsRefused, match="ghost"):
        load_oncall(settings, load_recipients(settings), START)
