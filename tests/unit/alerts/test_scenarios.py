"""What a doctor can rely on, told as it happens on a night."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from alerts.decision import Policy, TellNotAssessable, Verdict
from alerts.errors import ChannelBusy, ChannelRefused, ChannelUnreachable
from alerts.recipients import Recipients
from alerts.worklist import Urgency
from streams.contracts.findings import FindingReason, FindingStatus, Outcome, Side
from tests.unit.alerts.builders import START, a_finding, key

PROVISIONAL, FINAL = FindingStatus.PROVISIONAL, FindingStatus.FINAL
RETRACTED, FAILED, NOT_ASSESSABLE = FindingStatus.RETRACTED, FindingStatus.FAILED, FindingStatus.NOT_ASSESSABLE


def test_a_bleed_rings_everybody_before_the_last_slice(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL, side=Side.RIGHT, leading="subdural"))
    ward.expects("first", "possible intracranial hemorrhage, right, most likely subdural", "provisional", "20 of 32")
    ward.expects("second", "possible intracranial hemorrhage")
    assert ward.states() == ["raised", "sent", "delivered", "sent", "delivered"]


def test_no_bleed_is_listed_and_rings_nobody(ward: Any) -> None:
    ward.send(a_finding(FINAL, outcome=Outcome.NEGATIVE))
    ward.silent("first", "second")
    assert ward.study().verdict is Verdict.CLEAR
    assert ward.study().headline == "No bleed found"
    assert ward.study().alert is None


def test_the_complete_series_confirms_without_ringing_again(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL))
    ward.news("first")
    ward.send(a_finding(FINAL, revision=2))
    ward.silent("first")
    assert ward.alert().claim == "confirmed"
    assert "confirmed" in ward.states()


def test_a_site_may_want_to_hear_of_the_confirmation(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(Policy(tell_confirmed=True))
    ward.send(a_finding(PROVISIONAL))
    ward.news("first")
    ward.send(a_finding(FINAL, revision=2))
    ward.expects("first", "confirmed:")


def test_another_side_is_corrected_to_everyone_who_was_told_under_the_same_alert(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL, side=Side.RIGHT))
    [first] = ward.expects("first", "right")
    ward.news("second")
    ward.send(a_finding(FINAL, revision=2, side=Side.LEFT))
    [correction] = ward.expects("first", "correction", "left")
    ward.expects("second", "correction", "left")
    assert correction.alert_id == first.alert_id
    assert correction.purpose == "amended"


def test_what_was_corrected_before_anybody_heard_of_it_rings_as_an_alarm(ward: Any) -> None:
    ward.desk.take_finding(a_finding(PROVISIONAL, side=Side.RIGHT))
    ward.desk.take_finding(a_finding(FINAL, revision=2, side=Side.LEFT))
    ward.settle()
    for person in ("first", "second"):
        [only] = ward.expects(person, "left")
        assert only.purpose == "alarm"
        assert "correction" not in only.headline.lower()


def test_a_warning_that_is_not_borne_out_is_taken_back_from_everyone_who_got_it(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL))
    [first] = ward.expects("first")
    ward.news("second")
    ward.acknowledge(by="first")
    ward.send(a_finding(RETRACTED, revision=2))
    [back] = ward.expects("first", "withdrawn", "no bleed found")
    ward.expects("second", "withdrawn")
    assert back.alert_id == first.alert_id
    assert not ward.alert().waits_for_a_human
    assert ward.study().urgency is Urgency.CLEAR


def test_who_never_got_the_warning_gets_no_withdrawal_and_no_warning_later(ward: Any) -> None:
    ward.desk.take_finding(a_finding(PROVISIONAL))
    ward.desk.take_finding(a_finding(RETRACTED, revision=2))
    ward.settle()
    ward.silent("first", "second")


def test_a_warning_that_may_have_got_through_is_taken_back(ward: Any) -> None:
    ward.fail("first", ChannelUnreachable("gone"))
    ward.send(a_finding(PROVISIONAL))
    ward.news("second")
    ward.send(a_finding(RETRACTED, revision=2))
    ward.wait(seconds=30)
    ward.expects("first", "withdrawn")


def test_a_withdrawal_that_is_still_owed_is_not_lost_behind_another_series_failure(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL, series="thick"))
    ward.news("first")
    ward.desk.take_finding(a_finding(RETRACTED, series="thick", revision=2))
    ward.send(a_finding(FAILED, series="thin"))
    assert sorted(message.purpose for message in ward.news("first")) == ["alarm", "retracted"]


def test_a_withdrawal_that_is_still_owed_is_dropped_when_the_bleed_returns(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL))
    ward.news("first")
    ward.desk.take_finding(a_finding(RETRACTED, revision=2))
    ward.send(a_finding(FINAL, revision=3))
    ward.expects("first", "possible bleed after all")


def test_each_warning_is_taken_back_whichever_series_was_read_last(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL, series="thick"))
    ward.send(a_finding(RETRACTED, series="thick", revision=2, at=START + timedelta(seconds=10)))
    assert ward.news("first")[-1].purpose == "retracted"
    ward.send(a_finding(PROVISIONAL, series="thin", at=START + timedelta(seconds=4)))
    ward.expects("first", "possible bleed after all")
    ward.send(a_finding(RETRACTED, series="thin", revision=2, at=START + timedelta(seconds=5)))
    ward.expects("first", "withdrawn")


def test_a_taken_back_warning_that_returns_must_be_answered_again(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL))
    ward.acknowledge()
    ward.send(a_finding(RETRACTED, revision=2))
    ward.news("first")
    ward.send(a_finding(FINAL, revision=3, reasons=(FindingReason.LATE_SLICES,)))
    ward.expects("first", "possible bleed after all")
    assert ward.alert().waits_for_a_human
    assert ward.alert().acknowledged_by is None


def test_a_failure_after_a_warning_does_not_silence_the_warning(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL))
    ward.news("first")
    ward.send(a_finding(FAILED, revision=2))
    ward.expects("first", "bleed warning stands", "not analysed")
    assert ward.study().verdict is Verdict.BLEED
    assert ward.alert().waits_for_a_human


def test_a_failed_analysis_asks_a_human_to_read(ward: Any) -> None:
    ward.send(a_finding(FAILED))
    ward.expects("first", "not analysed: the model failed", "read the images yourself")
    assert ward.study().urgency is Urgency.NOT_ANALYSED_WAITING


def test_analysed_after_all_is_said_to_who_was_asked_to_read(ward: Any) -> None:
    ward.send(a_finding(FAILED))
    ward.news("first")
    ward.send(a_finding(FINAL, outcome=Outcome.NEGATIVE, revision=2))
    ward.expects("first", "now analysed, no bleed found")


def test_a_bleed_in_what_first_failed_rings_as_a_bleed(ward: Any) -> None:
    ward.send(a_finding(FAILED))
    ward.acknowledge()
    ward.news("first")
    ward.send(a_finding(FINAL, revision=2))
    ward.expects("first", "possible intracranial hemorrhage")
    assert ward.alert().waits_for_a_human


def test_a_localizer_that_cannot_be_read_rings_nobody_when_the_head_follows(ward: Any) -> None:
    ward.send(a_finding(NOT_ASSESSABLE, series="scout"))
    ward.wait(seconds=30)
    ward.send(a_finding(FINAL, outcome=Outcome.NEGATIVE, series="head"))
    ward.wait(minutes=5)
    ward.silent("first", "second")
    assert ward.study().verdict is Verdict.CLEAR


def test_a_study_of_which_nothing_can_be_read_is_told_after_a_while(ward: Any) -> None:
    ward.send(a_finding(NOT_ASSESSABLE))
    ward.silent("first")
    assert ward.study().verdict is Verdict.NOT_ASSESSABLE
    ward.wait(seconds=95)
    ward.expects("first", "not analysed: no slice could be read")


def test_a_site_may_only_list_what_cannot_be_read(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(Policy(tell_not_assessable=TellNotAssessable.NEVER, tell_failed=False))
    ward.send(a_finding(NOT_ASSESSABLE, study="A"))
    ward.send(a_finding(FAILED, study="B"))
    ward.wait(minutes=10)
    ward.silent("first")
    assert ward.study("A").urgency is Urgency.NOT_ANALYSED
    assert ward.study("B").urgency is Urgency.NOT_ANALYSED


def test_a_withdrawn_warning_beside_an_unread_series_asks_for_a_reader(ward: Any) -> None:
    ward.send(a_finding(PROVISIONAL, series="thick"))
    ward.send(a_finding(FAILED, series="thin"))
    ward.news("first")
    ward.send(a_finding(RETRACTED, series="thick", revision=2))
    ward.expects("first", "withdrawn, but part of the study was not analysed")
    assert ward.alert().topic == "not_analysed"
    assert ward.alert().waits_for_a_human


def test_two_reconstructions_of_one_bleed_ring_once(ward: Any) -> None:
    ward.send(a_finding(FINAL, series="thick"))
    ward.send(a_finding(FINAL, series="thin", score=0.9))
    assert len(ward.news("first")) == 1


def test_the_same_finding_twice_rings_once(ward: Any) -> None:
    ward.send(a_finding(FINAL))
    ward.send(a_finding(FINAL))
    assert len(ward.news("first")) == 1


def test_a_series_that_was_forgotten_and_comes_again_is_heard(ward: Any) -> None:
    """Streams forget a closed series after a day, and count its findings from one when it is sent again."""
    ward.send(a_finding(NOT_ASSESSABLE))
    ward.wait(minutes=2)
    ward.expects("first", "not")
    tomorrow = START + timedelta(days=1, hours=1)
    ward.clock.instant = tomorrow
    again = a_finding(FINAL, at=tomorrow)
    ward.send(again)
    ward.expects("first", "possible bleed after all")
    ward.send(again)
    ward.send(a_finding(FINAL, revision=2, at=tomorrow + timedelta(seconds=9), outcome=Outcome.NEGATIVE))
    ward.expects("first", "withdrawn")


def test_a_result_that_cannot_be_read_asks_a_human(ward: Any) -> None:
    ward.send(a_finding(FINAL, outcome=Outcome.NEGATIVE))
    ward.desk.take_unreadable_result(key("A"))
    ward.settle()
    ward.expects("first", "a result could not be read", "read the images yourself")
    assert ward.study().verdict is Verdict.FAILED


def test_what_was_told_and_taken_back_is_told_again_when_it_is_true_again(ward: Any) -> None:
    """Twice the same words about no finding at all: on another occasion they are another message."""
    ward.desk.take_study_identity(key("A"), b"sealed", START)
    ward.wait(minutes=11)
    ward.expects("first", "no result")
    ward.send(a_finding(FINAL, outcome=Outcome.NEGATIVE))
    ward.expects("first", "analysed")
    ward.desk.take_unreadable_result(key("A"))
    ward.settle()
    ward.expects("first", "a result could not be read")


def test_every_correction_is_sent_though_the_same_series_speaks(ward: Any) -> None:
    ward.send(a_finding(FINAL, side=Side.RIGHT, score=0.99))
    ward.news("first")
    ward.send(a_finding(FINAL, series="thin", side=Side.LEFT, score=0.9))
    ward.expects("first", "correction", "left")
    ward.send(a_finding(FINAL, series="thin", revision=2, outcome=Outcome.NEGATIVE))
    ward.expects("first", "correction", "right")


def test_nobody_answers_so_it_rings_again_until_somebody_does(ward: Any) -> None:
    ward.send(a_finding(FINAL))
    ward.news("first")
    ward.wait(minutes=5)
    ward.expects("first", "not answered yet", "hemorrhage")
    ward.wait(minutes=5)
    ward.expects("first", "not answered yet")
    assert len(ward.news("second")) == 3
    ward.acknowledge(by="Dr First")
    ward.wait(minutes=30)
    ward.silent("first", "second")
    assert ward.alert().acknowledged_by == "Dr First"


def test_the_first_answer_is_the_answer_and_the_second_is_kept_too(ward: Any) -> None:
    ward.send(a_finding(FINAL))
    ward.acknowledge(by="Dr First")
    ward.acknowledge(by="Dr Second")
    assert ward.alert().acknowledged_by == "Dr First"
    assert [view.event.by for view in ward.history() if view.event.state == "acknowledged"] == ["Dr First", "Dr Second"]


def test_a_channel_that_is_away_gets_it_when_it_is_back_and_others_do_not_wait(ward: Any) -> None:
    ward.fail("first", *[ChannelUnreachable("gone")] * 3)
    ward.send(a_finding(FINAL))
    ward.expects("second")
    ward.silent("first")
    ward.wait(seconds=30)
    ward.expects("first", "hemorrhage")


def test_a_channel_that_refuses_is_shown_at_once_and_still_tried(ward: Any) -> None:
    ward.fail("first", *[ChannelRefused("answered 404")] * 2)
    ward.send(a_finding(FINAL))
    assert [notice.recipient for notice in ward.alert().failing] == ["first"]
    assert "delivery_failed" in ward.states()
    ward.wait(minutes=2)
    ward.expects("first", "hemorrhage")
    assert not ward.alert().failing


def test_a_far_side_may_ask_for_a_wait(ward: Any) -> None:
    ward.fail("first", ChannelBusy("answered 429", retry_after_seconds=20))
    ward.send(a_finding(FINAL))
    ward.wait(seconds=15)
    ward.silent("first")
    ward.wait(seconds=10)
    ward.expects("first")


def test_a_finding_from_before_an_outage_is_marked_late(ward: Any) -> None:
    ward.send(a_finding(FINAL, at=START - timedelta(minutes=30)))
    [message] = ward.expects("first", "LATE: this was found at 2026-03-01 02:30:00 UTC")
    assert message.late


def test_a_finding_of_last_week_waits_on_the_page_and_rings_nobody(ward: Any) -> None:
    ward.send(a_finding(FINAL, at=START - timedelta(days=7)))
    ward.wait(minutes=20)
    ward.silent("first", "second")
    assert ward.study().urgency is Urgency.BLEED_WAITING


def test_without_recipients_the_alert_says_that_nobody_was_told(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(recipients=None)
    ward.send(a_finding(FINAL))
    assert ward.states() == ["raised", "delivery_failed"]
    assert ward.study().urgency is Urgency.BLEED_WAITING


def test_when_a_recipient_is_taken_off_the_list_the_alert_rings_for_who_is_left(ward: Any, a_ward: Any) -> None:
    ward.fail("first", *[ChannelRefused("answered 410")] * 9)
    ward.fail("second", *[ChannelRefused("answered 550")] * 9)
    ward.send(a_finding(FINAL))
    after = a_ward(recipients=Recipients.model_validate({"recipients": [{"name": "third", "email": "t@h.example"}]}))
    assert after.desk.drop_gone() == 2
    after.wait(seconds=5)
    after.expects("third", "not answered yet", "hemorrhage")
    assert not after.alert().failing


def test_the_message_tells_no_patient_and_how_to_answer(ward: Any) -> None:
    ward.send(a_finding(FINAL))
    [message] = ward.expects("first", "Ward 7", "Look: http://127.0.0.1:8080/studies/", "Acknowledge: http://")
    assert message.study == key("A")[:8].upper()
    assert message.slices_read == 20
    assert message.slices_expected == 32


def test_a_crash_between_accepted_and_recorded_sends_twice_under_one_id_and_loses_nothing(ward: Any) -> None:
    ward.desk.take_finding(a_finding(FINAL))
    record = ward.delivery._record_delivered
    ward.delivery._record_delivered = lambda attempt: None  # the process is gone before it can write
    ward.settle()
    ward.delivery._record_delivered = record
    ward.clock.advance(seconds=16)
    ward.settle()
    got = ward.news("first")
    assert len(got) == 2
    assert len({message.notice_id for message in got}) == 1
    assert ward.alert().delivered
