"""Web Push against a push service that decrypts and checks like a browser, and Apprise against a real server."""

import base64
import http.server
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import http_ece
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from alerts.channels.push import PushChannel, PushService, Subscription, Vapid, fresh_private
from alerts.channels.services import ServicesChannel
from alerts.errors import ChannelBroken, ChannelBusy, ChannelError, ChannelRefused, ChannelUnreachable
from alerts.messages import Message, bundle
from alerts.recipients import Recipient
from alerts.store.database import Database
from alerts.store.subscriptions import SubscriptionBook, browsers_of, subscribe
from tests.integration.alerts.test_channels_for_real import a_message
from tests.unit.alerts.builders import START, FakeClock


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Browser:
    """The far end: it holds the private key, and shows what it could decrypt (RFC 8291)."""

    secret: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))
    shown: list[dict[str, Any]] = field(default_factory=list)

    def subscription(self, endpoint: str) -> Subscription:
        public = self.secret.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Subscription.model_validate(
            {"endpoint": endpoint, "keys": {"p256dh": b64(public), "auth": b64(self.auth)}}
        )

    def receive(self, body: bytes) -> None:
        plain = http_ece.decrypt(body, private_key=self.secret, auth_secret=self.auth, version="aes128gcm")
        self.shown.append(json.loads(plain))


class PushServer:
    """A push service on this machine: one path per browser; it checks the sender's signature (RFC 8292)."""

    def __init__(self) -> None:
        self.browsers: dict[str, Browser] = {}
        self.answers: dict[str, int] = {}
        self.headers: list[dict[str, str]] = []
        self.public = ""
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(server.take(self.path, headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name: str) -> Subscription:
        self.browsers[f"/{name}"] = browser = Browser()
        return browser.subscription(f"{self.origin}/{name}")

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        if path in self.answers:
            return self.answers[path]
        if headers.get("content-encoding") != "aes128gcm" or len(body) > 4096 or not self.is_signed(headers):
            return 403
        self.headers.append(headers)
        self.browsers[path].receive(body)
        return 201

    def is_signed(self, headers: dict[str, str]) -> bool:
        scheme, _, rest = headers["authorization"].partition(" ")
        parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        head, claims, signature = parts["t"].split(".")
        raw = unb64(signature)
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unb64(parts["k"]))
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        public.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
        said = json.loads(unb64(claims))
        known = scheme.lower() == "vapid" and parts["k"].rstrip("=") == self.public
        return known and said["aud"] == self.origin and said["sub"].startswith("mailto:")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def push_server() -> Iterator[PushServer]:
    server = PushServer()
    yield server
    server.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'push.sqlite3'}")
    database.prepare()
    yield database
    database.close()


@dataclass
class Pushes:
    """A doctor's push channel, and the browsers that are subscribed."""

    database: Database
    server: PushServer
    services: tuple[str, ...]

    def __post_init__(self) -> None:
        vapid = Vapid(self.database.secret("vapid_private", fresh_private()), "mailto:it@hospital.example")
        self.server.public = vapid.public
        service = PushService(SubscriptionBook(self.database), lambda: vapid, self.services, FakeClock())
        self.channel = PushChannel("doctor", service)

    def subscribe(self, *names: str) -> None:
        for number, name in enumerate(names):
            with self.database.writing() as session:
                at = START + timedelta(seconds=number)
                subscribe(session, "doctor", self.server.add(name), "doctor", at)

    @property
    def browsers(self) -> int:
        with self.database.reading() as session:
            return len(browsers_of(session, "doctor"))

    def shown(self, name: str) -> list[dict[str, Any]]:
        return self.server.browsers[f"/{name}"].shown


@pytest.fixture
def pushes(database: Database, push_server: PushServer) -> Pushes:
    return Pushes(database, push_server, (push_server.origin,))


def test_every_browser_of_the_doctor_decrypts_the_alert_and_nobody_between_reads_it(pushes: Pushes) -> None:
    pushes.subscribe("phone", "desk")
    pushes.channel.send(a_message())
    for name in ("phone", "desk"):
        [shown] = pushes.shown(name)
        assert shown["title"] == "Possible intracranial hemorrhage, right, most likely subdural"
        assert shown["urgent"] is True
        assert shown["link"] == "http://127.0.0.1:8080/studies/x"
    [first, _] = pushes.server.headers
    assert first["urgency"] == "high"
    assert int(first["ttl"]) == 4 * 3600
    assert first["topic"] == a_message().alert_id


def test_the_key_is_made_once_and_kept(pushes: Pushes, database: Database, push_server: PushServer) -> None:
    before = push_server.public
    Pushes(database, push_server, ())
    assert push_server.public == before
    assert len(unb64(before)) == 65


