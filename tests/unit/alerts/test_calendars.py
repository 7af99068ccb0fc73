"""Duties from iCalendar files."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerts.amending import with_duties, with_override
from alerts.calendars import Frame, duties, frame_of
from alerts.errors import RotaRefused
from alerts.oncall import Override
from alerts.plan import read_document
from alerts.recipients import Recipients

ZURICH = ZoneInfo("Europe/Zurich")
PEOPLE = Recipients.model_validate(
    {"recipients": [{"name": "first", "email": "first@h.example"}, {"name": "second", "email": "second@h.example"}]}
)
FRAME = Frame(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC), ZURICH, time(8))


def calendar(*events: str) -> str:
    bodies = "".join(f"BEGIN:VEVENT\r\nUID:u{n}\r\n{event}\r\nEND:VEVENT\r\n" for n, event in enumerate(events))
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//\r\n{bodies}END:VCALENDAR\r\n"


def lines(*parts: str) -> str:
    return "\r\n".join(parts)


def found(*events: str) -> list[tuple[str, str, str]]:
    read = duties(calendar(*events), PEOPLE, {"Dr. Müller": "first"}, FRAME)
    assert not read.unknown, read.unknown
    return [(f"{o.start:%m-%d %H:%M}", f"{o.end:%m-%d %H:%M}", o.who) for o in read.overrides]


def test_a_night_by_name_by_alias_and_by_address() -> None:
    assert found(
        lines(
            "SUMMARY:First", "DTSTART;TZID=Europe/Zurich:20260302T180000", "DTEND;TZID=Europe/Zurich:20260303T080000"
        ),
        lines("SUMMARY:Dr. Müller", "DTSTART:20260303T170000Z", "DURATION:PT14H"),
        lines("SUMMARY:Night", "ATTENDEE:mailto:Second@h.example", "DTSTART:20260304T180000", "DTEND:20260305T080000"),
    ) == [
        ("03-02 18:00", "03-03 08:00", "first"),
        ("03-03 18:00", "03-04 08:00", "first"),
        ("03-04 18:00", "03-05 08:00", "second"),
    ]


def test_whole_days_run_from_hand_over_to_hand_over() -> None:
    assert found(lines("SUMMARY:first", "DTSTART;VALUE=DATE:20260302", "DTEND;VALUE=DATE:20260309")) == [
        ("03-02 08:00", "03-09 08:00", "first")
    ]


def test_a_weekly_duty_keeps_its_wall_clock_over_the_change_to_summer_time() -> None:
    repeated = found(
        lines(
            "SUMMARY:first",
            "DTSTART;TZID=Europe/Zurich:20260105T180000",
            "DTEND;TZID=Europe/Zurich:20260106T080000",
            "RRULE:FREQ=WEEKLY;BYDAY=MO;UNTIL=20260413T220000Z",
            "EXDATE;TZID=Europe/Zurich:20260316T180000",
        )
    )
    assert [start for start, _, _ in repeated] == [
        f"{day} 18:00" for day in ("03-02", "03-09", "03-23", "03-30", "04-06", "04-13")
    ]
    assert {end[-5:] for _, end, _ in repeated} == {"08:00"}


def test_one_repetition_that_was_given_to_somebody_else() -> None:
    event = lines("SUMMARY:first", "DTSTART:20260302T180000", "DTEND:20260303T080000", "RRULE:FREQ=DAILY;COUNT=3")
    moved = lines("SUMMARY:second", "DTSTART:20260303T180000", "DTEND:20260304T080000", "RECURRENCE-ID:20260303T180000")
    text = calendar(event, moved).replace("UID:u1", "UID:u0")
    read = duties(text, PEOPLE, {}, FRAME)
    assert [o.who for o in read.overrides] == ["first", "second", "first"]


def test_who_is_not_known_is_named_and_left_out() -> None:
    read = duties(calendar(lines("SUMMARY:Dr. Who", "DTSTART:20260302T180000")), PEOPLE, {}, FRAME)
    assert read.unknown == ("Dr. Who",)
    assert read.overrides == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "not an iCalendar file"),
        (calendar(), "no event"),
        (calendar(lines("SUMMARY:first", "DTSTART:20260303T180000", "DTEND:20260302T180000")), "ends before"),
        (calendar(lines("SUMMARY:first", "DTSTART:20260303T180000", "RRULE:FREQ=SECONDLY")), "too often"),
    ],
)
def test_what_is_no_calendar_of_duties_is_refused(text: str, words: str) -> None:
    with pytest.raises(RotaRefused, match=words):
        duties(text, PEOPLE, {}, FRAME)


DOCUMENT = """\
# our rota
rotations:
  nights:   # the night
    members: [first]
    start: 2026-01-05
    overrides:
      - {start: 2026-02-01T08:00, end: 2026-02-02T08:00, who: second}
      - {start: 2026-03-10T08:00, end: 2026-03-11T08:00, who: second}
policies:
  - {name: all, steps: [{notify: [nights]}], fall_back: [second]}
"""


def test_an_import_replaces_what_is_ahead_and_keeps_comments_and_the_past() -> None:
    frame = frame_of(read_document(DOCUMENT), "nights", FRAME.start, FRAME.end)
    read = duties(calendar(lines("SUMMARY:second", "DTSTART;VALUE=DATE:20260302")), PEOPLE, {}, frame)
    text = with_duties(DOCUMENT, "nights", read.overrides, frame.start)
    assert "# our rota" in text
    assert "# the night" in text
    overrides = read_document(text).rotations["nights"].overrides
    assert [f"{o.start:%m-%d}" for o in overrides] == ["02-01", "03-02"]


def test_somebody_stands_in_and_is_the_one_that_counts() -> None:
    start = datetime(2026, 3, 10, 9)  # noqa: DTZ001 - local, as in the document
    text = with_override(DOCUMENT, "nights", Override(start=start, end=start + timedelta(hours=1), who="first"))
    rota = read_document(text)
    assert rota.resolve(["nights"], datetime(2026, 3, 10, 9, 30, tzinfo=UTC)) == ("first",)
    assert rota.resolve(["nights"], datetime(2026, 3, 10, 10, 30, tzinfo=UTC)) == ("second",)
    with pytest.raises(RotaRefused, match="no rotation 'days'"):
        with_override(DOCUMENT, "days", Override(start=start, end=start + timedelta(hours=1), who="first"))
