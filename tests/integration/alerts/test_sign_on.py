"""Signing in with a real OpenID Connect provider on this machine, by authorization code and PKCE."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from werkzeug.serving import make_server

from alerts.access import accounts
from alerts.access.provider import Provider
from alerts.access.recognition import Recognition
from alerts.access.sessions import Lifetime
from alerts.access.sign_on import CALLBACK, SignOn
from alerts.access.tables import SignedIn
from alerts.access.trail import Views
from alerts.audit import Auditor
from alerts.broker import Reception
from alerts.metrics import AlertMetrics
from alerts.store.database import Database
from alerts.store.gallery import Gallery, address_beside
from alerts.store.schema import Entry
from alerts.web.app import create_app
from alerts.web.context import Context
from alerts.web.guard import House
from monitoring.health import Health
from tests.unit.alerts.builders import RECIPIENTS, SIGNER, FakeClock, a_desk, an_entrance

US = "http://127.0.0.1:8080"
PEOPLE = {
    "u-anna": {"preferred_username": "a.gruen", "name": "Dr Anna Grün", "groups": ["radiology", "canteen"]},
    "u-guest": {"preferred_username": "guest", "name": "A Guest", "groups": ["canteen"]},
}


@dataclass
class Hospital:
    """The provider, and what it was asked."""

    url: str
    tokens_asked: list[dict[str, list[str]]] = field(default_factory=list)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    people = [oidc_provider_mock.User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
    app = oidc_provider_mock.app(require_nonce=True, user_claims=people)
    hospital = Hospital("")

    def noting(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/oauth2/token":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            hospital.tokens_asked.append(parse_qs(body.decode()))
            environ["wsgi.input"] = BytesIO(body)
        return app(environ, start_response)

    server = make_server("localhost", 0, noting, threaded=True)
    hospital.url = f"http://localhost:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield hospital
    server.shutdown()


@dataclass
class Place:
    database: Database
    clock: FakeClock


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    database = Database(f"sqlite:///{tmp_path / 'alerts.sqlite3'}")
    database.prepare()
    yield Place(database, FakeClock())
    database.close()


def a_browser(place: Place, issuer: str, secret_file: Path, believed: str | None = None) -> TestClient:
    secret_file.write_text("s3cret\n")
    settings = SignOn.model_validate(
        {
            "issuer": issuer,
            "client_id": "tocsin",
            "client_secret_file": secret_file,
            "roles": {"radiology": "doctor"},
        }
    )
    provider = Provider(settings, US + CALLBACK, lambda: b"f" * 32)
    if believed:
        provider.settings = settings.model_copy(update={"issuer": believed})
    metrics = AlertMetrics(CollectorRegistry())
    desk: Any = a_desk(place.database, place.clock)
    context = Context(
        database=place.database,
        clock=place.clock,
        desk=desk,
        cipher=None,
        recipients=RECIPIENTS,
        reception=Reception(place.clock, metrics),
        metrics=metrics,
        stop=None,  # type: ignore[arg-type] # no live signal is asked for
        signer=SIGNER,
        auditor=Auditor(),
        identify=Recognition(place.database, place.clock, Lifetime(), False),
        views=Views(place.database, place.clock),
        entrance=an_entrance(place, provider=provider),
        health=Health(),
        gallery=Gallery(address_beside(place.database._url)),
    )
    return TestClient(create_app(context, House.of(None, ())), base_url=US, follow_redirects=False)


def go_to_provider(browser: TestClient, wanted: str = "/account") -> str:
    sent = browser.get(f"/sign-in/sso?next={wanted}")
    assert sent.status_code == 303
    return str(sent.headers["location"])


def agree(location: str, sub: str) -> str:
    """What somebody does at the provider; returns the address that the browser is sent back to."""
    done = httpx.post(location, data={"sub": sub})
    assert done.status_code == 302
    back = str(done.headers["location"])
    assert back.startswith(US + CALLBACK)
    return back.removeprefix(US)


def test_a_doctor_of_the_hospital_signs_in(hospital: Hospital, place: Place, tmp_path: Path) -> None:
    browser = a_browser(place, hospital.url, tmp_path / "secret")
    assert "Sign in with your hospital account" in browser.get("/sign-in").text
    location = go_to_provider(browser)
    asked = parse_qs(urlsplit(location).query)
    assert asked["code_challenge_method"] == ["S256"]

    done = browser.get(agree(location, "u-anna"))

    assert done.headers["location"] == "/account"
    assert "Dr Anna Grün" in browser.get("/account").text
    assert browser.get("/api/v1/me").json()["permissions"].count("alerts:acknowledge") == 1
    [token_asked] = hospital.tokens_asked
    digest = hashlib.sha256(token_asked["code_verifier"][0].encode()).digest()
    assert base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"][0]
    with place.database.reading() as session:
        [account] = accounts.every(session)
        assert (account.login, account.origin, account.roles) == ("a.gruen", "sign-on", ("doctor",))


def test_who_signs_out_is_led_to_the_provider_s_own_sign_out(hospital: Hospital, place: Place, tmp_path: Path) -> None:
    browser = a_browser(place, hospital.url, tmp_path / "secret")
    browser.get(agree(go_to_provider(browser), "u-anna"))
    left = browser.post("/sign-out", headers={"origin": US})
    assert browser.get("/account").status_code == 303  # here it is over at once
    assert left.headers["cache-control"] == "no-store"
    found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', left.text)
    assert found
    address = html.unescape(found[1])
    assert address.startswith(f"{hospital.url}/oauth2/end_session?")
    asked = parse_qs(urlsplit(address).query)
    [hint] = asked.pop("id_token_hint")
    assert asked == {"client_id": ["tocsin"], "post_logout_redirect_uri": [f"{US}/sign-in"]}
    assert claims_of(hint)["sub"] == "u-anna"
    assert claims_of(hint)["aud"] in ("tocsin", ["tocsin"])
    assert httpx.get(address).status_code == 200


def claims_of(id_token: str) -> dict[str, Any]:
    body = id_token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))


def test_the_id_token_lies_with_the_session_and_only_its_cookie_opens_it(
    hospital: Hospital, place: Place, tmp_path: Path
) -> None:
    browser = a_browser(place, hospital.url, tmp_path / "secret")
    browser.get(agree(go_to_provider(browser), "u-anna"))
    with place.database.reading() as session:
        [kept] = session.scalars(select(SignedIn.id_token))
    assert kept
    for where in (kept, *(path.read_bytes() for path in tmp_path.glob("alerts.sqlite3*"))):
        assert b"eyJ" not in where  # how each JSON web token begins
    browser.post("/sign-out", headers={"origin": US})
    with place.database.reading() as session:
        assert session.scalars(select(SignedIn.id_token)).all() == []


def test_an_id_token_too_long_for_an_address_is_not_kept(
    hospital: Hospital, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerts.access.provider.LONGEST_HINT", 100)
    browser = a_browser(place, hospital.url, tmp_path / "secret")
    browser.get(agree(go_to_provider(browser), "u-anna"))
    left = browser.post("/sign-out", headers={"origin": US})
    assert "end_session" in left.text
    assert "id_token_hint" not in left.text


def test_a_sign_out_needs_no_provider(place: Place, tmp_path: Path) -> None:
    browser = a_browser(place, "http://localhost:1", tmp_path / "secret")
    assert browser.post("/sign-out", headers={"origin": US}).headers["location"] == "/sign-in"


def test_who_is_in_no_group_of_ours_gets_in_nowhere(hospital: Hospital, place: Place, tmp_path: Path) -> None:
    browser = a_browser(place, hospital.url, tmp_path / "secret")
    refused = browser.get(agree(go_to_provider(browser), "u-guest"))
    assert refused.status_code == 403
    assert "has no role here" in refused.text
    assert browser.get("/account").status_code == 303
    with place.database.reading() as session:
        assert accounts.every(session) == []
        assert any("sign_on_refused" in entry.body for entry in session.scalars(select(Entry)))


def test_a_sign_on_ends_only_in_the_browser_that_began_it_and_once(
    hospital: Hospital, place: Place, tmp_path: Path
) -> None:
    browser = a_browser(place, hospital.url, tmp_path / "secret")
    other = a_browser(place, hospital.url, tmp_path / "secret")
    back = agree(go_to_provider(browser), "u-anna")
    go_to_provider(other)
    assert other.get(back).status_code == 403  # another's code, slipped to a victim
    flow = dict(browser.cookies)
    assert browser.get(back).status_code == 303
    browser.cookies.clear()
    browser.cookies.update(flow)
    assert browser.get(back).status_code == 403
    for wrong in ("", "?error=access_denied", "?code=x&state=y", f"?{'x' * 3000}"):
        assert other.get(CALLBACK + wrong).status_code == 403


def test_a_provider_that_is_away_closes_no_other_way(place: Place, tmp_path: Path) -> None:
    browser = a_browser(place, "http://localhost:1", tmp_path / "secret")
    away = browser.get("/sign-in/sso")
    assert away.status_code == 502
    assert "does not answer just now" in away.text
    assert 'name="password"' in away.text


def test_an_id_token_of_another_issuer_is_not_believed(hospital: Hospital, place: Place, tmp_path: Path) -> None:
    browser = a_browser(place, hospital.url, tmp_path / "secret", believed="https://sso.hospital.example")
    refused = browser.get(agree(go_to_provider(browser), "u-anna"))
    assert refused.status_code == 403
    assert "was not completed" in refused.text
    assert hospital.tokens_asked
    assert browser.get("/account").status_code == 303
