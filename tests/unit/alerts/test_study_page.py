"""The study page: what is on it, and the slices behind it."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from alerts.access.permissions import Role
from alerts.pacs import PacsLink
from alerts.store.gallery import Gallery, address_beside, hang, hanging, take_down
from alerts.web import study_page, vendoring
from streams.contracts.findings import (
    BleedMeasured,
    Coverage,
    Estimate,
    FindingStatus,
    Measurements,
    MidlineShift,
    Outcome,
    Side,
)
from streams.contracts.identities import StudyIdentity
from streams.contracts.pictures import SlicePictured
from tests.unit.alerts.builders import START, FakeClock, a_finding, key
from tests.unit.alerts.test_alert_pages import gallery_of, identify, open_page, reception, text_of
from tests.unit.alerts.test_permissions import a_user

assert reception  # a fixture

PACKED = gzip.compress(b"\x01" * 8, mtime=0)


@pytest.fixture
def page(ward: Any, reception: Any) -> Iterator[TestClient]:
    with open_page(ward, reception) as client:
        yield client


def a_picture(number: int = 12, digest: str = "d" * 32, **changes: Any) -> SlicePictured:
    facts = {
        "study_key": key("A"),
        "series_key": key("A/a"),
        "unit": f"{key(f's{number}')}:1",
        "sop_digest": key("s") if number == 12 else key(f"s{number}"),
        "digest": digest,
        "InstanceNumber": number,
        "position_mm": 5.0 * number,
        "Rows": 2,
        "Columns": 2,
        "PixelSpacing": (0.5, 0.5),
        "at": START,
    }
    return SlicePictured.model_validate(facts | changes)


def take(gallery: Gallery, *pictures: SlicePictured, heat_map: bytes | None = b"heat", packed: bytes = PACKED) -> None:
    with gallery.writing() as session:
        for picture in pictures:
            hang(session, picture, packed, heat_map, START)


def stack(page: TestClient, study: str = "A") -> list[dict[str, Any]]:
    return list(page.get(f"/studies/{key(study)}/stack.json").json()["series"])


def test_the_stack_runs_from_the_base_upwards_and_knows_its_key_slices(ward: Any, page: TestClient) -> None:
    ward.send(a_finding())
    take(gallery_of(ward), a_picture(13), a_picture(12), a_picture(11))
    [series] = stack(page)
    assert [one["number"] for one in series["slices"]] == [11, 12, 13]
    assert [one["key"] for one in series["slices"]] == [None, 0, None]
    assert series["slices"][1]["peak"] == [0.4, 0.3]


def test_a_slice_comes_packed_and_is_not_sent_twice(ward: Any, page: TestClient) -> None:
    ward.send(a_finding())
    take(gallery_of(ward), a_picture())
    address = stack(page)[0]["slices"][0]["url"]
    got = page.get(address)
    assert got.content == b"\x01" * 8  # the client has undone the gzip, as a browser does
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["cache-control"] == "private, no-cache"
    assert page.get(address, headers={"Accept-Encoding": "identity"}).content == b"\x01" * 8
    assert page.get(address, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert page.get(address.replace("d" * 32, "e" * 32)).status_code == 404
    assert page.get(address.replace(key("A"), key("B"))).status_code == 404


def test_no_slice_without_the_permission_not_even_one_that_the_browser_has(ward: Any, reception: Any) -> None:
    ward.send(a_finding())
    take(gallery_of(ward), a_picture())
    with open_page(ward, reception, identify=lambda _: a_user(Role.DOCTOR)) as doctor:
        [one] = stack(doctor)[0]["slices"]
        assert doctor.get(one["heat_url"]).content == b"heat"
    with open_page(ward, reception, identify=lambda _: a_user(Role.OPS)) as ops:
        for address in (f"/studies/{key('A')}/stack.json", one["url"], one["heat_url"]):
            assert ops.get(address, headers={"If-None-Match": f'"{"d" * 32}"'}).status_code == 403
        assert 'id="viewer"' not in ops.get(f"/studies/{key('A')}").text


def test_a_picture_takes_the_place_of_an_earlier_one_and_a_heat_map_is_not_lost(ward: Any) -> None:
    gallery = gallery_of(ward)
    take(gallery, a_picture())
    take(gallery, a_picture(), heat_map=None)  # again, by a worker that took over
    with gallery.reading() as session:
        [hung] = hanging(session, key("A"))
    assert hung.has_heat_map
    take(gallery, a_picture(digest="e" * 32, slices=4), heat_map=None)
    with gallery.reading() as session:
        [hung] = hanging(session, key("A"))
    assert hung.event.slices == 4
    assert not hung.has_heat_map


def test_old_pictures_are_taken_down(ward: Any) -> None:
    gallery = gallery_of(ward)
    take(gallery, a_picture(11), a_picture(12))
    clock = FakeClock()
    with gallery.writing() as session:
        assert take_down(session, clock.now()) == 0
        clock.advance(hours=1)
        assert take_down(session, clock.now()) == 2
        assert hanging(session, key("A")) == []


@pytest.mark.parametrize(
    ("store", "gallery"),
    [
        ("sqlite:////var/lib/alerts.sqlite", "sqlite:////var/lib/alerts-pictures.sqlite"),
        ("sqlite:///alerts", "sqlite:///alerts-pictures"),
        ("postgresql+psycopg://u:p@db/tocsin", "postgresql+psycopg://u:p@db/tocsin"),
    ],
)
def test_where_the_gallery_is(store: str, gallery: str) -> None:
    assert address_beside(store) == gallery


MEASURED = Measurements(
    bleeds=(
        BleedMeasured(
            label="subdural",
            side=Side.LEFT,
            volume_ml=Estimate(value=31.4, low=22.2, high=40.1),
            mean_hu=Estimate(value=58.6),
            diameter_mm=Estimate(value=9.26),
            extent_mm=45.0,
            slices=9,
            first_instance=20,
            last_instance=12,
        ),
    ),
    midline_shift=MidlineShift(shift_mm=Estimate(value=6.2), towards=Side.RIGHT, position_mm=40.0),
)


def test_measurements_say_how_far_they_may_be_wrong(ward: Any, page: TestClient) -> None:
    ward.send(a_finding().model_copy(update={"measurements": MEASURED}))
    shown = text_of(page.get(f"/studies/{key('A')}").text)
    for words in ("31 mL (22–40)", "59 HU", "9.3 mm", "12–20", "Midline shift 6.2 mm to the right, at 40 mm"):
        assert words in shown


def test_a_shift_that_was_not_measured_is_not_called_none(ward: Any, page: TestClient) -> None:
    ward.send(a_finding().model_copy(update={"measurements": MEASURED.model_copy(update={"midline_shift": None})}))
    shown = text_of(page.get(f"/studies/{key('A')}").text)
    assert "No midline shift could be measured with certainty: look for it yourself" in shown


def test_what_was_not_seen_of_the_head_is_said() -> None:
    lines = list(study_page.coverage_lines(Coverage(slices_accepted=5, slices_read=5, vertex_seen=False)))
    assert "the vertex has not been seen" in lines


def test_a_slower_runtime_is_said_at_the_top(ward: Any, page: TestClient) -> None:
    finding = a_finding()
    assert finding.model
    ward.send(finding.model_copy(update={"model": finding.model.model_copy(update={"degraded": True})}))
    assert "Read by a slower runtime than configured" in text_of(page.get(f"/studies/{key('A')}").text)


def test_the_first_image_is_in_the_page_itself(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(FindingStatus.PROVISIONAL, pictures=True))
    ward.send(a_finding(FindingStatus.FAILED, revision=2))
    html = page.get(f"/studies/{key('A')}").text
    address = f"/studies/{key('A')}/pictures/{key('A/a')}/1/0/image.png"
    assert html.count(address) == 2  # preloaded in the head, shown in the stage
    assert page.get(address).status_code == 200


# PACS


def test_the_pacs_link_is_for_those_who_see_identities(ward: Any, reception: Any) -> None:
    ward.send(a_finding())
    identify(ward, "A", "Miller^Grace")
    link = "https://pacs.hospital.example/viewer?study=1.2.840.99"
    with open_page(ward, reception, identify=lambda _: a_user(Role.DOCTOR)) as doctor:
        assert link in doctor.get(f"/studies/{key('A')}").text
    with open_page(ward, reception, identify=lambda _: a_user(Role.OPS)) as ops:
        assert "pacs.hospital" not in ops.get(f"/studies/{key('A')}").text


def test_what_goes_into_the_pacs_link_cannot_leave_its_place() -> None:
    identity = StudyIdentity(study_key=key("A"), StudyInstanceUID="1.2", AccessionNumber="A&b=/..?#")
    assert PacsLink("https://p.example/{AccessionNumber}").of(identity) == "https://p.example/A%26b%3D%2F..%3F%23"


@pytest.mark.parametrize(
    "template",
    ["https://p.example/", "https://p.example/{PatientName}", "javascript:{PatientID}", "https://{PatientID}/", "{"],
)
def test_a_pacs_address_that_cannot_be_used_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        PacsLink(template)


# Vendored


def test_the_vendored_file_is_the_one_that_was_reviewed_and_is_served_packed(page: TestClient) -> None:
    import hashlib

    if not vendoring.FILE.exists():
        pytest.skip("NiiVue has not been fetched: make vendor")
    data = gzip.decompress(vendoring.FILE.read_bytes())
    assert hashlib.sha256(data).hexdigest() == vendoring.SHA256
    got = page.get(f"/static/vendor/{vendoring.FILE.name.removesuffix('.gz')}")
    assert got.headers["content-encoding"] == "gzip"
    assert got.headers["content-type"].startswith("text/javascript")
    assert got.content == data


# Feedback and hand-over


def test_a_clean_study_can_be_judged_too(ward: Any, page: TestClient) -> None:
    ward.send(a_finding(outcome=Outcome.NEGATIVE))
    answer = page.post(f"/studies/{key('A')}/feedback", content="by=Dr+Anna&says=bleed")
    assert answer.status_code == 303
    assert "Dr Anna: bleed" in text_of(page.get(f"/studies/{key('A')}").text)


@pytest.mark.parametrize("form", ["by=Dr+Anna", "by=Dr+Anna&says=perhaps", "says=bleed"])
def test_a_judgement_without_a_name_or_a_word_is_refused(ward: Any, page: TestClient, form: str) -> None:
    ward.send(a_finding())
    assert page.post(f"/studies/{key('A')}/feedback", content=form).status_code == 422


def test_handing_over_needs_somebody_who_can_be_told(ward: Any, page: TestClient) -> None:
    ward.send(a_finding())
    address = f"/alerts/{ward.alert().alert_id}/hand-over"
    assert page.post(address, content="by=first&to=").status_code == 422
    refused = page.post(address, content="by=first&to=nobody")
    assert "nobody cannot be told" in refused.text
    done = page.post(address, content=f"by=first&to=second&study={key('A')}")
    assert done.headers["location"] == f"/studies/{key('A')}"
    assert ward.alert().handed_to == "second"
    assert "handed over, to second, by first" in text_of(page.get(f"/studies/{key('A')}").text)


def test_the_api_takes_feedback_and_gives_it_back_as_csv(ward: Any, reception: Any) -> None:
    ward.send(a_finding())
    with open_page(ward, reception, identify=lambda _: a_user(Role.DOCTOR)) as doctor:
        given = doctor.post(f"/api/v1/studies/{key('A')}/feedback", json={"says": "not_a_bleed"})
        assert given.json()["by"] == "Dr Anna Grün"
        assert doctor.get("/api/v1/feedback.csv").status_code == 403
    with open_page(ward, reception, identify=lambda _: a_user(Role.ADMIN)) as admin:
        got = admin.get("/api/v1/feedback.csv")
        assert got.headers["content-type"].startswith("text/csv")
        assert "not_a_bleed" in got.text
