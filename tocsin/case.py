"""One case from its records: what happened to a study, when, and where the time went.

Everything is read from the topics, which are what the services really said; nothing is computed from two machines' idea
of *now*. Clocks are those of docs/architecture.md. Where IHE's Standardized Operational Log of Events (SOLE) has a
term for an event in its registered vocabulary, the event carries its code.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from streams.contracts.alerts import AlertChanged, AlertState
from streams.contracts.deadletters import DEADLETTER_HEADER, MessageSetAside
from streams.contracts.errors import MalformedEvent
from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.series import SeriesLedgerEntry
from streams.contracts.slices import SliceAccepted
from streams.contracts.topics import ALERTS, DEADLETTERS, FINDINGS
from tocsin import published
from tocsin.errors import BadRequest
from tocsin.kafka.reading import records

LEAST_KEY = 6
"""Hexadecimal digits of a key that are enough to look for it."""

PROMISE_SECONDS = 30.0


class Sole(StrEnum):
    """Events of IHE SOLE's own vocabulary (IHE Radiology controlled vocabulary, May 2017)."""

    EXAM_TRANSFERRED = "SOLE113"
    PROCESSING_STARTED = "SOLE114"
    PROCESSING_COMPLETED = "SOLE115"


@dataclass(frozen=True)
class CaseEvent:
    """Something that happened. ``clock``: its name among the clocks of the promise, if it is one."""

    at: datetime
    what: str
    service: str
    clock: str | None = None
    sole: Sole | None = None
    trouble: bool = False


