"""The rota on the page: shown with its problems, edited with care, in force at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from alerts.access.permissions import Role, permissions_of
from alerts.access.trail import Views
from alerts.access.user import ANYBODY_HERE, Means, User
from alerts.audit import Auditor
from alerts.broker import Reception
from alerts.channels.push import PushService, Vapid, fresh_private
from alerts.plan import Plan
from alerts.recipients import Recipients
from alerts.store import rotas
from alerts.store.gallery import Gallery, address_beside
from alerts.store.subscriptions import SubscriptionBook
from alerts.web.app import create_app
from alerts.web.context import Context
from alerts.web.guard import House
from monitoring.health import Health
from tests.unit.alerts.builders import SIGNER, a_finding, an_entrance
from tests.unit.alerts.test_alert_pages import Stopped, text_of

WEBHOOK = {"url": "http://127.0.0.1:1", "secret": "0" * 16}
PEOPLE = Recipients.model_validate(
    {
        "recipients": [
            {"name": "first", "webhook": WEBHOOK, "push": True, "user": "anna"},
            {"name": "second", "email": "s@h.example", "phone": "044 555"},
        ]
    }
)
ROTA = """\
time_zone: Europe/Zurich
rotations:
  nights: {members: [first, second], turn: daily, start: 2026-01-05}
policies:
  - {name: all, steps: [{notify: [nights]}], fall_back: [second]}
