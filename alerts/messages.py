"""What goes out to people: one message, written once when it is decided, the same on every attempt.

Laws: no patient identity unless the site has set it; the text can be understood without opening the link; a correction
names what it corrects.

The webhook's body is this model as JSON::

    {"version": 1,
     "notice_id": "6f1f…32 hex", "alert_id": "0c2d…32 hex",
     "purpose": "alarm", "topic": "bleed", "provisional": true, "late": false, "round": 0,
     "study_key": "a3b4…32 hex", "study": "A3B4C5D6", "series_key": "77aa…32 hex", "finding_revision": 1,
     "headline": "Possible intracranial hemorrhage, right, most likely subdural",
     "text": "…several lines…",
     "why": "possible bleed seen while slices arrive",
     "sides": ["right"], "types": {"any": 0.97, "subdural": 0.91}, "score": 0.97, "threshold": 0.8,
     "slices_read": 12, "slices_received": 12, "slices_expected": 32,
     "model": "ich-small 1.2.0 (onnxruntime-cpu)", "degraded": false,
     "found_at": "2026-01-01T03:04:05Z", "decided_at": "2026-01-01T03:04:05.1Z",
     "recipient": "on-call radiologist",
     "link": "https://tocsin.hospital.example/studies/a3b4…",
     "acknowledge_link": "https://tocsin.hospital.example/acknowledge/…"}

Fields that do not apply are absent. ``purpose`` is one of ``alarm``, ``reminder``, ``confirmed``, ``amended``,
``retracted``, ``handed_over``; ``topic`` is ``bleed`` or ``not_analysed`` (a human must read these images). Receivers
must tolerate the same ``notice_id`` twice, and join by ``alert_id``.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from alerts import wording
from alerts.decision import Decision, Reason, Step, Verdict, sides_of
from alerts.life import Topic
from streams.contracts.findings import FindingProduced, FindingStatus, Outcome
from streams.contracts.identities import StudyIdentity


class MessagePart(StrEnum):
    """What a message may say, besides that there is an alert and where to answer it."""

    FINDING = "finding"
    """What was found or not analysed, on which side, of which type."""
    STUDY = "study"
    """The first digits of the study's key."""
    PLACE = "place"
    WHY = "why"
    COVERAGE = "coverage"
    SCORES = "scores"
    MODEL = "model"
    PATIENT_NAME = "patient_name"
    PATIENT_ID = "patient_id"
    BIRTH_DATE = "birth_date"
    ACCESSION_NUMBER = "accession_number"

    @property
    def identifies(self) -> bool:
        """Whether it names the patient."""
        return self in IDENTIFYING


IDENTIFYING = frozenset(
    {MessagePart.PATIENT_NAME, MessagePart.PATIENT_ID, MessagePart.BIRTH_DATE, MessagePart.ACCESSION_NUMBER}
)
WITHOUT_PATIENT = frozenset(MessagePart) - IDENTIFYING


class Purpose(StrEnum):
    ALARM = "alarm"
    REMINDER = "reminder"
    CONFIRMED = "confirmed"
    AMENDED = "amended"
    RETRACTED = "retracted"
    HANDED_OVER = "handed_over"


PURPOSES = {
    Step.RAISE: Purpose.ALARM,
    Step.CONFIRM: Purpose.CONFIRMED,
    Step.AMEND: Purpose.AMENDED,
    Step.RETRACT: Purpose.RETRACTED,
}


