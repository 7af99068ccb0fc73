"""Signing in, as a browser and as a program meet it."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pyotp
import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import select

from alerts.access import accounts, passwords, tokens
from alerts.access.entrance import Method, Outcome
from alerts.access.permissions import Permission, Role
from alerts.access.recognition import Recognition
from alerts.access.sessions import Lifetime
from alerts.access.trail import views
from alerts.broker import Reception
from alerts.desk import alert_id_of
from alerts.errors import StoreUnavailable
from alerts.store.database import Database
from alerts.store.record import verify
from alerts.store.schema import Entry
from tests.unit.alerts.builders import a_finding, key
from tests.unit.alerts.test_alert_pages import open_page

PASSWORD = "correct horse battery"
ORIGIN = {"origin": "http://127.0.0.1:8080"}
ALERT = alert_id_of(key("A"))


class Browser:
    """A browser of its own: cookies, and an Origin with every form."""

    def __init__(self, client: TestClient, ward: Any) -> None:
        self.client = client
        self.ward = ward
        self.secret = ""

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Any:
        return self.client.post(path, content=urlencode(fields), headers={**ORIGIN, **headers})

    def set_up(self, login: str = "anna", *roles: Role) -> Any:
        with self.ward.database.writing() as session:
            now = self.ward.clock.now()
            invitation = accounts.add(session, login, "Dr Anna Grün", roles or (Role.DOCTOR,), now, "test")
        welcome = self.get(f"/welcome/{invitation}")
        assert welcome.status_code == 200
        assert "<svg" in welcome.text
        found = re.search(r"<code>([A-Z2-7]{32})</code>", welcome.text)
        assert found
        self.secret = found[1]
        fields = {"password": PASSWORD, "again": PASSWORD, "code": self.code()}
        return self.post(f"/welcome/{invitation}", fields)

    def code(self) -> str:
        return pyotp.TOTP(self.secret).at(self.ward.clock.now())

    def sign_in(self, password: str = PASSWORD, wanted: str = "/", login: str = "anna") -> Any:
        self.ward.clock.advance(seconds=31)
        fields = {"login": login, "password": password, "code": self.code(), "next": wanted}
        return self.post("/sign-in", fields)


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Argon2id all the same, with less memory and time."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=32, parallelism=1))
    passwords.nobodys.cache_clear()
    yield
    passwords.nobodys.cache_clear()


@pytest.fixture
def reception(ward: Any) -> Reception:
    reception = Reception(ward.clock, ward.metrics)
    reception.hears(True)
    return reception


@pytest.fixture
def a_browser(ward: Any, reception: Reception) -> Callable[..., Browser]:
    def build(asks_nobody_here: bool = False, base_url: str = "http://127.0.0.1:8080") -> Browser:
        identify = Recognition(ward.database, ward.clock, Lifetime(), asks_nobody_here)
        client = open_page(ward, reception, identify=identify)
        client.base_url = base_url
        return Browser(client, ward)

    return build


def test_from_invitation_to_sign_out(a_browser: Callable[..., Browser], ward: Any) -> None:
    ward.send(a_finding())
    browser = a_browser()
    assert "tocsin user add" in browser.get("/sign-in").text
    done = browser.set_up()
    assert done.headers["location"] == "/account"
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Dr Anna Grün" in browser.get("/account").text
    assert "Possible intracranial hemorrhage" in browser.get("/").text
    assert browser.post(f"/alerts/{ALERT}/acknowledge", {}).status_code == 303
    assert ward.alert().acknowledged_by == "Dr Anna Grün"
    kept = dict(browser.client.cookies)
    left = browser.post("/sign-out", {})
    assert left.headers["location"] == "/sign-in"
    assert browser.get("/").status_code == 303
    browser.client.cookies.update(kept)  # also for somebody who had copied the cookie
    assert browser.get("/").status_code == 303


def test_back_to_the_page_that_was_wanted_and_to_no_other_site(a_browser: Callable[..., Browser]) -> None:
    browser = a_browser()
    browser.set_up()
    browser.post("/sign-out", {})
    asked = browser.get(f"/studies/{key('A')}")
    form = browser.get(asked.headers["location"]).text
    assert f'value="/studies/{key("A")}"' in form
    assert browser.sign_in(wanted=f"/studies/{key('A')}").headers["location"] == f"/studies/{key('A')}"
    for evil in (
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/x\r\nSet-Cookie:y",
    ):
        assert browser.sign_in(wanted=evil).headers["location"] == "/"


def test_wrong_is_said_without_saying_what(a_browser: Callable[..., Browser]) -> None:
    browser = a_browser()
    browser.set_up()
    browser.post("/sign-out", {})
    wrong = browser.sign_in(password="wrong horse")
    unknown = browser.sign_in(login="nobody")
    assert (wrong.status_code, unknown.status_code) == (401, 401)
    assert "Login, password or code is wrong" in wrong.text
    assert wrong.text == unknown.text
    for _ in range(7):  # the first waits are shorter than what passes between two codes
        answer = browser.sign_in(password="wrong horse")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Try again in" in answer.text


def test_each_attempt_is_counted_by_its_way_and_its_outcome(a_browser: Callable[..., Browser], ward: Any) -> None:
    browser = a_browser()
    browser.set_up()
    browser.post("/sign-out", {})
    browser.sign_in()
    browser.post("/sign-out", {})
    for _ in range(9):  # some of the attempts must wait
        browser.sign_in(password="wrong horse")
    browser.post("/welcome/unknown", {"password": PASSWORD, "again": PASSWORD})

    def counted(method: Method, outcome: Outcome) -> float:
        labels = {"method": str(method), "outcome": str(outcome)}
        return float(ward.metrics.registry.get_sample_value("tocsin_alerts_sign_ins_total", labels))

    assert counted(Method.INVITATION, Outcome.SIGNED_IN) == 1
    assert counted(Method.INVITATION, Outcome.REFUSED) == 1
    assert counted(Method.PASSWORD, Outcome.SIGNED_IN) == 1
    refused, must_wait = (counted(Method.PASSWORD, outcome) for outcome in (Outcome.REFUSED, Outcome.MUST_WAIT))
    assert refused >= 5
    assert must_wait >= 1
    assert refused + must_wait == 9
    assert counted(Method.SIGN_ON, Outcome.BROKEN) == 0


def test_a_phone_that_keeps_the_page_finds_its_icons(a_browser: Callable[..., Browser]) -> None:
    browser = a_browser()
    page = browser.get("/sign-in").text
    manifest = browser.get("/static/manifest.webmanifest").json()
    icons = {icon["src"] for icon in manifest["icons"]} | set(re.findall(r'apple-touch-icon" href="([^"]+)"', page))
    assert {"192x192", "512x512"} <= {icon["sizes"] for icon in manifest["icons"]}
    assert "/static/icon-180.png" in icons
    assert 'rel="manifest"' in page
    for icon in icons:
        assert browser.get(icon).status_code == 200, icon


def test_forms_of_other_sites_do_nothing(a_browser: Callable[..., Browser], ward: Any) -> None:
    ward.send(a_finding())
    browser = a_browser()
    browser.set_up()
    for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        for path in (f"/alerts/{ALERT}/acknowledge", "/sign-out", "/sign-in"):
            answer = browser.client.post(path, content=b"", headers=headers)
            assert answer.status_code == 403, (headers, path)
    assert ward.alert().waits_for_a_human
    assert browser.get("/account").status_code == 200


def test_over_tls_the_cookie_is_bound_to_it(a_browser: Callable[..., Browser]) -> None:
    browser = a_browser(base_url="https://tocsin.hospital.example")
    with browser.ward.database.writing() as session:
        invitation = accounts.add(session, "anna", "Dr A", [Role.DOCTOR], browser.ward.clock.now(), "test")
    page = browser.get(f"/welcome/{invitation}")
    assert page.headers["strict-transport-security"]
    found = re.search(r"<code>([A-Z2-7]{32})</code>", page.text)
    assert found
    browser.secret = found[1]
    fields = {"password": PASSWORD, "again": PASSWORD, "code": browser.code()}
    done = browser.post(f"/welcome/{invitation}", fields, origin="https://tocsin.hospital.example")
    assert done.headers["set-cookie"].startswith("__Host-tocsin=")
    assert "Secure" in done.headers["set-cookie"]
    assert browser.get("/account").status_code == 200


def test_on_this_machine_nobody_is_asked_until_there_is_an_account(
    a_browser: Callable[..., Browser], ward: Any
) -> None:
    ward.send(a_finding())
    browser = a_browser(asks_nobody_here=True)
    assert browser.get("/").status_code == 200
    assert browser.get("/", **{"x-forwarded-for": "10.0.0.1"}).status_code == 303  # a proxy stands in front
    assert browser.get("/api/v1/accounts").status_code == 403
    assert browser.client.get("/", headers={"authorization": "Bearer tocsin_x_y"}).status_code == 303
    other = a_browser(asks_nobody_here=True)
    other.set_up()
    assert browser.get("/").status_code == 303
    assert other.get("/").status_code == 200


def test_nothing_but_the_public_pages_is_open(a_browser: Callable[..., Browser]) -> None:
    browser = a_browser()
    for path in ("/healthz", "/readyz", "/sign-in", "/static/tocsin.css"):
        assert browser.get(path).status_code == 200, path
    assert browser.client.get("/healthz", headers={"host": "10.1.2.3"}).json() == {"status": "ok"}
    assert browser.client.get("/sign-in", headers={"host": "10.1.2.3"}).status_code == 403
    assert browser.get("/welcome/madeup").status_code == 404
    assert browser.get("/sign-in/sso").status_code == 404
    for path in ("/", "/list", "/events", "/account", "/api/v1/alerts", "/api/openapi.json", f"/studies/{key('A')}"):
        assert browser.get(path, **{"sec-fetch-mode": "cors"}).status_code == 401, path


def test_a_program_uses_a_token(a_browser: Callable[..., Browser], ward: Any) -> None:
    ward.send(a_finding())
    with ward.database.writing() as session:
        scopes = [Permission.ACKNOWLEDGE, Permission.SEE_STUDIES]
        token = tokens.create(session, "pager gateway", scopes, 30, ward.clock.now())
    program = a_browser().client
    program.headers["authorization"] = f"Bearer {token}"
    assert program.get("/api/v1/me").json() == {
        "login": token[7:19],
        "name": "pager gateway",
        "means": "token",
        "permissions": ["alerts:acknowledge", "studies:read"],
    }
    assert len(program.get("/api/v1/studies").json()) == 1
    assert program.get("/api/v1/accounts").status_code == 403
    assert program.post(f"/api/v1/alerts/{ALERT}/acknowledge", json={}).status_code == 422
    assert program.post(f"/api/v1/alerts/{ALERT}/acknowledge", json={"by": "Dr X"}).status_code == 200
    assert ward.alert().acknowledged_by == "Dr X, through pager gateway"
    ward.clock.advance(days=30)
    refused = program.get("/api/v1/studies")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"


def test_who_saw_which_study_when_is_on_record_once_per_look(a_browser: Callable[..., Browser], ward: Any) -> None:
    ward.send(a_finding(study="A", pictures=True))
    ward.send(a_finding(study="B"))
    browser = a_browser()
    browser.set_up()
    for _ in range(3):
        browser.get("/")
        browser.get("/list")
        browser.get(f"/studies/{key('A')}")
        browser.get(f"/studies/{key('A')}/pictures/{key('A/a')}/1/0/image.png")
    seen = looks_of(ward)
    assert sorted(seen) == sorted(
        [(key("A"), "listed"), (key("B"), "listed"), (key("A"), "opened"), (key("A"), "images")]
    )
    ward.clock.advance(minutes=11)
    browser.get(f"/studies/{key('A')}")
    assert looks_of(ward).count((key("A"), "opened")) == 2
    with ward.database.reading() as session:
        [first, *_] = views(session, key("B")[:6], "anna")
        assert (first.name, first.means) == ("Dr Anna Grün", "session")
        assert list(views(session, login="somebody else")) == []
        assert verify(session).broken_at is None


def looks_of(ward: Any) -> list[tuple[str, str]]:
    with ward.database.reading() as session:
        return [(view.study_key, view.look) for view in views(session)]


def test_a_look_that_cannot_be_recorded_is_shown_and_logged(
    a_browser: Callable[..., Browser], ward: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ward.send(a_finding())
    browser = a_browser()
    browser.set_up()

    def full(_: Database) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(Database, "writing", full)
    assert "Possible intracranial hemorrhage" in browser.get(f"/studies/{key('A')}").text
    assert "a look at studies is not on record" in caplog.text


def test_no_secret_is_on_the_record(a_browser: Callable[..., Browser], ward: Any) -> None:
    browser = a_browser()
    browser.set_up()
    browser.sign_in()
    with ward.database.reading() as session:
        bodies = " ".join(entry.body for entry in session.scalars(select(Entry)))
    assert '"signed_in"' in bodies
    assert browser.secret not in bodies
    assert str(browser.client.cookies["tocsin"]) not in bodies


def test_the_page_that_keeps_itself_current_does_not_keep_a_session(
    a_browser: Callable[..., Browser], ward: Any
) -> None:
    browser = a_browser()
    browser.set_up()
    for _ in range(13):
        ward.clock.advance(minutes=10)
        last = browser.get("/list", **{"sec-fetch-mode": "cors"}).status_code
    assert last == 401
    browser.sign_in()
    for _ in range(13):
        ward.clock.advance(minutes=10)
        last = browser.get("/").status_code
    assert last == 200


def test_an_administrator_lists_accounts_and_views(a_browser: Callable[..., Browser], ward: Any) -> None:
    ward.send(a_finding())
    a_browser().set_up("anna")
    admin = a_browser()
    admin.set_up("root", Role.ADMIN)
    listed = admin.get("/api/v1/accounts").json()
    assert [(a["login"], a["state"], a["roles"]) for a in listed] == [
        ("anna", "active", ["doctor"]),
        ("root", "active", ["admin"]),
    ]
    assert "argon2" not in json.dumps(listed)
    assert admin.get("/").headers["location"] == "/account"
    assert admin.get("/api/v1/record/views").json() == []
