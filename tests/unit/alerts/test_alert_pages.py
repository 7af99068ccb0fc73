"""The page and its API, as a browser meets them."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient

from alerts.access.gate import Identify
from alerts.access.trail import Views
from alerts.access.user import ANYBODY_HERE
from alerts.audit import Auditor
from alerts.broker import Reception
from alerts.desk import alert_id_of
from alerts.errors import StoreUnavailable
from alerts.pacs import PacsLink
from alerts.store.database import Database
from alerts.store.gallery import Gallery, address_beside
from alerts.web.app import create_app
from alerts.web.context import Context
from alerts.web.guard import SECURITY_HEADERS, House
from monitoring.health import Health
from streams.contracts.findings import FindingReason, FindingStatus, Outcome, SliceReason
from streams.contracts.identities import IdentityCipher, StudyIdentity
from tests.unit.alerts.builders import SIGNER, START, a_finding, an_entrance, key

CIPHER = IdentityCipher(b"k" * 32)
PACS = PacsLink("https://pacs.hospital.example/viewer?study={StudyInstanceUID}")


class Stopped:
    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        return False


@pytest.fixture
def reception(ward: Any) -> Reception:
    reception = Reception(ward.clock, ward.metrics)
    reception.hears(True)
    return reception


def gallery_of(ward: Any) -> Gallery:
    """The ward's pictures, beside its store."""
    gallery = Gallery(address_beside(ward.database._url))
    gallery.prepare()
    return gallery


def open_page(
    ward: Any, reception: Reception, cipher: IdentityCipher | None = CIPHER, identify: Identify | None = None
) -> TestClient:
    context = Context(
        ward.database,
        ward.clock,
        ward.desk,
        cipher,
        ward.desk.recipients,
        reception,
        ward.metrics,
        Stopped(),
        SIGNER,
        Auditor(),
        identify or (lambda _: ANYBODY_HERE),
        Views(ward.database, ward.clock),
        an_entrance(ward),
        Health(),
        gallery_of(ward),
        PACS,
    )
    app = create_app(context, House.of("https://tocsin.hospital.example", ()))
    return TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def page(ward: Any, reception: Reception) -> Iterator[TestClient]:
    with open_page(ward, reception) as client:
        yield client


def identify(ward: Any, study: str, name: str) -> None:
    identity = StudyIdentity(study_key=key(study), StudyInstanceUID="1.2.840.99", PatientName=name, PatientID="P-77")
    envelope = CIPHER.seal(identity, key(study), b"n" * 12)
    ward.desk.take_study_identity(key(study), envelope, ward.clock.now())


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_most_urgent_is_on_top_and_not_analysed_is_never_no_bleed_found(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(study="clean", outcome=Outcome.NEGATIVE))
    ward.send(a_finding(FindingStatus.FAILED, study="failed"))
    ward.send(a_finding(FindingStatus.NOT_ASSESSABLE, study="unread"))
    ward.send(a_finding(study="bleed"))
    ward.send(a_finding(study="answered"))
    ward.acknowledge("answered")
    identify(ward, "arriving", "Arriving^Ann")

    shown = text_of(page.get("/").text)

    places = [
        shown.index(words)
        for words in (
            "Possible bleed, not answered",
            "Not analysed, not answered",
            "Not analysed (no slice could be read)",
            "Possible bleed, answered",
            "No result yet",
            "No bleed found",
        )
    ]
    assert places == sorted(places)
    assert shown.count("No bleed found") == 2  # the heading and its one study
    assert "Not analysed: read it yourself (the model failed)" in shown


def test_identities_are_opened_for_the_page_and_absent_from_the_api_and_the_database(
    ward: Any, page: TestClient, reception: Reception, tmp_path: Any
) -> None:
    ward.send(a_finding())
    identify(ward, "A", "Miller^Grace")
    assert "Miller Grace" in page.get("/").text
    assert "Miller Grace" in page.get(f"/studies/{key('A')}").text
    assert "Miller" not in page.get("/api/v1/studies").text
    with open_page(ward, reception, None) as without_key:
        assert "Miller" not in without_key.get("/").text
        assert "no identity key is configured" in without_key.get("/").text
    for file in tmp_path.iterdir():
        assert b"Miller" not in file.read_bytes()
        assert b"P-77" not in file.read_bytes()


def test_the_study_page_tells_what_was_seen_and_what_was_not(ward: Any, page: TestClient) -> None:
    finding = a_finding(pictures=True)
    coverage = finding.coverage.model_copy(update={"unread": {SliceReason.BONE_KERNEL: 3}, "frames_in_ledger": 25})
    ward.send(finding.model_copy(update={"coverage": coverage}))
    shown = text_of(page.get(f"/studies/{key('A')}").text)
    for words in (
        "Possible intracranial hemorrhage, right, most likely subdural",
        "20 of 32 expected slices read",
        "3 not read: reconstructed for bone",
        "3 accepted from the scanner but not seen by the reader",
        "largest gap between slices read: 5.0 mm",
        "ich-small 1.0.0 on onnxruntime-cpu",
        "score 0.970, threshold 0.500",
        "decisive slice to finding",
        "delivered, first by webhook",
    ):
        assert words in shown