class Message(BaseModel):
    """One message to one recipient on one channel; see the module for an example."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    notice_id: str
    alert_id: str
    purpose: Purpose
    topic: Topic
    provisional: bool = False
    late: bool = False
    round: int = 0
    study_key: str
    study: str
    series_key: str | None = None
    finding_revision: int | None = None
    headline: str
    text: str
    why: str
    sides: tuple[str, ...] = ()
    types: dict[str, float] = {}
    score: float | None = None
    threshold: float | None = None
    slices_read: int | None = None
    slices_received: int | None = None
    slices_expected: int | None = None
    model: str | None = None
    degraded: bool | None = None
    found_at: AwareDatetime | None = None
    decided_at: AwareDatetime
    recipient: str
    link: str
    acknowledge_link: str | None = None
    patient: dict[str, str] = {}
    """Only what the site has allowed."""
    bundled: tuple[str, ...] = ()
    """The alert ids of the messages that this one stands for."""

    def body(self) -> bytes:
        """The message as JSON; absent fields are left out."""
        return self.model_dump_json(exclude_none=True).encode()


DISCREET = {
    Purpose.ALARM: "A study needs you",
    Purpose.REMINDER: "Not answered yet: a study needs you",
    Purpose.CONFIRMED: "An earlier alert is confirmed",
    Purpose.AMENDED: "Correction to an earlier alert",
    Purpose.RETRACTED: "Correction: an earlier alert is withdrawn",
    Purpose.HANDED_OVER: "A study was handed over to you",
}
"""The headlines where a message may not say what was found."""


def headline(purpose: Purpose, decision: Decision, finding: FindingProduced | None, by: str = "") -> str:
    """The one line that a lock screen shows. ``by``: who hands it over."""
    match purpose:
        case Purpose.HANDED_OVER:
            return f"Handed over to you by {by}: {_finding_line(decision, finding)}"
        case Purpose.RETRACTED if decision.topic is Topic.NOT_ANALYSED:
            return "Correction: now analysed, no bleed found"
        case Purpose.RETRACTED:
            return "Correction: bleed warning withdrawn, no bleed found in the complete series"
        case Purpose.AMENDED if decision.topic is Topic.NOT_ANALYSED:
            return "Correction: bleed warning withdrawn, but part of the study was not analysed: read it yourself"
        case Purpose.AMENDED if decision.reason is Reason.ALSO_IN_ANOTHER_STUDY:
            return f"Same patient, scanned again: {_finding_line(decision, finding)}"
        case Purpose.AMENDED if decision.standing.incomplete:
            return "Bleed warning stands; the rest of the series was not analysed: read it yourself"
    prefix = {Purpose.REMINDER: "Not answered yet: ", Purpose.CONFIRMED: "Confirmed: ", Purpose.AMENDED: "Correction: "}
    return prefix.get(purpose, "") + _finding_line(decision, finding)


def _finding_line(decision: Decision, finding: FindingProduced | None) -> str:
    if decision.standing.verdict is Verdict.ARRIVING:
        return "Not analysed: no result came in time. Read the images yourself"
    if finding is None:
        return "Not analysed: a result could not be read. Read the images yourself"
    if decision.standing.verdict is Verdict.BLEED:
        return wording.bleed_words(finding, decision.standing.sides)
    return f"{wording.verdict_words(finding)}. Read the images yourself"


def compose(
    *,
    notice_id: str,
    alert_id: str,
    study_key: str,
    purpose: Purpose,
    decision: Decision,
    finding: FindingProduced | None,
    recipient: str,
    round_number: int,
    decided_at: datetime,
    link: str,
    acknowledge_link: str | None,
    place: str = "",
    parts: frozenset[MessagePart] = WITHOUT_PATIENT,
    by: str = "",
) -> Message:
    """Write the message. ``finding``: the one the decision rests on; None when it could not even be read."""
    line = headline(purpose, decision, finding, by) if MessagePart.FINDING in parts else DISCREET[purpose]
    why = wording.REASONS[decision.reason] if MessagePart.WHY in parts else ""
    study = wording.short_hash(study_key) if MessagePart.STUDY in parts else ""
    paragraphs = [
        line + ".",
        _where_line(study, place if MessagePart.PLACE in parts else ""),
        f"Why: {why}." if why else "",
        _coverage_line(finding) if finding and MessagePart.COVERAGE in parts else "",
        *(_measured_lines(finding) if finding and MessagePart.FINDING in parts else ()),
        _late_line(finding) if finding and decision.late else "",
        "Automatic triage, not a diagnosis.",
        f"Look: {link}",
        f"Acknowledge: {acknowledge_link}" if acknowledge_link else "",
    ]
    common = {
        "notice_id": notice_id,
        "alert_id": alert_id,
        "purpose": purpose,
        "topic": decision.topic,
        "late": decision.late,
        "round": round_number,
        "study_key": study_key,
        "study": study,
        "headline": line,
        "text": "\n".join(p for p in paragraphs if p),
        "why": why,
        "decided_at": decided_at,
        "recipient": recipient,
        "link": link,
        "acknowledge_link": acknowledge_link,
    }
    return Message.model_validate(common | (_evidence(decision, finding, parts) if finding else {}))


def _where_line(study: str, place: str) -> str:
    words = " at ".join(word for word in (f"Study {study}" if study else "", place) if word)
    return words + "." if words else ""


def _late_line(finding: FindingProduced) -> str:
    return f"LATE: this was found at {finding.clocks.produced:%Y-%m-%d %H:%M:%S} UTC."


def _coverage_line(finding: FindingProduced) -> str:
    return wording.coverage_words(finding.coverage, arriving=finding.closed_by is None) + "."


def _measured_lines(finding: FindingProduced) -> list[str]:
    """What a positive finding measured; of one that was withdrawn nobody needs the size."""
    lines = wording.measurement_words(finding) if finding.outcome is Outcome.POSITIVE else []
    return [f"Measured by machine: {line}." for line in lines]


def _evidence(decision: Decision, finding: FindingProduced, parts: frozenset[MessagePart]) -> dict[str, object]:
    model, coverage = finding.model, finding.coverage
    by_part: dict[MessagePart, dict[str, object]] = {
        MessagePart.FINDING: {
            "provisional": finding.status is FindingStatus.PROVISIONAL,
            "sides": tuple(sorted(decision.standing.sides or sides_of(finding))),
        },
        MessagePart.SCORES: {
            "types": finding.probabilities,
            "score": finding.score,
            "threshold": finding.threshold,
        },
        MessagePart.COVERAGE: {
            "slices_read": coverage.slices_read,
            "slices_received": coverage.slices_accepted,
            "slices_expected": coverage.slices_expected,
        },
        MessagePart.MODEL: {
            "model": f"{model.name} {model.version} ({model.runtime})" if model else None,
            "degraded": model.degraded if model else None,
        },
    }
    said = {field: value for part, facts in by_part.items() if part in parts for field, value in facts.items()}
    return said | {
        "series_key": finding.series_key,
        "finding_revision": finding.revision,
        "found_at": finding.clocks.produced,
    }


def with_patient(message: Message, identity: StudyIdentity, parts: frozenset[MessagePart]) -> Message:
    """The message with what it may say of the patient; to be sent, and kept nowhere."""
    known = {
        MessagePart.PATIENT_NAME: identity.PatientName.replace("^", " ").strip(),
        MessagePart.PATIENT_ID: identity.PatientID,
        MessagePart.BIRTH_DATE: wording.date_words(identity.PatientBirthDate),
        MessagePart.ACCESSION_NUMBER: identity.AccessionNumber,
    }
    patient = {str(part): text for part, text in known.items() if part in parts and text}
    if not patient:
        return message
    line, _, rest = message.text.partition("\n")
    text = f"{line}\nPatient: {', '.join(patient.values())}.\n{rest}"
    return message.model_copy(update={"patient": patient, "text": text})


MOST_URGENT_FIRST = (
    Purpose.ALARM,
    Purpose.HANDED_OVER,
    Purpose.AMENDED,
    Purpose.REMINDER,
    Purpose.RETRACTED,
    Purpose.CONFIRMED,
)


def bundle(messages: Sequence[Message]) -> Message:
    """One message to one recipient that says what several say; each of them is followed on its own."""
    ordered = sorted(messages, key=lambda message: MOST_URGENT_FIRST.index(message.purpose))
    first = ordered[0]
    listed = [f"{number}. {message.text}" for number, message in enumerate(ordered, 1)]
    notices = "\0".join(sorted(message.notice_id for message in messages))
    return Message(
        notice_id=hashlib.sha256(f"bundle\0{notices}".encode()).hexdigest()[:32],
        alert_id=first.alert_id,
        purpose=first.purpose,
        topic=first.topic,
        study_key=first.study_key,
        study=f"{len(messages)} studies",
        headline=f"{len(messages)} alerts; the most urgent: {first.headline}",
        text="\n\n".join([f"{len(messages)} alerts came within a short time.", *listed]),
        why="many alerts within a short time",
        decided_at=max(message.decided_at for message in messages),
        recipient=first.recipient,
        link=first.link.partition("/studies/")[0] + "/",
        bundled=tuple(message.alert_id for message in ordered),
    )