"""
ADMIN = User("root", "Admin", permissions_of([Role.ADMIN]), Means.SESSION)
DOCTOR = User("anna", "Dr Anna Grün", permissions_of([Role.DOCTOR]), Means.SESSION)
BROWSER = {
    "endpoint": "https://fcm.googleapis.com/fcm/send/abc",
    "keys": {"p256dh": "BA" + "A" * 85, "auth": "A" * 22},
    "expirationTime": None,
}


class Site:
    """A page whose user can be changed."""

    def __init__(self, ward: Any) -> None:
        self.ward, self.user = ward, ANYBODY_HERE
        self.plan: Plan = ward.desk.escalation
        reception = Reception(ward.clock, ward.metrics)
        reception.hears(True)
        vapid = Vapid(fresh_private(), "mailto:x@h.example")
        push = PushService(SubscriptionBook(ward.database), lambda: vapid, ("fcm.googleapis.com",), ward.clock)
        context = Context(
            database=ward.database,
            clock=ward.clock,
            desk=ward.desk,
            cipher=None,
            recipients=PEOPLE,
            reception=reception,
            metrics=ward.metrics,
            stop=Stopped(),
            signer=SIGNER,
            auditor=Auditor(),
            identify=lambda _: self.user,
            views=Views(ward.database, ward.clock),
            entrance=an_entrance(ward),
            health=Health(),
            gallery=Gallery(address_beside(ward.database._url)),
            plan=self.plan,
            push=push,
            circuits=ward.circuits,
        )
        app = create_app(context, House.of(None, ()))
        self.page = TestClient(app, base_url="http://127.0.0.1:8080", follow_redirects=False)

    def edit(self, do: str, **form: str) -> Any:
        return self.page.post(
            "/on-call/edit", data={"do": do, "by": "Dr Editor", "after": str(self.plan.number)} | form
        )

    def shown(self) -> str:
        return text_of(self.page.get("/on-call").text)


@pytest.fixture
def site(a_ward: Callable[..., Any], database: Any) -> Site:
    ward = a_ward(recipients=PEOPLE)
    plan = Plan(PEOPLE, timedelta(minutes=5), database, ward.clock)
    ward = a_ward(recipients=PEOPLE, escalation=plan)
    return Site(ward)


def test_without_a_rota_it_says_so_and_offers_one_to_begin_with(site: Site) -> None:
    assert "There is no rota: everybody is rung" in site.shown()
    draft = site.page.get("/on-call/edit").text
    assert "everybody: [&#34;first&#34;, &#34;second&#34;]" in draft


def test_a_saved_rota_is_in_force_at_once_and_kept_with_its_author(site: Site) -> None:
    assert site.edit("save", text=ROTA).status_code == 303
    shown = site.shown()
    assert "first" in shown
    assert "Version 1, by Dr Editor" in shown
    site.ward.send(a_finding())
    told = [name for name in PEOPLE.names if site.ward.news(name)]
    assert len(told) == 1, "one is on duty, not both"
    with site.ward.database.reading() as session:
        assert rotas.version(session, 1).text == ROTA  # type: ignore[union-attr] # it is there


def test_another_instance_takes_it_up_at_its_next_tick(site: Site) -> None:
    other = Plan(PEOPLE, timedelta(minutes=5), site.ward.database, site.ward.clock)
    other.start(None)
    assert other.on_call is None
    site.edit("save", text=ROTA)
    other.refresh()
    assert other.on_call is not None
    assert other.number == 1


def test_a_file_is_taken_up_when_it_is_new_and_does_not_undo_the_page(site: Site) -> None:
    site.plan.start(ROTA)
    assert site.plan.number == 1
    site.edit("save", text=ROTA.replace("daily", "weekly"))
    site.plan.start(ROTA)
    assert site.plan.number == 2
    site.plan.start(ROTA + "# changed\n")
    assert site.plan.number == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROTA.replace("[first, second]", "[first, ghost]"), "ghost"),
        (ROTA.replace("daily", "hourly"), "rotations.nights.turn"),
        ("policies: [", "it is not YAML in line"),
        ("", "Input should be a valid dictionary"),
    ],
)
def test_what_cannot_be_used_is_not_saved_and_not_lost(site: Site, text: str, words: str) -> None:
    site.edit("save", text=ROTA)
    answer = site.edit("save", text=text)
    assert answer.status_code == 422
    assert words in text_of(answer.text)
    assert "ghost" not in text or "ghost" in answer.text, "the text is still in the box"
    assert site.plan.number == 1


def test_two_editors_do_not_overwrite_each_other(site: Site) -> None:
    site.edit("save", text=ROTA)
    answer = site.edit("save", text=ROTA.replace("daily", "weekly"), after="0")
    assert answer.status_code == 422
    assert "Somebody else has saved another version" in text_of(answer.text)


def test_check_shows_problems_before_saving(site: Site) -> None:
    answer = site.edit("check", text=ROTA.replace("turn: daily", 'shift: "18:00-08:00"'))
    assert "Nobody is on duty at step 1 of policy all (nights)" in text_of(answer.text)
    assert site.plan.number == 0


def test_a_gap_is_on_the_page_and_in_the_banner(site: Site) -> None:
    site.edit("save", text=ROTA.replace("turn: daily", 'shift: "18:00-08:00"'))
    assert "Nobody is on duty at step 1" in site.shown()
    assert "The on-call rota has a problem" in text_of(site.page.get("/").text)


def test_somebody_stands_in_by_the_form(site: Site) -> None:
    site.edit("save", text=ROTA)
    form = {"rotation": "nights", "who": "second", "start": "2026-03-01T00:00", "end": "2026-03-02T00:00"}
    answer = site.edit("stand-in", text=ROTA, **form)
    assert "second stands in. Save to put it in force." in text_of(answer.text)
    assert "who: second" in answer.text
    answer = site.edit("stand-in", text=ROTA, **(form | {"end": "2026-02-01T00:00"}))
    assert answer.status_code == 422


def test_a_calendar_is_written_into_the_document(site: Site) -> None:
    calendar = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:second\r\n"
        "DTSTART:20260310T180000\r\nDURATION:PT12H\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    answer = site.edit("calendar", text=ROTA, rotation="nights", calendar=calendar)
    assert "1 duties taken over" in text_of(answer.text)
    answer = site.edit("calendar", text=ROTA, rotation="nights", calendar=calendar.replace("second", "Dr. Who"))
    assert "Dr. Who, who are no recipients" in text_of(answer.text)


def test_an_earlier_version_can_be_looked_at_and_put_in_force_again(site: Site) -> None:
    site.edit("save", text=ROTA)
    site.edit("save", text=ROTA.replace("daily", "weekly"))
    assert site.page.get("/on-call/versions/1").text == ROTA
    assert "turn: daily" in site.page.get("/on-call/edit?version=1").text
    assert site.edit("save", text=ROTA).status_code == 303
    assert site.plan.number == 3
    assert site.page.get("/on-call/versions/99").status_code == 404


def test_a_doctor_sees_the_rota_and_only_an_editor_edits_it_in_his_own_name(site: Site) -> None:
    site.user = DOCTOR
    assert site.page.get("/on-call").status_code == 200
    assert "Edit the rota" not in site.shown()
    assert site.page.get("/on-call/edit").status_code == 403
    assert site.edit("save", text=ROTA).status_code == 403
    site.user = ADMIN
    assert site.edit("save", text=ROTA, by="").status_code == 303
    assert "by Admin" in site.shown()


def test_channels_are_shown_with_how_they_are(site: Site) -> None:
    shown = site.shown()
    assert "first browser push no browser is subscribed" in shown
    assert "second e-mail not used lately" in shown
    assert "To call: second 044 555" in shown
    site.ward.send(a_finding())
    assert "second e-mail works 2026-03-01" in site.shown()


def test_a_doctor_subscribes_a_browser_for_himself_alone(site: Site) -> None:
    site.user = DOCTOR
    assert "first (0 devices)" in site.page.get("/push").text
    wanted = {"recipient": "first", "subscription": BROWSER}
    assert site.page.post("/push/subscribe", json=wanted).status_code == 204
    assert "first (1 device)" in site.page.get("/push").text
    assert site.page.post("/push/subscribe", json=wanted | {"recipient": "second"}).status_code == 422
    assert site.page.post("/push/unsubscribe", json={"endpoint": BROWSER["endpoint"]}).status_code == 204
    assert "first (0 devices)" in site.page.get("/push").text


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:5432/",
        "https://10.0.0.1/x",
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilfcm.googleapis.com.example/",
        "https://user@fcm.googleapis.com/x",
    ],
)
def test_only_known_push_services_are_posted_to(site: Site, endpoint: str) -> None:
    for path in ("/push/subscribe", "/push/test"):
        wanted = {"recipient": "first", "subscription": BROWSER | {"endpoint": endpoint}}
        answer = site.page.post(path, json=wanted)
        assert answer.status_code == 422
        assert "not one that this site allows" in answer.json()["detail"]


def test_the_service_worker_is_served_from_the_root(site: Site) -> None:
    answer = site.page.get("/service-worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "showNotification" in answer.text


def test_the_page_behind_the_link_says_that_it_was_seen(site: Site) -> None:
    site.ward.send(a_finding())
    message = site.ward.news("first")[0]
    link = message.acknowledge_link.removeprefix("http://127.0.0.1:8080")
    assert f"{link}/seen" in site.page.get(link).text
    assert site.page.post(f"{link}/seen").status_code == 204
    assert {n.words for n in site.ward.alert().notices if n.recipient == "first"} == {"seen"}
    assert site.page.post(f"{link}x/seen").status_code == 403
