"""Feedback: what doctors saw in the studies, to measure the reader by.

Laws: it changes no alert; nothing is overwritten: of each doctor the last word on a study counts, and all are kept.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from alerts.audit import safe
from alerts.life import Says
from alerts.ports import Clock
from alerts.store.database import Database
from alerts.store.record import EntryKind, append
from alerts.store.schema import Feedback
from alerts.store.studies import finding_of
from alerts.worklist import one_study, source_of
from streams.contracts.findings import FindingProduced, Outcome

COLUMNS = (
    *("study_key", "series_key", "finding_revision", "label", "says", "by", "at", "counts"),
    *("status", "outcome", "score", "threshold", "found_at", "model", "model_version", "model_sha256"),
    *("any", "epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"),
)
"""``label``: 1 for a bleed, 0 for none; ``counts``: 1 for the last word of this doctor on this study."""

LABELS = COLUMNS[-6:]


@dataclass(frozen=True)
class Opinion:
    says: Says
    by: str
    at: datetime


def give(database: Database, clock: Clock, study_key: str, says: Says, by: str) -> Opinion:
    """Keep what somebody saw, with the finding that stands for the study now.

    Raises:
        UnknownStudy: there is none of this key.
    """
    now = clock.now()
    with database.writing() as session:
        finding = source_of(one_study(session, study_key))
        series_key, revision = (finding.series_key, finding.revision) if finding else (None, None)
        session.add(
            Feedback(study_key=study_key, series_key=series_key, finding_revision=revision, says=says, by=by, at=now)
        )
        facts: dict[str, object] = {"says": says, "by": by, "series_key": series_key, "finding_revision": revision}
        append(session, EntryKind.FEEDBACK, now, study_key, facts)
    return Opinion(says, by, now)


def opinions_of(session: Session, study_key: str) -> list[Opinion]:
    """The last word of each doctor on a study, newest first."""
    rows = session.scalars(select(Feedback).where(Feedback.study_key == study_key).order_by(Feedback.number))
    last = {row.by: Opinion(Says(row.says), row.by, row.at) for row in rows}
    return sorted(last.values(), key=lambda opinion: opinion.at, reverse=True)


@dataclass(frozen=True)
class Word:
    """The last word of a doctor on a study, and what the reader had said."""

    study_key: str
    by: str
    says: Says
    at: datetime
    outcome: Outcome | None
    """None where there was no result yet."""
    score: float | None

    @property
    def agrees(self) -> bool | None:
        """None where the reader had read nothing."""
        if self.outcome not in (Outcome.POSITIVE, Outcome.NEGATIVE):
            return None
        return (self.says is Says.BLEED) == (self.outcome is Outcome.POSITIVE)


def latest(session: Session) -> Iterator[Word]:
    """What counts of all feedback, oldest first."""
    for row in _rows(session):
        if row["counts"]:
            yield Word(
                study_key=str(row["study_key"]),
                by=str(row["by"]),
                says=Says(str(row["says"])),
                at=row["at"],
                outcome=row.get("outcome"),
                score=row.get("score"),
            )


def export(session: Session, out: TextIO) -> int:
    """Write all feedback as CSV, oldest first; returns the rows."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    rows = list(_rows(session))
    for row in rows:
        writer.writerow([safe(row.get(column)) for column in COLUMNS])
    return len(rows)


def _rows(session: Session) -> Iterator[dict[str, Any]]:
    feedback = session.scalars(select(Feedback).order_by(Feedback.number)).all()
    last = {(row.study_key, row.by): row.number for row in feedback}
    for row in feedback:
        known = row.series_key is not None and row.finding_revision is not None
        finding = finding_of(session, row.series_key or "", row.finding_revision or 0) if known else None
        yield {
            "study_key": row.study_key,
            "series_key": row.series_key,
            "finding_revision": row.finding_revision,
            "label": int(row.says == Says.BLEED),
            "says": row.says,
            "by": row.by,
            "at": row.at,
            "counts": int(last[row.study_key, row.by] == row.number),
            **(_evidence(finding) if finding else {}),
        }


def _evidence(finding: FindingProduced) -> dict[str, object]:
    model = finding.model
    return {
        "status": finding.status,
        "outcome": finding.outcome,
        "score": finding.score,
        "threshold": finding.threshold,
        "found_at": finding.clocks.produced,
        "model": model.name if model else None,
        "model_version": model.version if model else None,
        "model_sha256": model.sha256 if model else None,
        **{label: finding.probabilities.get(label) for label in LABELS},
    }