def test_a_long_bundle_fits_into_a_push(pushes: Pushes) -> None:
    pushes.subscribe("phone")
    many = [a_message().model_copy(update={"notice_id": f"{n:032x}", "alert_id": f"{n:032x}"}) for n in range(20)]
    pushes.channel.send(bundle(many))
    [shown] = pushes.shown("phone")
    assert shown["title"].startswith("20 alerts; the most urgent")
    assert shown["link"] == "http://127.0.0.1:8080/"


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_forgotten_and_the_other_is_told(pushes: Pushes, status: int) -> None:
    pushes.subscribe("phone", "desk")
    pushes.server.answers["/phone"] = status
    pushes.channel.send(a_message())
    assert len(pushes.shown("desk")) == 1
    assert pushes.browsers == 1


def test_when_the_last_browser_is_gone_the_channel_says_so(pushes: Pushes) -> None:
    pushes.subscribe("phone")
    pushes.server.answers["/phone"] = 410
    with pytest.raises(ChannelRefused, match="ended its subscription"):
        pushes.channel.send(a_message())
    with pytest.raises(ChannelRefused, match="no browser is subscribed"):
        pushes.channel.send(a_message())


@pytest.mark.parametrize(("status", "failure"), [(429, ChannelBusy), (500, ChannelBroken), (400, ChannelRefused)])
def test_what_a_push_service_answers_decides_how_it_goes_on(
    pushes: Pushes, status: int, failure: type[ChannelError]
) -> None:
    pushes.subscribe("phone")
    pushes.server.answers["/phone"] = status
    with pytest.raises(failure, match=str(status)):
        pushes.channel.send(a_message())
    assert pushes.browsers == 1


def test_a_push_service_that_is_not_there(pushes: Pushes) -> None:
    pushes.subscribe("phone")
    pushes.server.close()
    with pytest.raises(ChannelUnreachable):
        pushes.channel.send(a_message())


def test_an_address_that_is_no_push_service_is_never_posted_to(database: Database, push_server: PushServer) -> None:
    pushes = Pushes(database, push_server, ("fcm.googleapis.com",))
    pushes.subscribe("phone")
    with pytest.raises(ChannelRefused, match="not allowed"):
        pushes.channel.send(a_message())
    assert not pushes.server.headers


class JsonServer:
    """The far side of Apprise's json:// service."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        self.delay_seconds = 0.0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(server.delay_seconds)
                if server.status == 200:
                    server.got.append(json.loads(body))
                self.send_response(server.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"json://127.0.0.1:{self._server.server_address[1]}/alerts"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def json_server() -> Iterator[Callable[[], JsonServer]]:
    servers: list[JsonServer] = []

    def start() -> JsonServer:
        servers.append(JsonServer())
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def services(*addresses: str) -> ServicesChannel:
    return ServicesChannel(Recipient.model_validate({"name": "team", "services": addresses}).services)


def test_a_service_gets_headline_and_text(json_server: Callable[[], JsonServer]) -> None:
    server = json_server()
    message: Message = a_message()
    services(server.address).send(message)
    [got] = server.got
    assert got["title"] == message.headline
    assert got["message"].startswith(message.headline)
    assert got["type"] == "warning"


def test_the_next_service_is_used_when_the_first_does_not_accept(json_server: Callable[[], JsonServer]) -> None:
    broken, good = json_server(), json_server()
    broken.status = 500
    services(broken.address, good.address).send(a_message())
    assert len(good.got) == 1


@pytest.mark.parametrize(("status", "failure"), [(401, ChannelRefused), (503, ChannelBusy), (500, ChannelBroken)])
def test_the_kind_of_failure_is_known(
    json_server: Callable[[], JsonServer], status: int, failure: type[ChannelError]
) -> None:
    server = json_server()
    server.status = status
    with pytest.raises(failure, match=str(status)) as refused:
        services(server.address).send(a_message())
    assert "hemorrhage" not in str(refused.value)


def test_a_service_that_is_not_there() -> None:
    with pytest.raises(ChannelUnreachable):
        services("json://127.0.0.1:1/").send(a_message())


def test_a_service_that_does_not_answer_is_left(
    json_server: Callable[[], JsonServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = json_server()
    server.delay_seconds = 3.0
    monkeypatch.setattr("alerts.channels.services.STEP_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(ChannelError):
        services(server.address).send(a_message())
    assert time.monotonic() - began < 2.5


def test_an_address_that_apprise_does_not_understand_is_refused_without_repeating_its_secret() -> None:
    with pytest.raises(ValueError, match="'nosuch'") as refused:
        Recipient.model_validate({"name": "team", "services": ["nosuch://s3cret@host"]})
    assert "s3cret" not in str(refused.value).replace("input_value", "").split("[type")[0]
