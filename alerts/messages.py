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
``retracted``; ``topic`` is ``bleed`` or ``not_analysed`` (a human must read these images). Receivers must tolerate the
same ``notice_id`` twice, and join by ``alert_id``.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from alerts import wording
from alerts.decision import Decision, Step, Verdict, sides_of
from alerts.life import Topic
from streams.contracts.findings import FindingProduced, FindingStatus


class Purpose(StrEnum):
    ALARM = "alarm"
    REMINDER = "reminder"
    CONFIRMED = "confirmed"
    AMENDED = "amended"
    RETRACTED = "retracted"


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

    def body(self) -> bytes:
        """The message as JSON; absent fields are left out."""
        return self.model_dump_json(exclude_none=True).encode()


def headline(purpose: Purpose, decision: Decision, finding: FindingProduced | None) -> str:
    """The one line that a lock screen shows."""
    match purpose:
        case Purpose.RETRACTED if decision.topic is Topic.NOT_ANALYSED:
            return "Correction: now analysed, no bleed found"
        case Purpose.RETRACTED:
            return "Correction: bleed warning withdrawn, no bleed found in the complete series"
        case Purpose.AMENDED if decision.topic is Topic.NOT_ANALYSED:
            return "Correction: bleed warning withdrawn, but part of the study was not analysed: read it yourself"
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
        return wording.bleed_words(finding)
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
) -> Message:
    """Write the message. ``finding``: the one the decision rests on; None when it could not even be read."""
    line = headline(purpose, decision, finding)
    why = wording.REASONS[decision.reason]
    study = wording.short_hash(study_key)
    paragraphs = [
        line + ".",
        f"Study {study}{f' at {place}' if place else ''}. Why: {why}.",
        _coverage_line(finding),
        "LATE: this was found at " + f"{finding.clocks.produced:%Y-%m-%d %H:%M:%S} UTC."
        if finding and decision.late
        else "",
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
    return Message.model_validate(common | (_evidence(finding) if finding else {}))


def _coverage_line(finding: FindingProduced | None) -> str:
    return wording.coverage_words(finding.coverage) + "." if finding else ""


def _late_line(finding: FindingProduced) -> str:
    return f"LATE: this was found at {finding.clocks.produced:%Y-%m-%d %H:%M:%S} UTC."


def _evidence(finding: FindingProduced) -> dict[str, object]:
    model = finding.model
    return {
        "provisional": finding.status is FindingStatus.PROVISIONAL,
        "series_key": finding.series_key,
        "finding_revision": finding.revision,
        "sides": tuple(sorted(sides_of(finding))),
        "types": finding.probabilities,
        "score": finding.score,
        "threshold": finding.threshold,
        "slices_read": finding.coverage.slices_read,
        "slices_received": finding.coverage.slices_accepted,
        "slices_expected": finding.coverage.slices_expected,
        "model": f"{model.name} {model.version} ({model.runtime})" if model else None,
        "degraded": model.degraded if model else None,
        "found_at": finding.clocks.produced,
    }
