"""Duties from an iCalendar file (RFC 5545), as roster programs and calendar servers export them.

An event is a duty of the person whom its SUMMARY names (a recipient's name, whatever the case, or one of the names
given for a recipient), or else of the recipient whose e-mail address is its first ATTENDEE. Repeating events are
expanded, with their exceptions. A duty of whole days runs from hand-over to hand-over.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
from dateutil.rrule import rrulestr

from alerts.errors import RotaRefused
from alerts.oncall import OnCall, Override
from alerts.recipients import Recipients

LARGEST_REPETITION = 5000

Event = Any
"""A VEVENT of the library; what its properties hold has no common type."""


@dataclass(frozen=True)
class Frame:
    """How the times of a calendar are to be understood, and which of them are wanted."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    hand_over: time


@dataclass(frozen=True)
class Duties:
    overrides: tuple[Override, ...]
    unknown: tuple[str, ...]
    """What stands in events whose person is not known; those events are left out."""


def frame_of(on_call: OnCall, rotation: str, start: datetime, end: datetime) -> Frame:
    """The frame for one rotation.

    Raises:
        RotaRefused: there is no such rotation.
    """
    if rotation not in on_call.rotations:
        raise RotaRefused(f"there is no rotation {rotation!r}")
    return Frame(start, end, on_call.zone, on_call.rotations[rotation].hand_over)


def duties(text: str, recipients: Recipients | None, names: Mapping[str, str], frame: Frame) -> Duties:
    """The duties of a calendar that touch the frame, in order.

    Args:
        names: what the calendar calls somebody → the recipient's name.

    Raises:
        RotaRefused: not an iCalendar file, or it repeats without end within a second.
    """
    known = {name.casefold(): name for name in (recipients.names if recipients else ())}
    known |= {alias.casefold(): name for alias, name in names.items()}
    emails = {r.email.casefold(): r.name for r in recipients.recipients if r.email} if recipients else {}
    found: list[Override] = []
    unknown: dict[str, None] = {}
    for event, start, end in _occurrences(_events(text), frame):
        who = _who(event, known, emails)
        if who is None:
            unknown[str(event.get("SUMMARY", "(no summary)"))] = None
        else:
            found.append(Override(start=start, end=end, who=who))
    return Duties(tuple(sorted(found, key=lambda o: (o.start, o.end))), tuple(unknown))


def _events(text: str) -> list[Event]:
    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True)
    except (ValueError, IndexError, KeyError) as error:
        raise RotaRefused(f"it is not an iCalendar file: {error}") from None
    events = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    if not events:
        raise RotaRefused("the calendar has no event")
    return events


def _who(event: Event, known: Mapping[str, str], emails: Mapping[str, str]) -> str | None:
    summary = " ".join(str(event.get("SUMMARY", "")).split()).casefold()
    if summary in known:
        return known[summary]
    attendees = event.get("ATTENDEE", [])
    for attendee in attendees if isinstance(attendees, list) else [attendees]:
        address = str(attendee).casefold().removeprefix("mailto:")
        if address in emails:
            return emails[address]
    return None


Occurrence = tuple[Event, datetime, datetime]


def _occurrences(events: list[Event], frame: Frame) -> Iterator[Occurrence]:
    moved = {(str(e.get("UID")), _local(e["RECURRENCE-ID"].dt, frame)) for e in events if "RECURRENCE-ID" in e}
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED" or "DTSTART" not in event:
            continue
        begins = _local(event["DTSTART"].dt, frame)
        lasts = _length(event, begins, frame)
        excepted = {_local(d.dt, frame) for d in _dates(event, "EXDATE")}
        for start in _starts(event, begins, frame, lasts):
            is_moved = "RECURRENCE-ID" not in event and (str(event.get("UID")), start) in moved
            end = _plus(start, lasts)
            if start not in excepted and not is_moved and end > frame.start and start < frame.end:
                yield event, start.astimezone(frame.zone), end.astimezone(frame.zone)


def _starts(event: Event, begins: datetime, frame: Frame, lasts: timedelta) -> Iterator[datetime]:
    if "RRULE" not in event or "RECURRENCE-ID" in event:
        yield begins
    else:
        yield from _repeated(event, begins, frame, lasts)
    yield from (_local(d.dt, frame) for d in _dates(event, "RDATE"))


def _repeated(event: Event, begins: datetime, frame: Frame, lasts: timedelta) -> Iterator[datetime]:
    """By the wall clock of the event's own time zone, in every season."""
    zone = begins.tzinfo
    rule = dict(event["RRULE"])
    until = rule.pop("UNTIL", [None])[0]
    recurrence: Any = icalendar.vRecur(rule)
    text = recurrence.to_ical().decode()
    try:
        repetition = rrulestr(text, dtstart=begins.replace(tzinfo=None))
        last = min(frame.end, _local(until, frame, ends=True)) if until else frame.end
        naive = (frame.start - lasts).astimezone(zone).replace(tzinfo=None), last.astimezone(zone).replace(tzinfo=None)
        for number, start in enumerate(repetition.xafter(naive[0], inc=True)):
            if start > naive[1]:
                return
            if number > LARGEST_REPETITION:
                raise RotaRefused("an event repeats too often to be a duty")
            yield start.replace(tzinfo=zone)
    except (ValueError, TypeError) as error:
        raise RotaRefused(f"an event repeats in a way that is not understood: {error}") from None


def _dates(event: Event, name: str) -> Iterator[Any]:
    values = event.get(name, [])
    for value in values if isinstance(values, list) else [values]:
        yield from value.dts


def _local(value: date | datetime, frame: Frame, *, ends: bool = False) -> datetime:
    """An instant; a bare date means its hand-over, a time without zone the site's wall clock."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time.max if ends else frame.hand_over, frame.zone)
    return value if value.tzinfo else value.replace(tzinfo=frame.zone)


def _length(event: Event, begins: datetime, frame: Frame) -> timedelta:
    """By the wall clock: a night in which the clocks change is as long as its hands say."""
    if "DTEND" in event:
        end = _local(event["DTEND"].dt, frame)
        lasts = end.replace(tzinfo=None) - begins.replace(tzinfo=None) if end.tzinfo == begins.tzinfo else end - begins
    elif "DURATION" in event:
        lasts = timedelta(seconds=event["DURATION"].dt.total_seconds())
    else:
        lasts = timedelta(days=1)
    if lasts <= timedelta():
        raise RotaRefused(f"the event {str(event.get('SUMMARY', ''))!r} ends before it starts")
    return lasts


def _plus(start: datetime, lasts: timedelta) -> datetime:
    """``start`` and ``lasts`` later by the wall clock of its own zone."""
    return (start.replace(tzinfo=None) + lasts).replace(tzinfo=start.tzinfo)
