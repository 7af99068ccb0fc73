"""The tables of an alert's life, and the life under any order of events."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry
from sqlalchemy import event

from alerts import worklist
from alerts.audit import audit
from alerts.decision import Verdict
from alerts.delivery import Delivery
from alerts.desk import alert_id_of
from alerts.errors import AlertBroken, ChannelRefused, ChannelUnreachable
from alerts.life import ANSWERS, CLAIMS, Answer, Claim, Happening, Life, Topic, Via
from alerts.messages import Purpose
from alerts.metrics import AlertMetrics
from alerts.store import record
from alerts.store.database import Database
from alerts.store.schema import Alert
from alerts.store.studies import life_of
from streams.contracts.findings import FindingStatus, Outcome
from tests.unit.alerts.builders import FakeClock, Phones, a_desk, a_finding, key

LOOP = {Answer.RAISED, Answer.SENT, Answer.DELIVERED, Answer.ESCALATED}


def test_every_answer_can_be_reached_and_every_claim_left_only_for_a_later_one() -> None:
    assert {after for (_, _), after in ANSWERS.items()} == set(Answer)
    assert all(before is not Claim.RETRACTED for (before, _) in CLAIMS)


@pytest.mark.parametrize("answer", sorted(LOOP))
def test_an_unanswered_alert_can_always_be_acknowledged(answer: Answer) -> None:
    assert Life(Topic.BLEED, Claim.PROVISIONAL, answer).after(Happening.ACKNOWLEDGED).answer is Answer.ACKNOWLEDGED


@pytest.mark.parametrize("happening", [Happening.SENT, Happening.DELIVERED, Happening.DELIVERY_FAILED])
def test_no_delivery_takes_an_acknowledgement_back(happening: Happening) -> None:
    life = Life(Topic.BLEED, Claim.CONFIRMED, Answer.ACKNOWLEDGED)
    assert life.after(happening) == life


def test_an_answered_alert_cannot_be_escalated() -> None:
    for answer in (Answer.ACKNOWLEDGED, Answer.CLOSED):
        with pytest.raises(AlertBroken):
            Life(Topic.BLEED, Claim.CONFIRMED, answer).after(Happening.ESCALATED)


def test_a_retracted_claim_comes_back_only_by_reopening() -> None:
    life = Life(Topic.BLEED, Claim.RETRACTED, Answer.ACKNOWLEDGED)
    for happening in (Happening.CONFIRMED, Happening.AMENDED, Happening.RETRACTED):
        with pytest.raises(AlertBroken):
            life.after(happening)
    assert life.reopened(Topic.BLEED, Claim.CONFIRMED).waits_for_a_human


def test_every_pair_either_leads_somewhere_or_says_that_it_is_a_bug() -> None:
    for answer, claim, happening in itertools.product(Answer, Claim, Happening):
        life = Life(Topic.BLEED, claim, answer)
        try:
            after = life.after(happening)
        except AlertBroken:
            continue
        assert isinstance(after.answer, Answer)
        assert isinstance(after.claim, Claim)


SERIES = ("thick", "thin")
PEOPLE = ("first", "second")


class LifeOfAnAlert(RuleBasedStateMachine):
    """Findings of two series in any order, deliveries that fail, answers and time: what must always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.database = Database("sqlite://")
        event.listen(self.database._engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=OFF"))
        self.database.prepare()
        self.clock, self.phones = FakeClock(), Phones()
        self.desk = a_desk(self.database, self.clock)
        metrics = AlertMetrics(CollectorRegistry())
        self.delivery = Delivery(self.database, self.clock, self.phones, metrics, "test")
        self.revisions = dict.fromkeys(SERIES, 0)
        self.outcomes: dict[str, list[Outcome]] = {series: [] for series in SERIES}

    @initialize()
    def start(self) -> None:
        self.clock.advance(seconds=1)

    @rule(
        series=st.sampled_from(SERIES), status=st.sampled_from(FindingStatus), side=st.sampled_from(["left", "right"])
    )
    def finding(self, series: str, status: FindingStatus, side: str) -> None:
        outcome = Outcome.NEGATIVE if status is FindingStatus.FINAL and side == "left" else None
        self.revisions[series] += 1
        finding = a_finding(
            status, series=series, revision=self.revisions[series], outcome=outcome, at=self.clock.now(), side=side
        )
        self.desk.take_finding(finding)
        self.outcomes[series].append(finding.outcome)

    @rule(who=st.sampled_from(PEOPLE), failure=st.sampled_from([ChannelUnreachable("gone"), ChannelRefused("no")]))
    def channel_fails(self, who: str, failure: Exception) -> None:
        self.phones.of(who).failures.append(failure)  # type: ignore[arg-type] # a sampled element loses its type

    @rule()
    def deliver(self) -> None:
        while self.delivery.deliver_one():
            pass

    @rule(seconds=st.sampled_from([1, 20, 100, 301]))
    def time_passes(self, seconds: int) -> None:
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            self.clock.advance(seconds=min(50, seconds))
            self.desk.look_again()
            self.deliver()

    @precondition(lambda self: self.alert is not None)
    @rule()
    def acknowledge(self) -> None:
        self.desk.acknowledge(alert_id_of(key("A")), "Dr First", Via.PAGE)

    @property
    def study(self) -> worklist.StudyView | None:
        if not any(self.revisions.values()):
            return None
        with self.database.reading() as session:
            return worklist.one_study(session, key("A"))

    @property
    def alert(self) -> worklist.AlertView | None:
        return self.study.alert if self.study else None

    @invariant()
    def a_positive_that_nothing_computed_away_has_an_alert(self) -> None:
        standing = [_stands(outcomes) for outcomes in self.outcomes.values()]
        if any(standing):
            assert self.study
            assert self.study.verdict is Verdict.BLEED
            assert self.alert
            assert self.alert.topic is Topic.BLEED
            assert self.alert.claim is not Claim.RETRACTED

    @invariant()
    def clear_means_that_a_negative_was_computed_and_nothing_failed(self) -> None:
        if self.study and self.study.verdict is Verdict.CLEAR:
            latest = [outcomes[-1] for outcomes in self.outcomes.values() if outcomes]
            assert Outcome.NEGATIVE in latest
            assert Outcome.FAILED not in latest
            assert Outcome.POSITIVE not in latest

    @invariant()
    def an_unanswered_alert_will_ring_again_and_an_answered_one_will_not(self) -> None:
        with self.database.reading() as session:
            alert = session.get(Alert, alert_id_of(key("A")))
        if alert is not None:
            assert (alert.rings_at is not None) == life_of(alert).waits_for_a_human

    @invariant()
    def the_auditor_and_the_record_agree(self) -> None:
        with self.database.reading() as session:
            breaches = {b.violation for b in audit(session, self.clock.now())}
            assert not breaches - {"not_delivered"}
            assert record.verify(session).broken_at is None

    def teardown(self) -> None:
        """In the end all channels work: whoever still holds a warning holds a true one."""
        for phone in self.phones.by_address.values():
            phone.failures.clear()
        self.time_passes(301)
        if self.study and self.study.verdict is not Verdict.BLEED:
            for phone in self.phones.by_address.values():
                bleeds = [m for m in phone.received if m.topic is Topic.BLEED or m.purpose is Purpose.AMENDED]
                said = [m.purpose for m in phone.received if m in bleeds or m.purpose is Purpose.RETRACTED]
                assert not said or said[-1] in (Purpose.RETRACTED, Purpose.AMENDED)
        self.database.close()


def _stands(outcomes: list[Outcome]) -> bool:
    telling = [o for o in outcomes if o in (Outcome.POSITIVE, Outcome.NEGATIVE)]
    return bool(telling) and telling[-1] is Outcome.POSITIVE


TestLifeOfAnAlert = LifeOfAnAlert.TestCase
TestLifeOfAnAlert.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
