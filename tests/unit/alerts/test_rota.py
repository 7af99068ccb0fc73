"""The coming days of the rota, and its problems."""

from datetime import UTC, datetime, timedelta

import yaml

from alerts.oncall import OnCall
from alerts.recipients import Recipients
from alerts.rota import ProblemKind, Span, problems, spans

NAMES = ("first", "second", "third", "switchboard")
PEOPLE = Recipients.model_validate(
    {"recipients": [{"name": n, "webhook": {"url": "http://127.0.0.1:1", "secret": "0" * 16}} for n in NAMES]}
)

DAY_AND_NIGHT = """
time_zone: Europe/Zurich
rotations:
  days: {members: [third], start: 2026-01-05, shift: "08:00-18:00"}
  nights:
    members: [first, second]
    turn: daily
    start: 2026-01-05
    shift: "18:00-08:00"
    overrides:
      - {start: 2026-02-03T20:00, end: 2026-02-03T22:00, who: third}
policies:
  - name: all
    steps:
      - {notify: [days, nights]}
    fall_back: [switchboard]
"""


def on_call(text: str = DAY_AND_NIGHT) -> OnCall:
    return OnCall.model_validate(yaml.safe_load(text))


def zurich(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+01:00").astimezone(UTC)


def test_the_coming_days_without_a_hole_between_the_spans() -> None:
    found = spans(on_call(), ["days", "nights"], zurich("2026-02-03T12:00"), zurich("2026-02-04T12:00"))
    assert found == [
        Span(zurich("2026-02-03T12:00"), zurich("2026-02-03T18:00"), ("third",)),
        Span(zurich("2026-02-03T18:00"), zurich("2026-02-03T20:00"), ("second",)),
        Span(zurich("2026-02-03T20:00"), zurich("2026-02-03T22:00"), ("third",)),
        Span(zurich("2026-02-03T22:00"), zurich("2026-02-04T08:00"), ("second",)),
        Span(zurich("2026-02-04T08:00"), zurich("2026-02-04T12:00"), ("third",)),
    ]


def test_spans_say_what_resolving_says_at_every_quarter_of_an_hour_also_when_the_clocks_change() -> None:
    rota = on_call()
    for begin in (zurich("2026-03-28T00:00"), datetime(2026, 10, 24, tzinfo=UTC)):
        found = spans(rota, ["nights"], begin, begin + timedelta(days=3))
        assert [span.start for span in found[1:]] == [span.end for span in found[:-1]]
        for quarter in range(3 * 24 * 4):
            at = begin + timedelta(minutes=15 * quarter)
            [span] = [span for span in found if span.start <= at < span.end]
            assert span.names == rota.resolve(["nights"], at)


def test_two_rotations_that_cover_the_day_between_them_have_no_gap() -> None:
    assert problems(on_call(), PEOPLE, zurich("2026-02-02T12:00")) == []


def test_a_gap_is_found_with_its_instant_and_its_step() -> None:
    rota = on_call(DAY_AND_NIGHT.replace("notify: [days, nights]", "notify: [nights]"))
    [problem] = problems(rota, PEOPLE, zurich("2026-02-02T22:00"))
    assert problem.kind is ProblemKind.GAP
    assert "step 1 of policy all (nights) from Tue 2026-02-03 08:00" in problem.words


def test_a_fall_back_that_will_be_nobody_is_found() -> None:
    rota = on_call(DAY_AND_NIGHT.replace("fall_back: [switchboard]", "fall_back: [days]"))
    [problem] = problems(rota, PEOPLE, zurich("2026-02-02T12:00"))
    assert problem.kind is ProblemKind.FALL_BACK_GAP


def test_two_people_who_stand_in_at_once_are_found_until_it_is_over() -> None:
    more = "      - {start: 2026-02-03T21:00, end: 2026-02-03T23:00, who: first}\npolicies:"
    rota = on_call(DAY_AND_NIGHT.replace("policies:", more))
    [problem] = problems(rota, PEOPLE, zurich("2026-02-02T12:00"))
    assert problem.kind is ProblemKind.OVERRIDES_OVERLAP
    assert problems(rota, PEOPLE, zurich("2026-02-05T12:00")) == []


def test_a_name_that_means_nobody_makes_it_unusable() -> None:
    rota = on_call(DAY_AND_NIGHT.replace("members: [third]", "members: [ghost]"))
    [problem] = [p for p in problems(rota, PEOPLE, zurich("2026-02-02T12:00")) if p.makes_unusable]
    assert "'ghost'" in problem.words
