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
from streams.contracts.findings import (
    BleedMeasured,
    ClosedBy,
    Coverage,
    Estimate,
    FindingReason,
    FindingStatus,
    Measurements,
    MidlineShift,
    Outcome,
    Side,
    SliceReason,
)
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


def test_coverage_says_how_much_of_a_head_has_come() -> None:
    arriving = Coverage(slices_accepted=12, slices_read=12, slices_estimated=34, base_seen=True, vertex_seen=False)
    assert wording.coverage_words(arriving, arriving=True) == "12 of about 34 slices read; vertex not yet seen"
    assert wording.coverage_words(arriving) == "12 of 12 received slices read, total not known; vertex not seen"
    announced = arriving.model_copy(update={"slices_expected": 32, "base_seen": None, "vertex_seen": None})
    assert wording.coverage_words(announced, arriving=True) == "12 of 32 expected slices read"


MEASURED = BleedMeasured(
    label="subdural",
    side=Side.LEFT,
    volume_ml=Estimate(value=31.5, low=14.0, high=70.2),
    mean_hu=Estimate(value=62.0),
    diameter_mm=Estimate(value=81.0),
    extent_mm=70.0,
    slices=14,
    first_instance=22,
    last_instance=9,
)


def test_measurements_carry_their_uncertainty_and_say_when_they_are_of_a_part() -> None:
    whole = a_finding().model_copy(update={"measurements": Measurements(bleeds=(MEASURED,))})
    assert wording.measurement_words(whole) == [
        "subdural, left: about 32 mL (14 to 70), up to 81 mm across, mean 62 HU, images 9 to 22"
    ]
    part = a_finding(FindingStatus.PROVISIONAL).model_copy(update={"measurements": whole.measurements})
    assert "about 32 mL (14 to 70) so far" in wording.measurement_words(part)[0]
    assert wording.measurement_words(a_finding()) == []


@pytest.mark.parametrize(
    ("towards", "words"),
    [
        (Side.LEFT, "midline shift, to the left: about 7 mm (4 to 10)"),
        (Side.UNKNOWN, "midline shift, side unknown: about 7 mm (4 to 10)"),
    ],
)
def test_a_midline_shift_is_told_with_its_side_and_its_error(towards: Side, words: str) -> None:
    shift = MidlineShift(shift_mm=Estimate(value=7.0, low=4.2, high=9.8), towards=towards, position_mm=30.0)
    finding = a_finding().model_copy(update={"measurements": Measurements(midline_shift=shift)})
    assert wording.measurement_words(finding) == [words]


def test_blood_on_both_sides_is_left_and_right() -> None:
    assert "left and right" in wording.bleed_words(a_finding(side=Side.BOTH))


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ((Side.MIDLINE, Side.RIGHT, Side.MIDLINE), "hemorrhage, right,"),
        ((Side.MIDLINE, Side.BOTH), "hemorrhage, left and right,"),
        ((Side.MIDLINE, Side.UNKNOWN), "hemorrhage, midline,"),
        ((Side.UNKNOWN,), "hemorrhage, side not known,"),
    ],
)
def test_midline_is_said_only_where_nothing_lies_on_a_side(seen: tuple[Side, ...], said: str) -> None:
    finding = a_finding()
    (key_slice,) = finding.key_slices
    shown = tuple(key_slice.model_copy(update={"side": side}) for side in seen)
    assert said in wording.bleed_words(finding.model_copy(update={"key_slices": shown}))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (3900, "1 h 5 min"), (200000, "2 d")],
)
def test_durations(seconds: int, words: str) -> None:
    assert wording.duration_words(timedelta(seconds=seconds)) == words
