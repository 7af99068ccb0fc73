"""Who may do what, and under which name."""

from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from alerts.access.gate import current_user, is_public
from alerts.access.permissions import PERMISSIONS, THIS_MACHINE, Permission, Role, permissions_of
from alerts.access.user import ANYBODY_HERE, Means, User
from alerts.broker import Reception
from alerts.desk import alert_id_of
from alerts.errors import NameMissing, NotInOthersNames
from tests.unit.alerts.builders import a_finding, key
from tests.unit.alerts.test_alert_pages import identify, open_page


def a_user(*roles: Role, means: Means = Means.SESSION) -> User:
    return User("anna", "Dr Anna Grün", permissions_of(roles), means, "s")


@pytest.fixture
def reception(ward: Any) -> Reception:
    reception = Reception(ward.clock, ward.metrics)
    reception.hears(True)
    return reception


def seen_by(user: User | None, ward: Any, reception: Reception) -> TestClient:
    return open_page(ward, reception, identify=lambda _: user)


def test_every_route_is_public_or_says_what_its_user_must_be_allowed(ward: Any, reception: Reception) -> None:
    app: Any = open_page(ward, reception).app
    checked = 0
    for route in iter_route_contexts(app.routes):
        calls = [d.call for d in getattr(route, "dependant", None).dependencies] if hasattr(route, "dependant") else []
        guarded = any(hasattr(call, "permission") or call is current_user for call in calls)
        described = route.path == app.openapi_url  # behind the gate, and the same for everybody
        assert guarded or described or is_public(route.path) or is_public(f"{route.path}/"), (
            f"{route.path} does not say whom it serves"
        )
        checked += 1
    assert checked > 8


@pytest.mark.parametrize("path", ["/", "/list", "/events", f"/studies/{key('A')}", "/api/openapi.json", "/nothing"])
def test_without_a_name_nobody_gets_in(ward: Any, reception: Reception, path: str) -> None:
    ward.send(a_finding())
    with seen_by(None, ward, reception) as stranger:
        answer = stranger.get(path, headers={"sec-fetch-mode": "cors"})
        assert answer.status_code == 401
        assert answer.headers["content-security-policy"]
        assert key("A")[:6] not in answer.text


def test_a_person_is_led_to_the_sign_in_and_back(ward: Any, reception: Reception) -> None:
    with seen_by(None, ward, reception) as stranger:
        assert stranger.get("/").headers["location"] == "/sign-in"
        led = stranger.get(f"/studies/{key('A')}?x=1&y=//evil.example").headers["location"]
        assert led == f"/sign-in?next=/studies/{key('A')}%3Fx%3D1%26y%3D//evil.example"


def test_the_link_in_a_message_works_without_a_name(ward: Any, reception: Reception) -> None:
    ward.send(a_finding())
    [message] = ward.expects("first")
    with seen_by(None, ward, reception) as stranger:
        link = message.acknowledge_link.removeprefix("http://127.0.0.1:8080")
        assert "Acknowledge as first" in stranger.get(link).text
        assert stranger.post(link).status_code == 303
        assert ward.alert().acknowledged_by == "first"
        assert stranger.post(f"/alerts/{alert_id_of(key('A'))}/acknowledge", content="by=x").status_code == 401


def test_ops_sees_studies_without_patients_and_answers_for_nobody(ward: Any, reception: Reception) -> None:
    ward.send(a_finding(pictures=True))
    identify(ward, "A", "Miller^Grace")
    picture = f"/studies/{key('A')}/pictures/{key('A/a')}/1/0/image.png"
    with seen_by(a_user(Role.OPS), ward, reception) as ops:
        assert "Possible intracranial hemorrhage" in ops.get("/").text
        for address in ("/", f"/studies/{key('A')}"):
            assert "Miller" not in ops.get(address).text
        assert "<form" not in ops.get(f"/studies/{key('A')}").text
        assert ops.get(picture).status_code == 403
        refused = ops.post(f"/api/v1/alerts/{alert_id_of(key('A'))}/acknowledge", json={})
        assert refused.status_code == 403
        assert "alerts:acknowledge" in refused.json()["detail"]
        assert ward.alert().waits_for_a_human
    with seen_by(a_user(Role.DOCTOR), ward, reception) as doctor:
        assert "Miller" in doctor.get("/").text
        assert doctor.get(picture).status_code == 200


def test_an_admin_sees_no_patient(ward: Any, reception: Reception) -> None:
    with seen_by(a_user(Role.ADMIN), ward, reception) as admin:
        assert admin.get("/").headers["location"] == "/account"
        for path in ("/list", f"/studies/{key('A')}", "/api/v1/studies"):
            assert admin.get(path).status_code == 403


def test_who_has_signed_in_answers_in_that_name_and_in_no_other(ward: Any, reception: Reception) -> None:
    ward.send(a_finding())
    alert = alert_id_of(key("A"))
    with seen_by(a_user(Role.DOCTOR), ward, reception) as doctor:
        assert "Acknowledge as Dr Anna Grün" in doctor.get(f"/studies/{key('A')}").text
        assert doctor.post(f"/api/v1/alerts/{alert}/acknowledge", json={"by": "Dr Nemo"}).status_code == 422
        assert ward.alert().waits_for_a_human
        assert doctor.post(f"/alerts/{alert}/acknowledge").status_code == 303
        assert ward.alert().acknowledged_by == "Dr Anna Grün"


def test_a_program_says_for_whom_it_acts_and_is_named_too() -> None:
    pager = User("pager", "pager", frozenset({Permission.ACKNOWLEDGE}), Means.TOKEN)
    assert pager.acting_as("Dr X") == "Dr X, through pager"
    with pytest.raises(NameMissing):
        pager.acting_as(None)
    with pytest.raises(NameMissing):
        ANYBODY_HERE.acting_as("")
    with pytest.raises(NotInOthersNames):
        a_user(Role.DOCTOR).acting_as("Dr Y")


def test_the_table_of_roles() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert permissions_of(Role) == frozenset(Permission)
    assert Permission.MANAGE_ACCESS not in THIS_MACHINE
    assert not PERMISSIONS[Role.ADMIN] & {Permission.SEE_IDENTITIES, Permission.SEE_IMAGES}
    assert permissions_of(()) == frozenset()
