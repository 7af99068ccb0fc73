"""The service as it is run, reachable from the network: TLS, sign-in first, and the link that works at night."""

import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pyotp
import pytest
from typer.testing import CliRunner

from alerts.links import LinkSigner
from alerts.store.database import Database
from tests.integration.alerts.test_alert_service import until
from tests.integration.alerts.test_channels_for_real import certificate
from tests.unit.alerts.builders import FakeClock, a_desk, a_finding, key
from tocsin.__main__ import app
from tocsin.ports import free_ports

__all__ = ["certificate"]
PASSWORD = "correct horse battery"


class Page:
    """A running alert service whose page listens on every address of this machine."""

    def __init__(self, folder: Path, certificate: Path | None, **more: str) -> None:
        self.port, self.metrics_port, kafka = free_ports(3)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")} | {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
            "TOCSIN_ALERTS_DATABASE_URL": f"sqlite:///{folder / 'alerts.sqlite3'}",
            "TOCSIN_ALERTS_HOST": "0.0.0.0",
            "TOCSIN_ALERTS_PORT": str(self.port),
            "TOCSIN_ALERTS_METRICS_PORT": str(self.metrics_port),
            "TOCSIN_ALERTS_PUBLIC_URL": self.url,
            **more,
        }
        if certificate:
            self.environment |= {
                "TOCSIN_ALERTS_TLS_CERTIFICATE_FILE": str(certificate),
                "TOCSIN_ALERTS_TLS_KEY_FILE": str(certificate),
            }
        self._log = (folder / "log").open("ab")
        trust = ssl.create_default_context(cafile=str(certificate)) if certificate else True
        self.browser = httpx.Client(base_url=self.url, verify=trust, headers={"origin": self.url}, timeout=20)
        self.process: subprocess.Popen[bytes]

    def start(self) -> "Page":
        self.process = subprocess.Popen(
            [sys.executable, "-m", "alerts"], env=self.environment, stdout=self._log, stderr=self._log
        )
        until(lambda: self._ready(), 60)
        return self

    def _ready(self) -> bool:
        try:
            return self.browser.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def command(self, *arguments: str) -> str:
        """One of ``tocsin``, in this process: starting another takes seconds on a busy machine."""
        done = CliRunner().invoke(app, arguments, env=self.environment | {"COLUMNS": "200"}, catch_exceptions=False)
        assert done.exit_code == 0, done.stderr
        return done.stdout.strip()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def page(tmp_path: Path, certificate: Path) -> Iterator[Page]:
    page = Page(tmp_path, certificate).start()
    yield page
    page.stop()


def test_from_the_first_account_to_the_record(page: Page, tmp_path: Path) -> None:
    browser = page.browser
    assert browser.get("/").headers["location"] == "/sign-in"
    for path in ("/api/v1/alerts", "/api/openapi.json", "/events"):
        assert browser.get(path, headers={"sec-fetch-mode": "cors"}).status_code == 401
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{page.port}/", timeout=5)
    with socket.create_connection(("127.0.0.1", page.port), 5) as raw:  # an old version of TLS
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            old.wrap_socket(raw)

    link = page.command("user", "add", "a.gruen", "--name", "Dr Anna Grün", "--role", "doctor")
    assert link.startswith(f"{page.url}/welcome/")
    welcome = browser.get(link)
    found = re.search(r"<code>([A-Z2-7]{32})</code>", welcome.text)
    assert found
    code = pyotp.TOTP(found[1]).now()
    done = browser.post(link, data={"password": PASSWORD, "again": PASSWORD, "code": code})
    assert done.status_code == 303
    assert done.headers["set-cookie"].startswith("__Host-tocsin=")
    assert "Dr Anna Grün" in browser.get("/account").text

    database = Database(page.environment["TOCSIN_ALERTS_DATABASE_URL"])
    finding = a_finding(at=datetime.now(UTC))
    a_desk(database, FakeClock(datetime.now(UTC))).take_finding(finding)
    assert "Possible intracranial hemorrhage" in browser.get(f"/studies/{key('A')}").text
    assert "a.gruen" in page.command("audit", "views", "--study", key("A")[:8])

    signer = LinkSigner(lambda: database.secret("link_secret", b""))
    [alert] = browser.get("/api/v1/alerts").json()
    phone = httpx.Client(base_url=page.url, verify=ssl.create_default_context(cafile=str(tmp_path / "pager.pem")))
    tap = f"/acknowledge/{signer.token(alert['alert_id'], 'Dr Night', datetime.now(UTC))}"
    assert "Acknowledge as Dr Night" in phone.get(tap).text
    assert phone.post(tap).status_code == 303
    assert browser.get("/api/v1/alerts").json()[0]["acknowledged_by"] == "Dr Night"
    assert phone.get("/").status_code == 303

    token = page.command("token", "create", "pacs", "--scope", "studies:read", "--days", "7")
    bearer = {"authorization": f"Bearer {token}"}
    assert len(phone.get("/api/v1/studies", headers=bearer).json()) == 1
    page.command("token", "revoke", "pacs")
    assert phone.get("/api/v1/studies", headers=bearer).status_code == 401

    page.command("user", "disable", "a.gruen")
    assert browser.get("/account").status_code == 303
    assert "disabled" in page.command("user", "list")
    assert "the record is whole" in page.command("audit", "verify")
    database.close()


