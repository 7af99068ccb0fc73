"""The waterfall of one case: what is told, in which order, and where the time went."""

from datetime import timedelta

import pytest

from streams.contracts.alerts import AlertChanged, AlertState
from streams.contracts.deadletters import DeadLetterReason, MessageSetAside
from streams.contracts.findings import Clocks, Coverage, FindingProduced, FindingReason, FindingStatus, Outcome
from streams.contracts.series import LedgerKind, RefusalReason
from tests.support.slices import START, STUDY, a_slice, key, ledger
from tocsin.case import Case, _Records, case_of

SERIES = key("series")


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def a_bleed(decisive: float = 1.0, produced: float = 1.5, **changes: object) -> FindingProduced:
    fields: dict[str, object] = {
        "study_key": STUDY,
        "series_key": SERIES,
        "revision": 1,
        "status": FindingStatus.PROVISIONAL,
        "outcome": Outcome.POSITIVE,
        "reasons": (FindingReason.PROVISIONAL_THRESHOLD_CROSSED,),
        "score": 0.97,
        "threshold": 0.9,
        "coverage": Coverage(slices_accepted=10, slices_read=10),
        "clocks": Clocks(
            first_slice=START + after(0.1),
            decisive_slice=START + after(decisive),
            last_slice=START + after(decisive),
            produced=START + after(produced),
        ),
    }
    return FindingProduced.model_validate(fields | changes)


def told(state: AlertState, seconds: float, **more: object) -> AlertChanged:
    fields = {"alert_id": key("alert"), "study_key": STUDY, "state": state, "at": START + after(seconds)}
    return AlertChanged.model_validate(fields | more)


def a_case(**changes: object) -> Case:
    found = _Records(
        ledger=[ledger(LedgerKind.OPENED), ledger(LedgerKind.RELEASED, 28, at=START + after(2.9))],
        partitions={SERIES: 3},
        slices=[(a_slice(n), START + after(n / 10 + 0.05)) for n in range(1, 29)],
        findings=[a_bleed()],
        alerts=[
            told(AlertState.RAISED, 1.6),
            told(AlertState.SENT, 1.7, recipient="dr", channel="webhook"),
            told(AlertState.DELIVERED, 1.9, recipient="dr", channel="webhook"),
            told(AlertState.ACKNOWLEDGED, 70, by="Dr Grün", reason="link"),
        ],
    )
    for name, value in changes.items():
        setattr(found, name, value)
    return case_of(STUDY, found)


def test_everything_is_told_in_the_order_in_which_it_happened() -> None:
    case = a_case()
    assert [event.at for event in case.events] == sorted(event.at for event in case.events)
    assert [event.clock for event in case.events if event.clock] == [
        "first_slice",
        "decisive_slice",
        "alert_delivered",
        "last_slice",
        "alert_acknowledged",
    ]
    assert "by Dr Grün" in case.events[-1].what


def test_the_stages_lie_end_to_end_from_the_decisive_slice_to_the_delivery() -> None:
    case = a_case()
    assert [round(stage.seconds, 3) for stage in case.stages] == [0.05, 0.45, 0.1, 0.1, 0.2]
    assert case.promise_seconds == pytest.approx(0.9)
    assert case.slowest is not None
    assert case.slowest.name.startswith("streams")


@pytest.mark.parametrize(
    ("changes", "service"),
    [
        ({"slices": [(a_slice(10), START + timedelta(seconds=20))], "findings": [a_bleed(produced=20.5)]}, "listener"),
        ({"findings": [a_bleed(produced=20)]}, "streams"),
    ],
)
def test_it_says_which_service_took_the_time(changes: dict[str, object], service: str) -> None:
    late = [told(AlertState.RAISED, 20.6), told(AlertState.SENT, 20.7), told(AlertState.DELIVERED, 20.8)]
    case = a_case(alerts=late, **changes)
    assert case.slowest is not None
    assert case.slowest.name.startswith(service)


def test_a_slow_channel_is_told_from_a_slow_service() -> None:
    case = a_case(alerts=[told(AlertState.RAISED, 1.6), told(AlertState.SENT, 1.7), told(AlertState.DELIVERED, 33)])
    assert case.slowest is not None
    assert case.slowest.name.startswith("channel")
    assert case.promise_seconds == pytest.approx(32)


def test_a_study_that_nobody_was_told_of_has_no_stages() -> None:
    assert a_case(alerts=[]).stages == ()
    assert a_case(alerts=[]).promise_seconds is None


def test_trouble_is_marked() -> None:
    refused = ledger(LedgerKind.ABORTED, 3, refused={RefusalReason.SPOOL_FULL: 2})
    note = MessageSetAside(
        service="streams",
        source_topic="ct.slices.v1",
        reason=DeadLetterReason.PIXELS_UNREADABLE,
        detail="truncated",
        at=START,
    )
    case = a_case(ledger=[refused], set_aside=[note], alerts=[told(AlertState.DELIVERY_FAILED, 5, reason="timed_out")])
    troubles = [event.what for event in case.events if event.trouble]
    assert any("aborted by CT1" in what and "2 refused" in what for what in troubles)
    assert any("pixels_unreadable (truncated)" in what for what in troubles)
    assert any("delivery_failed" in what and "timed_out" in what for what in troubles)


def test_a_case_older_than_the_ledger_is_told_from_its_finding() -> None:
    case = a_case(ledger=[], partitions={}, slices=[])
    assert [stage.name.split(":")[0] for stage in case.stages] == ["streams", "alerts", "alerts", "channel"]


def test_a_dead_man_s_study_is_called_one() -> None:
    assert a_case(findings=[a_bleed(heartbeat=True)]).heartbeat
    assert not a_case().heartbeat
