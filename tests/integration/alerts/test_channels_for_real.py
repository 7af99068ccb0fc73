"""Webhook and e-mail against real servers that behave, misbehave and stall."""

import http.server
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from alerts.channels import webhook as webhook_module
from alerts.channels.email import EmailChannel, Security, Smtp
from alerts.channels.webhook import WebhookChannel
from alerts.decision import Decision, Reason, Standing, Step, Verdict
from alerts.errors import ChannelBusy, ChannelRefused, ChannelTimedOut, ChannelUnreachable
from alerts.messages import Message, Purpose, compose
from alerts.recipients import Webhook
from tests.unit.alerts.builders import START, FakeClock, a_finding, key

SECRET = "0123456789abcdef"


def a_message(notice: str = "n") -> Message:
    standing = Standing(Verdict.BLEED)
    return compose(
        notice_id=key(notice),
        alert_id=key("alert"),
        study_key=key("A"),
        purpose=Purpose.ALARM,
        decision=Decision(Step.RAISE, Reason.POSITIVE_FINAL, standing),
        finding=a_finding(),
        recipient="Dr Ünal",
        round_number=0,
        decided_at=START,
        link="http://127.0.0.1:8080/studies/x",
        acknowledge_link=None,
    )


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


@pytest.fixture
def far_side() -> Iterator[Callable[[Answer], http.server.ThreadingHTTPServer]]:
    servers = []

    def start(answer: Answer) -> http.server.ThreadingHTTPServer:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def channel_to(server: Any, scheme: str = "http", path: str = "/hook?x=1") -> WebhookChannel:
    where = Webhook.model_validate({"url": f"{scheme}://127.0.0.1:{server.server_address[1]}{path}", "secret": SECRET})
    return WebhookChannel(where, FakeClock())


def test_a_webhook_gets_the_signed_message(far_side: Any) -> None:
    got: list[tuple[str, dict[str, str], bytes]] = []

    def accept(handler: http.server.BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        got.append((handler.path, dict(handler.headers), body))
        handler.send_response(202)
        handler.end_headers()

    channel_to(far_side(accept)).send(a_message())
    [(path, headers, body)] = got
    assert path == "/hook?x=1"
    assert headers["Idempotency-Key"] == key("n")
    assert headers["Tocsin-Signature"] == webhook_module.signature(SECRET, body, START)
    assert Message.model_validate_json(body) == a_message()


def test_a_redirect_is_not_followed(far_side: Any) -> None:
    def redirect(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(307)
        handler.send_header("Location", "http://127.0.0.1:1/elsewhere")
        handler.end_headers()

    with pytest.raises(ChannelRefused, match="307"):
        channel_to(far_side(redirect)).send(a_message())


def test_a_far_side_that_drips_is_cut_off(far_side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "TIMEOUT_SECONDS", 0.6)

    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        try:
            for letter in b"HTTP/1.1 200 OK and so on and on and on":
                handler.wfile.write(bytes([letter]))
                time.sleep(0.2)
        except OSError:
            pass

    began = time.monotonic()
    with pytest.raises(ChannelTimedOut):
        channel_to(far_side(drip)).send(a_message())
    assert time.monotonic() - began < 2


def test_an_accepted_message_is_accepted_whatever_the_body_does(far_side: Any) -> None:
    def accept_and_break(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.wfile.write(b"only this")

    channel_to(far_side(accept_and_break)).send(a_message())


def test_nobody_listening_and_a_name_that_is_not_one() -> None:
    for url in ("http://127.0.0.1:1/", "http://no-such-host.invalid/"):
        with pytest.raises(ChannelUnreachable):
            WebhookChannel(Webhook.model_validate({"url": url, "secret": SECRET}), FakeClock()).send(a_message())


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, as PEM."""
    import ipaddress

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pager")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    pem = built.public_bytes(serialization.Encoding.PEM) + secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "pager.pem").write_bytes(pem)
    return tmp_path / "pager.pem"


def test_tls_is_checked(far_side: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()

    server = far_side(accept)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(ChannelUnreachable, match="TLS failed"):
        channel_to(server, "https").send(a_message())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    channel_to(server, "https").send(a_message())


def mailbox(port: int) -> EmailChannel:
    settings = Smtp(host="127.0.0.1", port=port, security=Security.NONE, sender="tocsin@hospital.example")
    return EmailChannel(settings, "second@hospital.example")


def test_a_mail_arrives_whole(mail_server: Any) -> None:
    mailbox(mail_server.port).send(a_message())
    [mail] = mail_server.mails
    assert mail["To"] == "second@hospital.example"
    assert mail["Message-ID"] == f"<{key('n')}@hospital.example>"
    assert "right, most likely subdural" in mail.get_payload(decode=True).decode().replace("\n", " ")


@pytest.mark.parametrize(("code", "failure"), [(451, ChannelBusy), (554, ChannelRefused)])
def test_a_mail_server_that_says_no(mail_server: Any, code: int, failure: type[Exception]) -> None:
    mail_server.codes.append(code)
    with pytest.raises(failure, match=str(code)):
        mailbox(mail_server.port).send(a_message())
    assert not mail_server.mails


def test_a_mail_server_that_hangs_up_after_accepting_has_accepted(mail_server: Any) -> None:
    mail_server.hangs_after_accepting = True
    mailbox(mail_server.port).send(a_message())
    assert len(mail_server.mails) == 1


def test_a_mail_server_without_starttls_gets_no_mail(mail_server: Any) -> None:
    settings = Smtp(host="127.0.0.1", port=mail_server.port, sender="tocsin@hospital.example")
    with pytest.raises(ChannelRefused, match="STARTTLS"):
        EmailChannel(settings, "second@hospital.example").send(a_message())
    assert not mail_server.mails


def test_no_mail_server() -> None:
    with pytest.raises(ChannelUnreachable):
        mailbox(1).send(a_message())
