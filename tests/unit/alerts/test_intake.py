"""One message in: kept, known, set aside, or taken again later; never skipped."""

from dataclasses import replace
from typing import Any

import pytest

from alerts.broker import until_taken
from alerts.errors import BrokerUnavailable, StoreRefused, StoreUnavailable
from alerts.intake import Incoming, Intake, Taken
from streams.contracts.deadletters import DeadLetterReason, MessageSetAside
from streams.contracts.findings import FindingProduced
from streams.contracts.topics import FINDINGS, IDENTITIES
from tests.unit.alerts.builders import START, a_finding, key


class DeadLetters:
    def __init__(self) -> None:
        self.kept: list[tuple[Incoming, MessageSetAside]] = []
        self.away = 0

    def __call__(self, message: Incoming, why: MessageSetAside) -> None:
        if self.away:
            self.away -= 1
            raise BrokerUnavailable
        self.kept.append((message, why))


@pytest.fixture
def dead() -> DeadLetters:
    return DeadLetters()


@pytest.fixture
def intake(ward: Any, dead: DeadLetters) -> Intake:
    return Intake(ward.desk, ward.metrics, dead)


def message(finding: FindingProduced | None = None, **changed: Any) -> Incoming:
    finding = finding or a_finding()
    whole = Incoming(FINDINGS.name, 3, 41, finding.study_key.encode(), finding.encode(), (), START)
    return replace(whole, **changed)


def test_a_finding_is_kept_once(intake: Intake, ward: Any) -> None:
    assert intake.take(message()) is Taken.KEPT
    assert intake.take(message()) is Taken.KNOWN
    assert ward.metrics.registry.get_sample_value("tocsin_alerts_duplicate_findings_total") == 1


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff\xfe", b"[]", None, b"null", b'{"a":' * 5000])
def test_what_is_no_finding_is_set_aside_and_its_study_is_alarmed(
    intake: Intake, ward: Any, dead: DeadLetters, value: bytes | None
) -> None:
    assert intake.take(message(value=value)) is Taken.SET_ASIDE
    [(kept, why)] = dead.kept
    assert kept.value == value
    assert (why.reason, why.source_partition, why.source_offset) == (DeadLetterReason.MALFORMED_MESSAGE, 3, 41)
    ward.settle()
    ward.expects("first", "a result could not be read")


def test_a_damaged_message_without_a_key_is_set_aside_alone(intake: Intake, ward: Any, dead: DeadLetters) -> None:
    for bad_key in (None, b"", b"not a key", b"\xff" * 32):
        intake.take(message(key=bad_key, value=b"x"))
    assert len(dead.kept) == 4
    ward.silent("first")


def test_identities_are_kept_as_they_came(intake: Intake, dead: DeadLetters) -> None:
    study, series = key("A").encode(), f"{key('A')}:{key('a')}".encode()
    assert intake.take(message(topic=IDENTITIES.name, key=study, value=b"sealed")) is Taken.KEPT
    assert intake.take(message(topic=IDENTITIES.name, key=series, value=b"sealed")) is Taken.KEPT
    assert intake.take(message(topic=IDENTITIES.name, key=study, value=None)) is Taken.KNOWN
    assert intake.take(message(topic=IDENTITIES.name, key=b"x", value=b"sealed")) is Taken.SET_ASIDE
    assert len(dead.kept) == 1


def test_what_the_store_will_not_hold_is_set_aside_and_alarmed(
    intake: Intake, ward: Any, dead: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise StoreRefused("DataError")

    monkeypatch.setattr(type(ward.desk), "take_finding", lambda _self, finding: refuse(finding))
    assert intake.take(message()) is Taken.SET_ASIDE
    assert dead.kept[0][1].reason is DeadLetterReason.INTERNAL_ERROR
    ward.settle()
    ward.expects("first", "a result could not be read")


class NotStopped:
    def is_set(self) -> bool:
        return False

    def wait(self, timeout: float | None = None) -> bool:
        return False


def test_while_the_store_is_away_the_message_waits_and_is_then_taken(
    intake: Intake, ward: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, away = type(ward.desk).take_finding, [StoreUnavailable("x")] * 3

    def sometimes(desk: Any, finding: FindingProduced) -> Any:
        if away:
            raise away.pop()
        return take(desk, finding)

    monkeypatch.setattr(type(ward.desk), "take_finding", sometimes)
    waits: list[float] = []
    assert until_taken(intake, message(), NotStopped(), waits.append)
    assert len(waits) == 3
    ward.settle()
    ward.expects("first", "hemorrhage")


def test_while_the_dead_letters_are_away_the_message_waits(intake: Intake, dead: DeadLetters) -> None:
    dead.away = 2
    assert until_taken(intake, message(value=b"x"), NotStopped(), lambda _: None)
    assert len(dead.kept) == 1
