"""Channels that fail, floods, and what a message may say: told as it happens on a night."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from alerts.circuits import Circuits, CircuitState
from alerts.errors import ChannelRefused, ChannelUnreachable, FailureKind
from alerts.messages import DISCREET, IDENTIFYING, MOST_URGENT_FIRST, MessagePart, Purpose, with_patient
from alerts.recipients import ChannelKind, Recipients
from alerts.store.claims import Flood
from alerts.store.outbox import Address
from streams.contracts.findings import FindingStatus, Outcome
from streams.contracts.identities import StudyIdentity
from tests.unit.alerts.builders import START, a_finding, key

WEBHOOK = {"url": "http://127.0.0.1:1", "secret": "0" * 16}


def people(*recipients: dict[str, Any]) -> Recipients:
    return Recipients.model_validate({"recipients": list(recipients)})


DOCTOR = people({"name": "doctor", "email": "d@h.example", "push": True, "in_turn": ["email", "push"]})
MAIL, PUSH = Address("doctor", ChannelKind.EMAIL), Address("doctor", ChannelKind.PUSH)


def test_mail_is_down_so_the_same_alert_is_pushed_at_once_and_the_mail_is_not_sent_later(
    a_ward: Callable[..., Any],
) -> None:
    ward = a_ward(recipients=DOCTOR)
    ward.phones(MAIL).failures.append(ChannelUnreachable("connection refused"))
    ward.send(a_finding())
    assert ward.phones(PUSH).purposes == ["alarm"]
    ward.wait(minutes=4)
    assert ward.phones(MAIL).received == []
    states = {notice.channel: str(notice.state) for notice in ward.alert().notices}
    assert states == {"email": "superseded", "push": "delivered"}


def test_as_long_as_the_first_channel_works_the_second_is_silent(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(recipients=DOCTOR)
    ward.send(a_finding())
    ward.wait(minutes=4)
    assert ward.phones(MAIL).purposes == ["alarm"]
    assert ward.phones(PUSH).purposes == []


def test_a_correction_goes_where_the_warning_went(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(recipients=DOCTOR)
    ward.phones(MAIL).failures.append(ChannelRefused("answered 550"))
    ward.send(a_finding(FindingStatus.PROVISIONAL))
    ward.send(a_finding(FindingStatus.RETRACTED, revision=2))
    assert ward.phones(PUSH).purposes == ["alarm", "retracted"]


def test_both_channels_are_down_and_whichever_is_back_first_delivers(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(recipients=DOCTOR)
    ward.phones(MAIL).failures += [ChannelUnreachable("gone")] * 99
    ward.phones(PUSH).failures += [ChannelUnreachable("gone")] * 3
    ward.send(a_finding())
    ward.wait(minutes=2)
    assert ward.phones(PUSH).purposes == ["alarm"]
    assert ward.alert().delivered


def test_while_a_provider_is_down_it_is_hardly_tried_and_who_waits_for_it_is_not_forgotten(
    a_ward: Callable[..., Any],
) -> None:
    names = [f"d{n}" for n in range(6)]
    mails = [Address(name, ChannelKind.EMAIL) for name in names]
    staff = people(*({"name": n, "email": f"{n}@h.example"} for n in names))
    ward = a_ward(recipients=staff, providers=dict.fromkeys(mails, "mail server"))
    for mail in mails:
        ward.phones(mail).failures += [ChannelUnreachable("gone")] * 99
    ward.desk.take_finding(a_finding())
    ward.settle()
    tried = sum(99 - len(ward.phones(mail).failures) for mail in mails)
    assert tried == 3, "after three failures in a row nobody else runs into it"
    ward.wait(seconds=5)
    assert {notice.recipient for notice in ward.alert().failing} == set(names), "but everybody knows"
    for mail in mails:
        ward.phones(mail).failures.clear()
    ward.wait(seconds=60)
    for name in names:
        assert [message.purpose for message in ward.news(name)] == ["alarm"]


def test_a_circuit_lets_one_attempt_look_and_a_refusal_is_an_answer() -> None:
    circuits, now = Circuits({MAIL: "p", PUSH: "p"}), START
    for _ in range(3):
        assert circuits.shut(now) == frozenset()
        circuits.ended(MAIL, FailureKind.TIMED_OUT, now)
    assert circuits.shut(now) == circuits.down(now) == {MAIL, PUSH}
    now += timedelta(seconds=5)
    assert circuits.shut(now) == frozenset()
    circuits.begin(PUSH, now)
    assert circuits.shut(now) == {MAIL, PUSH}, "one looks; the others wait for what it finds"
    assert circuits.down(now) == {MAIL, PUSH}
    circuits.ended(PUSH, FailureKind.REFUSED, now)
    assert circuits.shut(now) == circuits.down(now) == frozenset()
    assert {state for state, _ in circuits.states(now).values()} == {CircuitState.CLOSED}


MANY = people({"name": "doctor", "email": "d@h.example"}, {"name": "pager", "webhook": WEBHOOK})
FLOOD = Flood(after=3, within=timedelta(seconds=60), hold=timedelta(seconds=10))


def test_in_a_flood_the_first_are_not_delayed_and_the_rest_come_as_one_with_each_followed_by_itself(
    a_ward: Callable[..., Any],
) -> None:
    ward = a_ward(recipients=MANY, flood=FLOOD)
    for number in range(10):
        ward.send(a_finding(study=f"s{number}"))
    mails = ward.phones(MAIL).received
    assert [len(mail.bundled) for mail in mails] == [0, 0, 0], "the first ones at once"
    ward.wait(seconds=10)
    [bundle] = mails[3:]
    assert bundle.headline.startswith("7 alerts; the most urgent: Possible intracranial hemorrhage")
    assert bundle.text.count("Acknowledge: http") == 7
    assert len(set(bundle.bundled)) == 7
    for number in range(10):
        assert "delivered" in {str(n.state) for n in ward.alert(f"s{number}").notices if n.recipient == "doctor"}
    assert len(ward.phones(Address("pager", ChannelKind.WEBHOOK)).received) == 10, "a program gets each by itself"
    ward.acknowledge("s5")
    assert ward.alert("s6").waits_for_a_human
    ward.wait(minutes=5, seconds=5)
    reminded = {study for mail in mails[4:] for study in (mail.bundled or (mail.alert_id,))}
    assert len(reminded) == 9, "each that was not answered rings again"


def test_a_bundle_that_does_not_get_through_is_tried_again_whole(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(recipients=MANY, flood=FLOOD)
    for number in range(6):
        ward.send(a_finding(study=f"s{number}"))
    ward.phones(MAIL).failures.append(ChannelUnreachable("gone"))
    ward.wait(seconds=20)
    [bundle] = ward.phones(MAIL).received[3:]
    assert len(bundle.bundled) == 3
    assert all(not ward.alert(f"s{n}").failing for n in range(6))


def test_a_crash_after_a_bundle_sends_it_again_and_loses_nothing(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(recipients=MANY, flood=FLOOD)
    for number in range(6):
        ward.send(a_finding(study=f"s{number}"))
    record = ward.delivery._record_delivered
    ward.delivery._record_delivered = lambda attempt: None  # the process is gone before it can write
    ward.clock.advance(seconds=10)
    ward.settle()
    ward.delivery._record_delivered = record
    ward.clock.advance(seconds=16)
    ward.settle()
    one, again = ward.phones(MAIL).received[3:]
    assert one.notice_id == again.notice_id
    assert all(ward.alert(f"s{n}").delivered for n in range(6))


def test_who_opens_the_link_has_seen_it(ward: Any) -> None:
    ward.send(a_finding())
    alert = ward.alert()
    assert {notice.words for notice in alert.notices} == {"delivered"}
    assert ward.desk.seen(alert.alert_id, "first") == 1
    assert {notice.recipient: notice.words for notice in ward.alert().notices} == {
        "first": "seen",
        "second": "delivered",
    }
    assert ward.alert().waits_for_a_human, "to see it is not to answer"


IDENTITY = StudyIdentity(
    study_key=key("A"),
    StudyInstanceUID="1.2",
    PatientName="Miller^Grace",
    PatientID="P-77",
    PatientBirthDate="19500203",
    AccessionNumber="ACC-1",
)


def test_a_message_names_no_patient_unless_the_site_has_said_so(ward: Any) -> None:
    ward.send(a_finding())
    [message] = ward.news("first")
    named = with_patient(message, IDENTITY, frozenset(MessagePart))
    assert "Miller" not in message.text
    assert with_patient(message, IDENTITY, frozenset(MessagePart) - IDENTIFYING) == message
    assert "Patient: Miller Grace, P-77, 1950-02-03, ACC-1." in named.text
    assert named.text.startswith(message.headline)
    assert with_patient(message, IDENTITY, frozenset({MessagePart.ACCESSION_NUMBER})).patient == {
        "accession_number": "ACC-1"
    }


def test_a_message_may_be_told_to_say_next_to_nothing(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(parts=frozenset())
    ward.send(a_finding())
    [message] = ward.news("first")
    assert message.headline == "A study needs you"
    for word in ("hemorrhage", "right", "subdural", "Ward 7", "Study", "slices"):
        assert word not in message.text
    assert "Acknowledge: http" in message.text
    assert not message.types
    assert message.score is None


def test_each_kind_of_message_can_be_discreet(a_ward: Callable[..., Any]) -> None:
    ward = a_ward(parts=frozenset())
    ward.send(a_finding(FindingStatus.PROVISIONAL))
    ward.wait(minutes=5)
    ward.send(a_finding(FindingStatus.RETRACTED, outcome=Outcome.NEGATIVE, revision=2))
    assert [message.headline for message in ward.news("first")] == [
        "A study needs you",
        "Not answered yet: a study needs you",
        "Correction: an earlier alert is withdrawn",
    ]


def test_every_kind_of_message_has_its_place_in_a_bundle_and_its_discreet_words() -> None:
    assert set(MOST_URGENT_FIRST) == set(DISCREET) == set(Purpose)
