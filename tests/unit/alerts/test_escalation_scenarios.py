"""Nobody answers: who rings next, and that somebody always does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from alerts.errors import ChannelRefused
from alerts.escalation import RingByPolicy, RingReason
from alerts.life import Topic
from alerts.oncall import Matter, OnCall
from alerts.recipients import Recipients
from streams.contracts.findings import FindingStatus
from tests.unit.alerts.builders import START, a_finding

POLICY = """
time_zone: Europe/Zurich
teams: {team: [first, second, third]}
rotations:
  nights: {members: [first], hand_over: "08:00", start: 2026-01-05, shift: "18:00-08:00"}
policies:
  - name: all
    steps:
      - {notify: [nights], wait_minutes: 5}
      - {notify: [second], wait_minutes: 5}
      - {notify: [team], wait_minutes: 5}
    repeat: 1
    fall_back: [switchboard]
    fall_back_every_minutes: 3
"""
NAMES = ("first", "second", "third", "switchboard")
SECRET = "0123456789abcdef"
PEOPLE = Recipients.model_validate(
    {"recipients": [{"name": n, "webhook": {"url": "http://127.0.0.1:1", "secret": SECRET}} for n in NAMES]}
)


def escalation(text: str = POLICY) -> RingByPolicy:
    return RingByPolicy(OnCall.model_validate(yaml.safe_load(text)), NAMES)


@pytest.fixture
def night(a_ward: Callable[..., Any]) -> Any:
    """03:00 UTC is 04:00 in Zurich: within the night shift."""
    return a_ward(recipients=PEOPLE, escalation=escalation())


def test_nobody_answers_then_second_doctor_then_team_then_switchboard_until_somebody_does(night: Any) -> None:
    night.send(a_finding())
    night.expects("first", "hemorrhage")
    night.silent("second", "third", "switchboard")
    night.wait(minutes=5)
    night.expects("second", "not answered yet")
    night.silent("first", "third", "switchboard")
    night.wait(minutes=5)
    for name in ("first", "second", "third"):
        night.expects(name, "not answered yet")
    night.wait(minutes=5)
    night.expects("switchboard", "not answered yet")
    night.wait(minutes=3)
    night.expects("switchboard", "not answered yet")
    night.acknowledge(by="first")
    night.wait(minutes=30)
    night.silent(*NAMES)
    reasons = [v.event.reason for v in night.history() if v.event.state == "escalated"]
    assert reasons == ["nobody_answered", "nobody_answered", "fall_back", "fall_back"]


def test_an_answer_stops_it_at_once(night: Any) -> None:
    night.send(a_finding())
    night.wait(minutes=4)
    night.acknowledge()
    night.news("first")
    night.wait(minutes=20)
    night.silent(*NAMES)


def test_a_correction_goes_to_all_who_were_rung_not_only_who_is_on_now(night: Any) -> None:
    night.send(a_finding(FindingStatus.PROVISIONAL))
    night.wait(minutes=5)
    for name in NAMES:
        night.news(name)
    night.send(a_finding(FindingStatus.RETRACTED, revision=2))
    night.expects("first", "withdrawn")
    night.expects("second", "withdrawn")
    night.silent("third", "switchboard")
    night.wait(minutes=20)
    night.silent(*NAMES)


def test_in_a_gap_the_fall_back_rings_at_once(night: Any) -> None:
    night.clock.advance(hours=8)
    night.send(a_finding(at=night.clock.now()))
    night.expects("switchboard", "hemorrhage")
    night.silent("first", "second", "third")
    night.wait(minutes=5)
    night.expects("second", "not answered yet")


def test_when_the_first_cannot_be_reached_the_second_is_not_made_to_wait(night: Any) -> None:
    night.fail("first", *[ChannelRefused("answered 404")] * 5)
    night.send(a_finding())
    night.silent("second")
    night.wait(seconds=5)
    night.expects("second", "not answered yet")


def test_a_step_of_people_who_are_gone_rings_the_fall_back_and_without_one_everybody() -> None:
    at = START
    gone = RingByPolicy(escalation().on_call, ("third", "switchboard"))
    assert gone.ring(Matter(Topic.BLEED), 0, at).names == ("switchboard",)
    assert gone.ring(Matter(Topic.BLEED), 0, at).reason is RingReason.GAP
    nobody_known = RingByPolicy(escalation().on_call, ("third",))
    assert nobody_known.ring(Matter(Topic.BLEED), 0, at).names == ("third",)
    assert nobody_known.ring(Matter(Topic.BLEED), 0, at).reason is RingReason.EVERYBODY


@pytest.mark.parametrize("hours", range(0, 24 * 8, 5))
def test_at_any_time_and_round_somebody_rings_and_it_rings_again(hours: int) -> None:
    rings = escalation()
    at: datetime = START + timedelta(hours=hours)
    for round_number in range(8):
        ring = rings.ring(Matter(Topic.BLEED, "CT1"), round_number, at)
        assert ring.names
        assert at < ring.rings_again_at <= at + timedelta(minutes=5)


DAILY = POLICY.replace(
    'nights: {members: [first], hand_over: "08:00", start: 2026-01-05, shift: "18:00-08:00"}',
    'nights: {members: [first, second], turn: daily, hand_over: "02:30", start: 2026-01-05}',
).replace("{notify: [second], wait_minutes: 5}", "{notify: [third], wait_minutes: 5}")


def at_night(a_ward: Callable[..., Any], instant: str) -> Any:
    ward = a_ward(recipients=PEOPLE, escalation=escalation(DAILY))
    ward.clock.instant = datetime.fromisoformat(instant).astimezone(UTC)
    return ward


def test_in_the_night_the_clocks_go_back_the_hand_over_is_kept_and_no_ring_is_lost_or_doubled(
    a_ward: Callable[..., Any],
) -> None:
    """25 October 2026, Zurich: the hour from 02:00 to 03:00 comes twice; the turn changes at 02:30, the first time."""
    ward = at_night(a_ward, "2026-10-25T02:28+02:00")
    ward.send(a_finding(at=ward.clock.now()))
    ward.expects("first", "hemorrhage")
    ward.wait(minutes=5)
    ward.expects("third", "not answered yet")
    ward.silent("first", "second", "switchboard")
    again = at_night(a_ward, "2026-10-25T02:10+01:00")
    again.send(a_finding(study="B", at=again.clock.now()))
    again.expects("second", "hemorrhage")
    again.silent("first", "switchboard")


def test_in_the_night_the_clocks_go_forward_the_skipped_hand_over_still_happens(a_ward: Callable[..., Any]) -> None:
    """29 March 2026, Zurich: there is no 02:30."""
    ward = at_night(a_ward, "2026-03-29T01:55+01:00")
    ward.send(a_finding(study="A", at=ward.clock.now()))
    [before] = [name for name in ("first", "second") if ward.news(name)]
    ward.acknowledge("A")
    later = at_night(a_ward, "2026-03-29T03:31+02:00")
    later.send(a_finding(study="B", at=later.clock.now()))
    [after] = [name for name in ("first", "second") if later.news(name)]
    assert {before, after} == {"first", "second"}


LATE = POLICY.replace(
    "policies:",
    "policies:\n  - {name: late, late: true, steps: [{notify: [third], wait_minutes: 5}], fall_back: [switchboard]}",
)


def test_what_an_outage_has_made_late_rings_whom_the_policy_names_for_it_and_is_marked(
    a_ward: Callable[..., Any],
) -> None:
    ward = a_ward(recipients=PEOPLE, escalation=escalation(LATE))
    ward.send(a_finding(study="A", at=START - timedelta(hours=2)))
    ward.expects("third", "LATE: this was found at 2026-03-01 01:00:00 UTC")
    ward.silent("first", "second", "switchboard")
    assert ward.alert("A").late
    ward.send(a_finding(study="B", at=START))
    ward.expects("first", "hemorrhage")
    assert not ward.alert("B").late
