"""Which studies are one case: a re-scan of the same patient within a while joins the alert of the first study. Pure.

Laws: a study is joined only where identity leaves no doubt (the same patient key, name and birth date, all of them
known), for a number that stands for "unknown" must not make two patients one; a study that has an alert of its own
keeps it; joining never silences: whoever was told is told of the second study too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.contracts.identities import StudyIdentity


@dataclass(frozen=True)
class Candidate:
    """A study that may be the first of a case."""

    study_key: str
    first_seen_at: datetime
    identity: StudyIdentity


def case_for(
    identity: StudyIdentity, first_seen_at: datetime, candidates: Iterable[Candidate], within: timedelta
) -> str | None:
    """The study whose case this one joins: the earliest that fits; None where it is a case of its own."""
    fitting = [
        candidate
        for candidate in candidates
        if abs(candidate.first_seen_at - first_seen_at) < within and same_patient(candidate.identity, identity)
    ]
    return min(fitting, key=lambda c: (c.first_seen_at, c.study_key)).study_key if fitting else None


def same_patient(one: StudyIdentity, other: StudyIdentity) -> bool:
    """Beyond doubt."""
    known = all((one.patient_key, one.PatientName.strip("^ "), one.PatientBirthDate))
    return known and _person(one) == _person(other)


def _person(identity: StudyIdentity) -> tuple[str | None, str, str]:
    return identity.patient_key, identity.PatientName.strip("^ ").casefold(), identity.PatientBirthDate