def test_pictures_are_served_only_where_they_belong(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(pictures=True))
    ward.send(a_finding(study="B", outcome=Outcome.NEGATIVE))
    series = key("A/a")
    there = page.get(f"/studies/{key('A')}/pictures/{series}/1/0/image.png")
    assert there.headers["content-type"] == "image/png"
    assert there.content.startswith(b"\x89PNG")
    assert page.get(f"/studies/{key('A')}/pictures/{series}/1/0/heat_map.png").status_code == 200
    assert page.get(f"/studies/{key('B')}/pictures/{series}/1/0/image.png").status_code == 404
    assert page.get(f"/studies/{key('A')}/pictures/{series}/1/9/image.png").status_code == 404


def test_acknowledging_on_the_page_needs_a_name_and_shows_who_and_when(ward: Any, page: TestClient) -> None:
    ward.send(a_finding())
    address = f"/alerts/{alert_id_of(key('A'))}/acknowledge"
    for wrong in ("", "   ", "x" * 81, "a\x00b"):
        assert page.post(address, content=urlencode({"by": wrong})).status_code == 422
    assert ward.alert().waits_for_a_human
    done = page.post(address, content=urlencode({"by": "Dr Grün", "study": key("A")}))
    assert (done.status_code, done.headers["location"]) == (303, f"/studies/{key('A')}")
    assert "acknowledged by Dr Grün" in text_of(page.get(done.headers["location"]).text)
    assert page.post(address, content=urlencode({"by": "x", "study": "//evil.example"})).headers["location"] == "/"


def test_the_link_in_a_message_shows_a_button_and_only_the_button_answers(ward: Any, page: TestClient) -> None:
    ward.send(a_finding())
    [message] = ward.expects("first")
    link = message.acknowledge_link.removeprefix("http://127.0.0.1:8080")
    asked = page.get(link)
    assert "Acknowledge as first" in asked.text
    assert ward.alert().waits_for_a_human
    assert page.post(link).status_code == 303
    assert ward.alert().acknowledged_by == "first"
    assert "Acknowledged by first" in page.get(link).text
    ward.clock.advance(hours=13)
    assert page.get(link).status_code == 403
    assert "expired" in page.get(link).text
    assert "not complete" in page.get(link[:-3]).text


def test_silence_is_never_shown_as_safety(
    ward: Any, page: TestClient, reception: Reception, a_ward: Callable[..., Any]
) -> None:
    assert 'class="banner"' not in page.get("/").text
    reception.hears(False)
    assert "No new findings are being received since 03:00:00 UTC" in page.get("/").text
    nobody = a_ward(recipients=None)
    with open_page(nobody, reception) as client:
        assert "Nobody is told: no recipients are configured" in client.get("/").text


def test_no_store_is_said_in_words(ward: Any, page: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Database) -> None:
        raise StoreUnavailable("OperationalError")

    monkeypatch.setattr(Database, "reading", gone)
    for address in ("/", "/api/v1/studies"):
        answer = page.get(address)
        assert answer.status_code == 503
        assert "Nothing is lost; try again shortly" in answer.text


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", f"/studies/{key('none')}", 404),
        ("GET", "/studies/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/studies/zz", 422),
        ("GET", "/static/../__init__.py", 404),
        ("POST", "/", 405),
        ("DELETE", f"/studies/{key('A')}", 405),
        ("POST", f"/alerts/{key('none')}/acknowledge", 422),
        ("GET", "/api/v1/nothing", 404),
        ("GET", f"/api/v1/studies/{key('none')}", 404),
        ("GET", "/api/v1/studies/UPPER", 422),
        ("PUT", "/api/v1/alerts", 405),
        ("GET", "/api/v1/alerts?waiting=perhaps", 422),
    ],
)
def test_every_refusal_is_a_sentence_with_the_security_headers(
    page: TestClient, method: str, address: str, status: int
) -> None:
    answer = page.request(method, address)
    assert answer.status_code == status
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    words = answer.json()["detail"] if address.startswith("/api") else text_of(answer.text)
    assert " " in words


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example:8080"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}, 303),
        ({"host": "tocsin.hospital.example", "origin": "https://tocsin.hospital.example"}, 303),
        ({}, 303),
    ],
)
def test_only_our_own_pages_may_answer_for_a_doctor(
    ward: Any, page: TestClient, headers: dict[str, str], status: int
) -> None:
    ward.send(a_finding())
    address = f"/alerts/{alert_id_of(key('A'))}/acknowledge"
    assert page.post(address, content="by=Dr+X", headers=headers).status_code == status
    assert ward.alert().waits_for_a_human == (status == 403)


