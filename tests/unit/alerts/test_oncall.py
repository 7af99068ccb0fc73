"""Who is on call, at the seams of the calendar."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from alerts.life import Topic
from alerts.oncall import Matter, OnCall, mistakes

ROTA = """
time_zone: Europe/Zurich
teams:
  radiology: [first, second]
rotations:
  nights:
    members: [first, second]
    turn: weekly
    hand_over: "08:00"
    start: 2026-01-05
    overrides:
      - {start: 2026-03-04T18:00, end: 2026-03-05T08:00, who: third}
policies:
  - name: everything
    steps:
      - {notify: [nights], wait_minutes: 5}
      - {notify: [radiology], wait_minutes: 5}
    repeat: 1
    fall_back: [switchboard]
"""


def on_call(text: str = ROTA, **replaced: str) -> OnCall:
    for old, new in replaced.items():
        text = text.replace(f"{old}:", new)
    return OnCall.model_validate(yaml.safe_load(text))


def who(rota: OnCall, at: str) -> tuple[str, ...]:
    return rota.resolve(["nights"], datetime.fromisoformat(at).astimezone(UTC))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-01-05T08:00+01:00", "first"),
        ("2026-01-12T07:59+01:00", "first"),
        ("2026-01-12T08:00+01:00", "second"),
        ("2026-01-19T08:00+01:00", "first"),
        ("2026-03-30T07:59+02:00", "second"),
        ("2026-03-30T08:00+02:00", "first"),
    ],
)
def test_turns_change_at_the_hand_over_by_the_clock_on_the_wall(at: str, expected: str) -> None:
    assert who(on_call(), at) == (expected,)


def test_an_override_stands_in_for_its_time_alone() -> None:
    assert who(on_call(), "2026-03-04T17:59+01:00") == ("first",)
    assert who(on_call(), "2026-03-04T18:00+01:00") == ("third",)
    assert who(on_call(), "2026-03-05T08:00+01:00") == ("first",)


DAILY = ROTA.replace("turn: weekly", "turn: daily").replace('"08:00"', '"02:30"')


def test_in_the_night_the_clocks_go_back_the_turn_changes_once() -> None:
    """25 October 2026, Zurich: 02:30 comes twice."""
    rota = on_call(DAILY)
    before = who(rota, "2026-10-25T02:29+02:00")
    after = who(rota, "2026-10-25T02:30+02:00")
    again = who(rota, "2026-10-25T02:15+01:00")
    later = who(rota, "2026-10-25T02:45+01:00")
    assert before != after
    assert after == again == later


def test_in_the_night_the_clocks_go_forward_the_turn_still_changes() -> None:
    """29 March 2026, Zurich: 02:30 does not exist."""
    rota = on_call(DAILY)
    assert who(rota, "2026-03-29T01:59+01:00") != who(rota, "2026-03-29T03:30+02:00")


def test_before_its_start_a_rotation_has_nobody() -> None:
    assert who(on_call(), "2026-01-04T12:00+01:00") == ()


SHIFT = ROTA.replace("turn: weekly", 'shift: "18:00-08:00"\n    days: [mon, tue, wed, thu, fri]')


def test_outside_its_shift_a_rotation_has_nobody() -> None:
    rota = on_call(SHIFT)
    assert who(rota, "2026-02-02T12:00+01:00") == ()
    assert who(rota, "2026-02-02T23:00+01:00") == ("first",)
    assert who(rota, "2026-02-07T03:00+01:00") == ("first",)
    assert who(rota, "2026-02-07T23:00+01:00") == ()


HOLIDAYS = ROTA.replace("teams:", "holidays: {country: CH, subdivision: ZH, dates: [2026-02-04]}\nteams:").replace(
    "turn: weekly", "days: [mon, tue, wed, thu, fri]"
)


def test_a_holiday_is_no_working_day_whatever_day_of_the_week_it_is() -> None:
    rota = on_call(HOLIDAYS)
    assert who(rota, "2026-04-02T12:00+02:00"), "Maundy Thursday is none"
    assert who(rota, "2026-04-03T12:00+02:00") == (), "Good Friday is one in Zurich"
    assert who(rota, "2026-02-04T12:00+01:00") == (), "the site's own"
    free = on_call(HOLIDAYS.replace("days: [mon, tue, wed, thu, fri]", "days: [sat, sun, holiday]"))
    assert who(free, "2026-04-03T12:00+02:00")
    assert who(free, "2026-04-04T12:00+02:00")
    assert who(free, "2026-04-07T12:00+02:00") == ()


def test_a_name_that_means_nobody_is_found_at_load() -> None:
    assert mistakes(on_call(), ["first", "second", "third"]) == [
        "policy everything names 'switchboard', who is no recipient, team or rotation"
    ]
    assert mistakes(on_call(), ["first", "second", "third", "switchboard"]) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Europe/Zurich", "Middle/Earth", "not a time zone"),
        ("fall_back: [switchboard]", "fall_back: []", "fall_back"),
        ("- name: everything", "- name: everything\n    topics: [bleed]", "must fit every alert"),
        ("members: [first, second]", "members: []", "members"),
        ("radiology: [first, second]", "nights: [first]", "of a team and of a rotation"),
        ("time_zone: Europe/Zurich", "holidays: {country: ZZ}", "no holidays are known for 'ZZ'"),
        ("time_zone: Europe/Zurich", "holidays: {subdivision: ZH}", "needs its country"),
        ("end: 2026-03-05T08:00", "end: 2026-03-03T08:00", "must end after it starts"),
    ],
)
def test_a_wrong_file_is_refused_with_its_reason(old: str, new: str, words: str) -> None:
    text = ROTA.replace(old, new)
    assert text != ROTA
    with pytest.raises(ValidationError) as refused:
        on_call(text)
    assert words in str(refused.value)


def test_a_team_within_itself_ends() -> None:
    rota: Any = yaml.safe_load(ROTA)
    rota["teams"]["radiology"] = ["radiology", "first"]
    assert OnCall.model_validate(rota).resolve(["radiology"], datetime(2026, 2, 2, tzinfo=UTC)) == ("first",)


def test_the_first_policy_that_fits_is_taken() -> None:
    extra = "policies:\n  - {name: unread, topics: [not_analysed], steps: [{notify: [first]}], fall_back: [second]}"
    rota = on_call(ROTA.replace("policies:", extra))
    assert rota.policy_for(Matter(Topic.NOT_ANALYSED, "CT1")).name == "unread"
    assert rota.policy_for(Matter(Topic.BLEED, "CT1")).name == "everything"


def test_a_policy_may_be_for_late_findings_or_for_a_type_of_bleed() -> None:
    extra = (
        "policies:\n  - {name: late, late: true, steps: [{notify: [first]}], fall_back: [second]}"
        "\n  - {name: epidural, types: [epidural], steps: [{notify: [first]}], fall_back: [second]}"
    )
    rota = on_call(ROTA.replace("policies:", extra))
    assert rota.policy_for(Matter(Topic.BLEED, "CT1", "epidural", late=True)).name == "late"
    assert rota.policy_for(Matter(Topic.BLEED, "CT1", "epidural")).name == "epidural"
    assert rota.policy_for(Matter(Topic.BLEED, "CT1", "subdural")).name == "everything"