@dataclass(frozen=True)
class Stage:
    """A part of the way from the decisive slice to the person."""

    name: str
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass
class _Records:
    """What the topics hold about one study."""

    ledger: list[SeriesLedgerEntry] = field(default_factory=list)
    partitions: dict[str, int] = field(default_factory=dict)
    """Series key → partition of ledger and slices."""
    slices: list[tuple[SliceAccepted, datetime]] = field(default_factory=list)
    """With the time at which Kafka took them."""
    findings: list[FindingProduced] = field(default_factory=list)
    alerts: list[AlertChanged] = field(default_factory=list)
    set_aside: list[MessageSetAside] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One study."""

    study_key: str
    events: tuple[CaseEvent, ...]
    stages: tuple[Stage, ...]
    """From the decisive slice to the first delivery, in order; empty where no bleed was told."""
    heartbeat: bool

    @property
    def promise_seconds(self) -> float | None:
        """``decisive_slice → alert_delivered``; None where one of them is not there."""
        return (self.stages[-1].end - self.stages[0].start).total_seconds() if self.stages else None

    @property
    def slowest(self) -> Stage | None:
        return max(self.stages, key=lambda stage: stage.seconds, default=None)


def find_case(servers: str, key: str) -> Case:
    """Look a study up by its key, one of its series' keys, its alert's id, or the beginning of one of them.

    Raises:
        BadRequest: no such study on the topics, or more than one.
        KafkaUnavailable: the topics cannot be read.
    """
    wanted = key.strip().lower()
    if len(wanted) < LEAST_KEY or any(c not in "0123456789abcdef" for c in wanted):
        raise BadRequest(f"{key!r} is no key: at least {LEAST_KEY} hexadecimal digits, as messages and logs show them.")
    ledger = list(published.ledger(servers))
    findings = list(_decoded(servers, FINDINGS.name, FindingProduced))
    alerts = list(_decoded(servers, ALERTS.name, AlertChanged))
    study_key = _the_study(wanted, [one.entry for one in ledger], findings, alerts)
    own = [one for one in ledger if one.entry.study_key == study_key]
    found = _Records(
        ledger=[one.entry for one in own],
        partitions={one.entry.series_key: one.partition for one in own},
        findings=[finding for finding in findings if finding.study_key == study_key],
        alerts=[alert for alert in alerts if alert.study_key == study_key],
    )
    for series_key in found.partitions:
        slices = published.slices_of(servers, series_key, own)
        found.slices += [(one.header, one.taken_at) for one in slices]
    found.set_aside = list(_set_aside(servers, {study_key, *found.partitions}))
    return case_of(study_key, found)


def case_of(study_key: str, found: _Records) -> Case:
    """The case that these records tell. Pure."""
    events = sorted(_events(found), key=lambda event: event.at)
    heartbeat = bool(found.findings) and all(finding.heartbeat for finding in found.findings)
    return Case(study_key, tuple(events), tuple(_stages(found)), heartbeat)


def _the_study(
    wanted: str,
    ledger: Iterable[SeriesLedgerEntry],
    findings: Iterable[FindingProduced],
    alerts: Iterable[AlertChanged],
) -> str:
    names = [(entry.study_key, (entry.study_key, entry.series_key)) for entry in ledger]
    names += [(finding.study_key, (finding.study_key, finding.series_key)) for finding in findings]
    names += [(alert.study_key, (alert.study_key, alert.alert_id)) for alert in alerts]
    studies = sorted({study for study, known in names if any(name.startswith(wanted) for name in known)})
    if not studies:
        raise BadRequest(f"Nothing on the topics is called {wanted}…; the ledger is kept for 48 h, findings longer.")
    if len(studies) > 1:
        raise BadRequest(f"{wanted}… may be any of {', '.join(studies)}.")
    return studies[0]


# Reading


def _decoded(servers: str, topic: str, event: type[Any]) -> Iterator[Any]:
    for record in records(servers, topic):
        try:
            yield event.decode(record.value)
        except MalformedEvent:
            continue


def _set_aside(servers: str, keys: set[str]) -> Iterator[MessageSetAside]:
    for record in records(servers, DEADLETTERS.name):
        if (record.key or b"").decode("ascii", "replace") in keys:
            try:
                yield MessageSetAside.decode(dict(record.headers)[DEADLETTER_HEADER])
            except (KeyError, MalformedEvent):
                continue


# Telling


def _events(found: _Records) -> Iterator[CaseEvent]:
    for series_key in found.partitions or {finding.series_key: 0 for finding in found.findings}:
        yield from _arrival(series_key, found)
    for finding in found.findings:
        yield from _said(finding)
    for alert in found.alerts:
        yield _told(alert)
    for note in found.set_aside:
        what = f"set aside: {note.source_topic}, {note.reason}{f' ({note.detail})' if note.detail else ''}"
        yield CaseEvent(note.at, what, note.service, trouble=True)


def _arrival(series_key: str, found: _Records) -> Iterator[CaseEvent]:
    name = f"series {series_key[:8]}"
    entries = [entry for entry in found.ledger if entry.series_key == series_key]
    for entry in entries:
        refused = sum(entry.refused.values())
        counts = f", {entry.frames_accepted} slices" if entry.kind != "opened" else ""
        counts += f", {refused} refused" if refused else ""
        what = f"{name}: association {entry.kind} by {entry.calling_ae}{counts}"
        yield CaseEvent(entry.at, what, "listener", trouble=entry.kind == "aborted" or bool(refused))
    slices = [(header, at) for header, at in found.slices if header.series_key == series_key]
    if not slices:
        return
    first = min(slices, key=lambda one: one[0].accepted_at)
    last = max(slices, key=lambda one: one[0].accepted_at)
    slowest = max(slices, key=lambda one: one[1] - one[0].accepted_at)
    wait = (slowest[1] - slowest[0].accepted_at).total_seconds()
    yield CaseEvent(
        first[0].accepted_at, f"{name}: first slice accepted", "listener", "first_slice", Sole.PROCESSING_STARTED
    )
    yield CaseEvent(
        last[0].accepted_at,
        f"{name}: last of {len(slices)} slices accepted; the slowest was on Kafka {wait:.2f} s after its acceptance",
        "listener",
        "last_slice",
        Sole.EXAM_TRANSFERRED,
        trouble=wait > 1,
    )


def _said(finding: FindingProduced) -> Iterator[CaseEvent]:
    name = f"series {finding.series_key[:8]}"
    if finding.revision == 1 and finding.clocks.decisive_slice:
        yield CaseEvent(finding.clocks.decisive_slice, f"{name}: decisive slice accepted", "listener", "decisive_slice")
    score = f", score {finding.score:.2f} of {finding.threshold:.2f}" if finding.score and finding.threshold else ""
    read = f"{finding.coverage.slices_read} of {finding.coverage.slices_accepted} slices read"
    what = f"{name}: {finding.status}, {finding.outcome}{score}; {read}; {', '.join(finding.reasons)}"
    ended = finding.closed_by is not None
    yield CaseEvent(
        finding.clocks.produced,
        what,
        "streams",
        "final_result" if ended else None,
        Sole.PROCESSING_COMPLETED if ended else None,
        trouble=finding.outcome in (Outcome.FAILED, Outcome.NOT_ASSESSABLE),
    )


def _told(alert: AlertChanged) -> CaseEvent:
    to = f" to {alert.recipient} by {alert.channel}" if alert.recipient else ""
    by = f" by {alert.by}" if alert.by else ""
    why = f" ({alert.reason})" if alert.reason else ""
    clock = {AlertState.DELIVERED: "alert_delivered", AlertState.ACKNOWLEDGED: "alert_acknowledged"}.get(alert.state)
    trouble = alert.state in (AlertState.DELIVERY_FAILED, AlertState.ESCALATED)
    return CaseEvent(alert.at, f"alert {alert.state}{to}{by}{why}", "alerts", clock, trouble=trouble)


def _stages(found: _Records) -> Iterator[Stage]:
    """The way of the first finding that rang: each stage ends where the next begins."""
    rang = sorted((f for f in found.findings if f.clocks.decisive_slice), key=lambda f: f.clocks.produced)
    delivered = min((a.at for a in found.alerts if a.state is AlertState.DELIVERED), default=None)
    if not rang or delivered is None:
        return
    decisive = rang[0].clocks.decisive_slice
    assert decisive is not None
    published = min((at for header, at in found.slices if header.accepted_at == decisive), default=None)
    marks = [
        ("listener: decisive slice accepted → on Kafka", published),
        ("streams: on Kafka → finding", rang[0].clocks.produced),
        ("alerts: finding → alert raised", _first(found.alerts, AlertState.RAISED)),
        ("alerts: raised → sent", _first(found.alerts, AlertState.SENT)),
        ("channel: sent → delivered", delivered),
    ]
    start = decisive
    for name, end in marks:
        if end is not None:
            yield Stage(name, start, end)
            start = end


def _first(alerts: Iterable[AlertChanged], state: AlertState) -> datetime | None:
    return min((alert.at for alert in alerts if alert.state is state), default=None)
