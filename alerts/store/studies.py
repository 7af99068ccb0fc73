"""Studies, series and findings in the database: writes them, and gathers the facts that a decision needs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, literal, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from alerts.decision import FindingFact, Reason, StudyFacts, Told, Verdict
from alerts.life import Answer, Claim, Life, Topic
from alerts.store.schema import Alert, Base, Finding, Picture, Series, Study
from streams.contracts.findings import FindingProduced, FindingStatus, Outcome, Side


class PictureKind(StrEnum):
    IMAGE = "image"
    HEAT_MAP = "heat_map"


def insert_missing(session: Session, table: type[Base], **values: Any) -> bool:
    """Insert a row unless its key is there; says whether it was inserted. Safe against another instance."""
    insert = postgresql_insert if session.get_bind().dialect.name == "postgresql" else sqlite_insert
    statement = insert(table).values(**values).on_conflict_do_nothing().returning(literal(True))
    return session.execute(statement).first() is not None


def lock_study(session: Session, study_key: str, seen_at: datetime) -> Study:
    """The study's row, made if missing and held until the end of the transaction."""
    insert_missing(
        session,
        Study,
        study_key=study_key,
        first_seen_at=seen_at,
        changed_at=seen_at,
        verdict=Verdict.ARRIVING,
        reason=Reason.NOTHING_YET,
        case_key=study_key,
        result_unreadable=False,
    )
    return session.scalars(select(Study).where(Study.study_key == study_key).with_for_update()).one()


def studies_of_patient(session: Session, study: Study) -> Iterator[Study]:
    """The other studies of the same patient."""
    same = select(Study).where(Study.patient_key == study.patient_key, Study.study_key != study.study_key)
    yield from session.scalars(same.order_by(Study.first_seen_at))


def add_finding(session: Session, finding: FindingProduced, received_at: datetime) -> bool:
    """Keep a finding; False if it is known.

    One that is younger than all that is known of its series says what is true now, whatever its number: streams that
    have forgotten a series count from one again. It gets the next number.
    """
    insert_missing(session, Series, series_key=finding.series_key, study_key=finding.study_key)
    newest = select(func.max(Finding.revision), func.max(Finding.produced_at))
    revision, produced_at = session.execute(newest.where(Finding.series_key == finding.series_key)).one()
    if revision is not None and finding.revision <= revision and finding.clocks.produced > produced_at:
        finding = finding.model_copy(update={"revision": revision + 1})
    fact = FindingFact.of(finding)
    is_new = insert_missing(
        session,
        Finding,
        series_key=finding.series_key,
        revision=finding.revision,
        study_key=finding.study_key,
        status=finding.status,
        outcome=finding.outcome,
        sides=join_sides(fact.sides),
        leading=fact.leading,
        score=fact.score,
        first_slice_at=finding.clocks.first_slice,
        decisive_slice_at=finding.clocks.decisive_slice,
        last_slice_at=finding.clocks.last_slice,
        produced_at=finding.clocks.produced,
        received_at=received_at,
        body=without_pictures(finding).encode().decode(),
    )
    if is_new:
        session.add_all(_pictures(finding))
    return is_new


def without_pictures(finding: FindingProduced) -> FindingProduced:
    bare = tuple(key.model_copy(update={"image_png": None, "heat_map_png": None}) for key in finding.key_slices)
    return finding.model_copy(update={"key_slices": bare})


def _pictures(finding: FindingProduced) -> Iterator[Picture]:
    for number, key_slice in enumerate(finding.key_slices):
        for kind, png in ((PictureKind.IMAGE, key_slice.image_png), (PictureKind.HEAT_MAP, key_slice.heat_map_png)):
            if png is not None:
                yield Picture(
                    series_key=finding.series_key, revision=finding.revision, number=number, kind=kind, png=png
                )


def picture_of(
    session: Session, study_key: str, series_key: str, revision: int, number: int, kind: str
) -> bytes | None:
    """A PNG of a finding of this study."""
    query = (
        select(Picture.png)
        .join(Finding, (Finding.series_key == Picture.series_key) & (Finding.revision == Picture.revision))
        .where(
            Finding.study_key == study_key,
            Picture.series_key == series_key,
            Picture.revision == revision,
            Picture.number == number,
            Picture.kind == kind,
        )
    )
    return session.scalars(query).one_or_none()


def facts_of(session: Session, study: Study, *, lock: bool = True) -> StudyFacts:
    """What a decision about this study's case rests on; the alert is held until the transaction's end if ``lock``."""
    members = session.scalars(
        select(Study).where(Study.case_key == study.case_key, Study.study_key != study.study_key)
    ).all()
    alert = alert_of(session, study.case_key, lock=lock)
    own = own_facts_of(session, study)
    others = tuple(own_facts_of(session, member) for member in members)
    return replace(own, told=told_of(alert) if alert else None, others=others)


def own_facts_of(session: Session, study: Study) -> StudyFacts:
    """What is known of this study by itself."""
    columns = select(
        Finding.series_key,
        Finding.revision,
        Finding.status,
        Finding.outcome,
        Finding.produced_at,
        Finding.sides,
        Finding.leading,
        Finding.score,
    ).where(Finding.study_key == study.study_key)
    findings = tuple(
        FindingFact(key, revision, FindingStatus(status), Outcome(outcome), at, split_sides(sides), leading, score)
        for key, revision, status, outcome, at, sides, leading, score in session.execute(columns)
    )
    return StudyFacts(findings, None, study.result_unreadable, study.first_seen_at, study.study_key)


def alert_of(session: Session, case_key: str, *, lock: bool = True) -> Alert | None:
    """The case's alert; held until the end of the transaction if ``lock``."""
    query = select(Alert).where(Alert.study_key == case_key)
    return session.scalars(query.with_for_update() if lock else query).one_or_none()


def life_of(alert: Alert) -> Life:
    return Life(Topic(alert.topic), Claim(alert.claim), Answer(alert.answer))


def told_of(alert: Alert) -> Told:
    studies = frozenset(alert.studies.split(",")) if alert.studies else frozenset()
    return Told(life_of(alert), split_sides(alert.sides), alert.leading, studies)


def finding_of(session: Session, series_key: str, revision: int) -> FindingProduced:
    """One finding, less its pictures."""
    body = session.scalars(
        select(Finding.body).where(Finding.series_key == series_key, Finding.revision == revision)
    ).one()
    return FindingProduced.decode(body.encode())


def join_sides(sides: Iterable[Side]) -> str:
    return ",".join(sorted(sides))


def split_sides(text: str) -> frozenset[Side]:
    return frozenset(Side(word) for word in text.split(",") if word)