def test_a_browser_names_its_origin_with_our_own_forms(page: TestClient) -> None:
    """Under "no-referrer" it would send "Origin: null", and nobody could acknowledge."""
    assert page.get("/").headers["referrer-policy"] == "same-origin"


def test_a_body_that_is_too_large_is_not_read(page: TestClient) -> None:
    answer = page.post(f"/alerts/{key('x')}/acknowledge", content=b"by=" + b"x" * 600_000)
    assert answer.status_code == 403


def test_the_page_asks_nothing_of_others_and_holds_no_inline_script(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(pictures=True))
    for address in ("/", f"/studies/{key('A')}"):
        html = page.get(address).text
        assert not re.search(r"(src|href|action)=\"(https?:)?//", html)
        assert not re.search(r"<script(?![^>]*src=)", html)
        assert " style=" not in html
        assert " onclick=" not in html


def test_names_are_text_and_never_markup(ward: Any, page: TestClient) -> None:
    ward.send(a_finding())
    identify(ward, "A", "<script>alert(1)</script>")
    ward.acknowledge(by="<b>Dr</b>")
    for address in ("/", f"/studies/{key('A')}"):
        assert "<script>alert" not in page.get(address).text
        assert "<b>Dr</b>" not in page.get(address).text


def test_the_api_tells_studies_and_alerts_and_takes_an_answer(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(FindingStatus.PROVISIONAL))
    ward.send(a_finding(revision=2))
    [study] = page.get("/api/v1/studies").json()
    assert (study["verdict"], study["urgency"]) == ("bleed", "bleed_waiting")
    assert study["findings"][0]["revision"] == 2
    [alert] = page.get("/api/v1/alerts?waiting=true").json()
    assert alert["claim"] == "confirmed"
    assert alert["notices"][0]["state"] == "delivered"
    answered = page.post(f"/api/v1/alerts/{alert['alert_id']}/acknowledge", json={"by": "Dr X"})
    assert answered.json()["answer"] == "acknowledged"
    assert page.get("/api/v1/alerts?waiting=true").json() == []
    detail = page.get(f"/api/v1/studies/{key('A')}").json()
    assert [f["revision"] for f in detail["revisions"]] == [1, 2]
    assert detail["history"][-1]["by"] == "Dr X"
    for wrong in ({}, {"by": ""}, {"by": "x", "more": 1}, [], {"by": "a\u0000"}):
        assert page.post(f"/api/v1/alerts/{alert['alert_id']}/acknowledge", json=wrong).status_code == 422
    assert page.post(f"/api/v1/alerts/{key('none')}/acknowledge", json={"by": "x"}).status_code == 404


def test_the_api_describes_itself(page: TestClient) -> None:
    paths = page.get("/api/openapi.json").json()["paths"]
    assert set(paths) == {
        "/api/v1/studies",
        "/api/v1/studies/{study_key}",
        "/api/v1/me",
        "/api/v1/accounts",
        "/api/v1/tokens",
        "/api/v1/record/views",
        "/api/v1/alerts",
        "/api/v1/alerts/{alert_id}/acknowledge",
        "/api/v1/alerts/{alert_id}/hand-over",
        "/api/v1/studies/{study_key}/feedback",
        "/api/v1/feedback.csv",
    }
    json.dumps(paths)


def test_a_study_without_any_result_is_told_in_time_and_says_so(ward: Any, page: TestClient) -> None:
    identify(ward, "silent", "Nemo^N")
    ward.wait(minutes=9)
    ward.silent("first")
    ward.wait(minutes=2)
    ward.expects("first", "no result came in time")
    assert "Not analysed: no result came in time" in page.get("/").text
    ward.send(a_finding(study="silent", outcome=Outcome.NEGATIVE, at=ward.clock.now()))
    ward.expects("first", "now analysed, no bleed found")


def test_old_identities_that_are_replayed_ring_nobody(ward: Any) -> None:
    identity = StudyIdentity(study_key=key("old"), StudyInstanceUID="1.2.3")
    envelope = CIPHER.seal(identity, key("old"), b"n" * 12)
    ward.desk.take_study_identity(key("old"), envelope, START - timedelta(days=40))
    ward.wait(minutes=11)
    ward.silent("first")


def test_reasons_of_the_system_are_words(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(FindingStatus.FAILED, reasons=(FindingReason.MODEL_FAILED, FindingReason.SLICES_MISSING)))
    assert "the model failed; slices are missing" in text_of(page.get("/").text)
