"""The auditor: checks again, from the findings up, that nobody was forgotten. And the record's verify and export.

Laws: it shares no shortcut with what it checks: it recomputes each study's standing from its findings; what it finds
wrong is shown on the page, counted, logged, and put right where deciding again puts it right.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TextIO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alerts import wording
from alerts.decision import Verdict, standing
from alerts.life import WAITING_FOR_A_HUMAN, Claim, Topic
from alerts.messages import Message
from alerts.store.outbox import OWED, NoticeState
from alerts.store.schema import Alert, Finding, Notice, Study
from alerts.store.studies import alert_of, facts_of, life_of
from streams.contracts.findings import Outcome

GRACE = timedelta(seconds=30)
"""What is overdue by less than this is being done."""

LOOKS_BACK = timedelta(days=2)


class Violation(StrEnum):
    """What must not be."""

    POSITIVE_WITHOUT_ALERT = "positive_without_alert"
    RING_OVERDUE = "ring_overdue"
    NOT_DELIVERED = "not_delivered"
    LOOK_OVERDUE = "look_overdue"


WORDS = {
    Violation.POSITIVE_WITHOUT_ALERT: "a possible bleed has no alert",
    Violation.RING_OVERDUE: "an unanswered alert has not been rung again in time",
    Violation.NOT_DELIVERED: "an alert has reached nobody",
    Violation.LOOK_OVERDUE: "a study was not looked at again in time",
}


@dataclass(frozen=True)
class Breach:
    violation: Violation
    study_key: str


def audit(session: Session, now: datetime) -> list[Breach]:
    """Everything that is wrong now."""
    checks = (_positives_without_alert, _rings_overdue, _not_delivered, _looks_overdue)
    return [breach for check in checks for breach in check(session, now)]


def _positives_without_alert(session: Session, now: datetime) -> Iterator[Breach]:
    suspects = select(Finding.study_key).where(
        Finding.outcome == Outcome.POSITIVE, Finding.received_at.between(now - LOOKS_BACK, now - GRACE)
    )
    for study in session.scalars(select(Study).where(Study.study_key.in_(suspects))):
        if standing(facts_of(session, study, lock=False)).verdict is not Verdict.BLEED:
            continue
        alert = alert_of(session, study.case_key, lock=False)
        if alert is None or life_of(alert).topic is not Topic.BLEED or life_of(alert).claim is Claim.RETRACTED:
            yield Breach(Violation.POSITIVE_WITHOUT_ALERT, study.study_key)


def _rings_overdue(session: Session, now: datetime) -> Iterator[Breach]:
    overdue = select(Alert.study_key).where(Alert.rings_at < now - GRACE)
    yield from (Breach(Violation.RING_OVERDUE, key) for key in session.scalars(overdue))


def _not_delivered(session: Session, now: datetime) -> Iterator[Breach]:
    delivered = select(func.count()).where(
        Notice.alert_id == Alert.alert_id,
        Notice.state == NoticeState.DELIVERED,
        Notice.created_at >= Alert.raised_at,
    )
    owed = select(func.count()).where(Notice.alert_id == Alert.alert_id, Notice.state.in_(OWED))
    unreached = select(Alert.study_key).where(
        Alert.answer.in_(WAITING_FOR_A_HUMAN),
        Alert.claim != Claim.RETRACTED,
        Alert.raised_at < now - GRACE,
        owed.scalar_subquery() > 0,
        delivered.scalar_subquery() == 0,
    )
    yield from (Breach(Violation.NOT_DELIVERED, key) for key in session.scalars(unreached))


def _looks_overdue(session: Session, now: datetime) -> Iterator[Breach]:
    overdue = select(Study.study_key).where(Study.look_again_at < now - GRACE, Study.verdict != Verdict.ARRIVING)
    yield from (Breach(Violation.LOOK_OVERDUE, key) for key in session.scalars(overdue))


class Auditor:
    """Remembers what it found last, for the page."""

    def __init__(self) -> None:
        self.breaches: list[Breach] = []

    def look(self, session: Session, now: datetime) -> list[Breach]:
        self.breaches = audit(session, now)
        return self.breaches


EXPORT_COLUMNS = (
    "study",
    "alert_id",
    "finding",
    "found_at",
    "claim",
    "sender",
    "receiver",
    "method",
    "sent_at",
    "received_at",
    "seen_at",
    "acknowledged_by",
    "acknowledged_at",
    "acknowledged_via",
    "read_back",
)
SENDER = "Tocsin"


def export(session: Session, out: TextIO) -> int:
    """Write the critical results as CSV, one row per message that was sent; returns the rows."""
    writer = csv.writer(out)
    writer.writerow(EXPORT_COLUMNS)
    rows = session.execute(
        select(Alert, Notice)
        .join(Notice, Notice.alert_id == Alert.alert_id)
        .where(Notice.sent_at.is_not(None))
        .order_by(Alert.raised_at, Notice.created_at, Notice.number)
    )
    count = 0
    for alert, notice in rows:
        writer.writerow([safe(cell) for cell in _row(alert, notice)])
        count += 1
    return count


def _row(alert: Alert, notice: Notice) -> Iterable[object]:
    message = Message.model_validate_json(notice.message)
    return (
        wording.short_hash(alert.study_key),
        alert.alert_id,
        message.headline,
        message.found_at,
        alert.claim,
        SENDER,
        notice.recipient,
        notice.channel,
        notice.sent_at,
        notice.delivered_at,
        notice.seen_at,
        alert.acknowledged_by,
        alert.acknowledged_at,
        alert.acknowledged_via,
        "yes" if alert.acknowledged_at else "no",
    )


def safe(cell: object) -> str:
    """A spreadsheet must not take a name for a formula."""
    if cell is None:
        return ""
    text = cell.isoformat() if isinstance(cell, datetime) else str(cell)
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