def test_a_live_signal_ends_soon_after_its_session(tmp_path: Path) -> None:
    page = Page(tmp_path, None, TOCSIN_ALERTS_PLAIN_HTTP="true", TOCSIN_ALERTS_SECOND_FACTOR="false").start()
    try:
        link = page.command("user", "add", "anna", "--name", "Anna", "--role", "doctor")
        assert page.browser.post(link, data={"password": PASSWORD, "again": PASSWORD}).status_code == 303
        with page.browser.stream("GET", "/events", timeout=40) as signal:
            lines = signal.iter_lines()
            assert next(lines).startswith("retry")
            page.command("user", "disable", "anna")
            began = datetime.now(UTC)
            for _ in lines:
                assert (datetime.now(UTC) - began).total_seconds() < 35
        cookies = dict(page.browser.cookies)
        again = httpx.get(f"{page.url}/events", cookies=cookies, headers={"sec-fetch-mode": "cors"}, timeout=20)
        assert again.status_code == 401
    finally:
        page.stop()


def test_behind_a_proxy_the_client_and_its_tls_are_what_the_proxy_says(tmp_path: Path) -> None:
    page = Page(tmp_path, None, TOCSIN_ALERTS_TRUSTED_PROXIES="127.0.0.1")
    page.environment |= {
        "TOCSIN_ALERTS_HOST": "127.0.0.1",
        "TOCSIN_ALERTS_PUBLIC_URL": "https://tocsin.hospital.example",
    }
    page.start()
    try:
        proxied = {
            "host": "tocsin.hospital.example",
            "origin": "https://tocsin.hospital.example",
            "x-forwarded-for": "10.9.9.9",
            "x-forwarded-proto": "https",
        }
        assert page.browser.get("/", headers=proxied).status_code == 303
        assert page.browser.get("/").status_code == 303  # nor is anybody on this machine let in unasked
        link = page.command("user", "add", "anna", "--name", "Anna", "--role", "doctor")
        assert link.startswith("https://tocsin.hospital.example/welcome/")
        path = link.removeprefix("https://tocsin.hospital.example")
        found = re.search(r"<code>([A-Z2-7]{32})</code>", page.browser.get(path, headers=proxied).text)
        assert found
        fields = {"password": PASSWORD, "again": PASSWORD, "code": pyotp.TOTP(found[1]).now()}
        done = page.browser.post(path, data=fields, headers=proxied)
        assert done.headers["set-cookie"].startswith("__Host-tocsin=")
        for _ in range(5):
            page.browser.post("/sign-in", data={"login": "anna", "password": "wrong"}, headers=proxied)
        locked = page.browser.post("/sign-in", data={"login": "anna", "password": "wrong"}, headers=proxied)
        assert locked.status_code == 429
        elsewhere = proxied | {"x-forwarded-for": "10.9.9.10"}
        other = page.browser.post("/sign-in", data={"login": "anna", "password": "wrong"}, headers=elsewhere)
        assert other.status_code == 401
    finally:
        page.stop()
