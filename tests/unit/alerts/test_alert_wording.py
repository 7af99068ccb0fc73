"""Nothing reaches a doctor as a bare code."""

from datetime import timedelta
from enum import StrEnum

import pytest

from alerts import audit, wording
from alerts.decision import Audience, Reason, Verdict
from alerts.errors import FailureKind
from alerts.escalation import RingReason
from alerts.life import Answer, Claim, Via
from alerts.recipients import ChannelKind
from alerts.worklist import reason_in_words
from streams.contracts.alerts import AlertState
from streams.contracts.findings import ClosedBy, FindingReason, FindingStatus, Outcome, Side, SliceReason
from streams.contracts.series import RefusalReason
from tests.unit.alerts.builders import a_finding


@pytest.mark.parametrize(
    ("words", "enum"),
    [
        (wording.SIDES, Side),
        (wording.SLICE_REASONS, SliceReason),
        (wording.REFUSALS, RefusalReason),
        (wording.FINDING_REASONS, FindingReason),
        (wording.STATUSES, FindingStatus),
        (wording.CLOSED_BY, ClosedBy),
        (wording.VERDICTS, Verdict),
        (wording.REASONS, Reason),
        (wording.CLAIMS, Claim),
        (wording.ANSWERS, Answer),
        (wording.STATES, AlertState),
        (wording.FAILURES, FailureKind),
        (wording.CHANNELS, ChannelKind),
        (wording.AUDIENCES, Audience),
        (wording.RING_REASONS, RingReason),
        (wording.VIAS, Via),
        (audit.WORDS, audit.Violation),
    ],
)
def test_every_member_has_its_words(words: dict[StrEnum, str], enum: type[StrEnum]) -> None:
    assert set(words) == set(enum)
    assert all(words.values())


def test_every_reason_of_an_event_has_words() -> None:
    for reason in (*Reason, *FailureKind, *RingReason, *Via):
        assert "_" not in reason_in_words(reason)


def test_only_a_computed_negative_says_no_bleed_found() -> None:
    for status in FindingStatus:
        for outcome in Outcome:
            try:
                finding = a_finding(status, outcome=outcome)
            except ValueError:
                continue
            said = "no bleed" in wording.verdict_words(finding).lower()
            assert said == (outcome is Outcome.NEGATIVE)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (3900, "1 h 5 min"), (200000, "2 d")],
)
def test_durations(seconds: int, words: str) -> None:
    assert wording.duration_words(timedelta(seconds=seconds)) == words
