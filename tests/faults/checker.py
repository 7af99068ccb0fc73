"""Compares what scanners were told with what became of it: every acknowledged slice, every outcome, every alert.

Pure; itself tested by planting losses (tests/unit/faults).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_COPIES = 2
"""Of one notice to one recipient: one, and one more for the crash between sending and recording."""


@dataclass(frozen=True)
class Acknowledged:
    """A study that a scanner sent: the frames that were answered with Success, and the truth about it."""

    study_key: str
    series_key: str
    frames: frozenset[str]
    bleeds: bool


@dataclass(frozen=True)
class Observed:
    """What is on the topics and at the doctor's.

    Attributes:
        slices: series key → identities of the frames on ``ct.slices.v1``.
        findings: the findings as JSON, in order.
        told: (study key, notice id) of every message that the doctor's webhook accepted.
    """

    slices: Mapping[str, frozenset[str]]
    findings: Sequence[Mapping[str, object]]
    told: Sequence[tuple[str, str]]


def violations(studies: Iterable[Acknowledged], seen: Observed) -> list[str]:
    """Everything that must never happen and did; empty when all is well."""
    found: list[str] = []
    for study in studies:
        found += _of_study(study, seen)
        copies = Counter(notice for key, notice in seen.told if key == study.study_key)
        found += [f"notice {notice[:8]} was sent {n} times" for notice, n in copies.items() if n > MAX_COPIES]
    return found


def _of_study(study: Acknowledged, seen: Observed) -> list[str]:
    found = []
    lost = study.frames - seen.slices.get(study.series_key, frozenset())
    if lost:
        found.append(f"series {study.series_key[:8]}: {len(lost)} acknowledged slices are not on the topic")
    final = [f for f in seen.findings if f["series_key"] == study.series_key and f.get("closed_by")]
    if not final:
        return [*found, f"series {study.series_key[:8]}: no outcome"]
    outcome, coverage = final[-1]["outcome"], final[-1]["coverage"]
    assert isinstance(coverage, Mapping)
    if coverage["slices_read"] < len(study.frames):
        read = f"{coverage['slices_read']} of {len(study.frames)}"
        found.append(f"series {study.series_key[:8]}: {read} acknowledged slices were read, outcome {outcome}")
    if study.bleeds != (outcome == "positive"):
        found.append(f"series {study.series_key[:8]}: outcome {outcome}, the truth is {study.bleeds=}")
    if study.bleeds and study.study_key not in {key for key, _ in seen.told}:
        found.append(f"study {study.study_key[:8]}: nobody was told")
    return found
