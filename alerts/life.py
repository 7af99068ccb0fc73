"""The life of an alert, as two tables.

An alert has two sides that move independently. Its *claim* is what we say: provisional, then confirmed, amended or
retracted. Its *answer* is how far we are with the people: raised, sent, delivered, escalated, acknowledged, closed.

Laws: nothing leads out of *acknowledged* but a new claim that the acknowledgement did not cover (``REOPENED``), a
person who hands it over, or the end; a delivery never takes an acknowledgement back; what is not in a table is a bug
and raises.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from alerts.errors import AlertBroken
from streams.contracts.alerts import AlertState


class Topic(StrEnum):
    """What an alert is about."""

    BLEED = "bleed"
    NOT_ANALYSED = "not_analysed"
    """Nobody and nothing has read these images: a human must."""


class Claim(StrEnum):
    PROVISIONAL = "provisional"
    CONFIRMED = "confirmed"
    AMENDED = "amended"
    RETRACTED = "retracted"


class Answer(StrEnum):
    RAISED = "raised"
    SENT = "sent"
    DELIVERED = "delivered"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


WAITING_FOR_A_HUMAN = frozenset({Answer.RAISED, Answer.SENT, Answer.DELIVERED, Answer.ESCALATED})


class Happening(StrEnum):
    """What can happen to an alert."""

    SENT = "sent"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery_failed"
    ESCALATED = "escalated"
    ACKNOWLEDGED = "acknowledged"
    HANDED_OVER = "handed_over"
    """Somebody gives it to somebody else, who has to answer."""
    REOPENED = "reopened"
    CONFIRMED = "confirmed"
    AMENDED = "amended"
    RETRACTED = "retracted"
    CLOSED = "closed"


class Says(StrEnum):
    """What a doctor sees in the images: feedback on the reader, no event in the life of an alert."""

    BLEED = "bleed"
    NOT_A_BLEED = "not_a_bleed"


class Via(StrEnum):
    """How somebody acknowledged."""

    PAGE = "page"
    LINK = "link"
    API = "api"


PUBLISHED_AS = {
    Happening.SENT: AlertState.SENT,
    Happening.DELIVERED: AlertState.DELIVERED,
    Happening.DELIVERY_FAILED: AlertState.DELIVERY_FAILED,
    Happening.ESCALATED: AlertState.ESCALATED,
    Happening.ACKNOWLEDGED: AlertState.ACKNOWLEDGED,
    Happening.HANDED_OVER: AlertState.HANDED_OVER,
    Happening.REOPENED: AlertState.RAISED,
    Happening.CONFIRMED: AlertState.CONFIRMED,
    Happening.AMENDED: AlertState.AMENDED,
    Happening.RETRACTED: AlertState.RETRACTED,
    Happening.CLOSED: AlertState.CLOSED,
}
"""What ``triage.alerts.v1`` calls it."""

_A, _H, _C = Answer, Happening, Claim

ANSWERS: dict[tuple[Answer, Happening], Answer] = {
    (_A.RAISED, _H.SENT): _A.SENT,
    (_A.RAISED, _H.DELIVERED): _A.DELIVERED,
    (_A.RAISED, _H.DELIVERY_FAILED): _A.RAISED,
    (_A.RAISED, _H.ESCALATED): _A.ESCALATED,
    (_A.RAISED, _H.ACKNOWLEDGED): _A.ACKNOWLEDGED,
    (_A.RAISED, _H.HANDED_OVER): _A.RAISED,
    (_A.RAISED, _H.REOPENED): _A.RAISED,
    (_A.RAISED, _H.CLOSED): _A.CLOSED,
    (_A.SENT, _H.SENT): _A.SENT,
    (_A.SENT, _H.DELIVERED): _A.DELIVERED,
    (_A.SENT, _H.DELIVERY_FAILED): _A.SENT,
    (_A.SENT, _H.ESCALATED): _A.ESCALATED,
    (_A.SENT, _H.ACKNOWLEDGED): _A.ACKNOWLEDGED,
    (_A.SENT, _H.HANDED_OVER): _A.RAISED,
    (_A.SENT, _H.REOPENED): _A.RAISED,
    (_A.SENT, _H.CLOSED): _A.CLOSED,
    (_A.DELIVERED, _H.SENT): _A.DELIVERED,
    (_A.DELIVERED, _H.DELIVERED): _A.DELIVERED,
    (_A.DELIVERED, _H.DELIVERY_FAILED): _A.DELIVERED,
    (_A.DELIVERED, _H.ESCALATED): _A.ESCALATED,
    (_A.DELIVERED, _H.ACKNOWLEDGED): _A.ACKNOWLEDGED,
    (_A.DELIVERED, _H.HANDED_OVER): _A.RAISED,
    (_A.DELIVERED, _H.REOPENED): _A.RAISED,
    (_A.DELIVERED, _H.CLOSED): _A.CLOSED,
    (_A.ESCALATED, _H.SENT): _A.ESCALATED,
    (_A.ESCALATED, _H.DELIVERED): _A.ESCALATED,
    (_A.ESCALATED, _H.DELIVERY_FAILED): _A.ESCALATED,
    (_A.ESCALATED, _H.ESCALATED): _A.ESCALATED,
    (_A.ESCALATED, _H.ACKNOWLEDGED): _A.ACKNOWLEDGED,
    (_A.ESCALATED, _H.HANDED_OVER): _A.RAISED,
    (_A.ESCALATED, _H.REOPENED): _A.RAISED,
    (_A.ESCALATED, _H.CLOSED): _A.CLOSED,
    (_A.ACKNOWLEDGED, _H.SENT): _A.ACKNOWLEDGED,
    (_A.ACKNOWLEDGED, _H.DELIVERED): _A.ACKNOWLEDGED,
    (_A.ACKNOWLEDGED, _H.DELIVERY_FAILED): _A.ACKNOWLEDGED,
    (_A.ACKNOWLEDGED, _H.ACKNOWLEDGED): _A.ACKNOWLEDGED,
    (_A.ACKNOWLEDGED, _H.HANDED_OVER): _A.RAISED,
    (_A.ACKNOWLEDGED, _H.REOPENED): _A.RAISED,
    (_A.ACKNOWLEDGED, _H.CLOSED): _A.CLOSED,
    (_A.CLOSED, _H.SENT): _A.CLOSED,
    (_A.CLOSED, _H.DELIVERED): _A.CLOSED,
    (_A.CLOSED, _H.DELIVERY_FAILED): _A.CLOSED,
    (_A.CLOSED, _H.ACKNOWLEDGED): _A.CLOSED,
    (_A.CLOSED, _H.REOPENED): _A.RAISED,
}

CLAIMS: dict[tuple[Claim, Happening], Claim] = {
    (_C.PROVISIONAL, _H.CONFIRMED): _C.CONFIRMED,
    (_C.PROVISIONAL, _H.AMENDED): _C.AMENDED,
    (_C.PROVISIONAL, _H.RETRACTED): _C.RETRACTED,
    (_C.CONFIRMED, _H.AMENDED): _C.AMENDED,
    (_C.CONFIRMED, _H.RETRACTED): _C.RETRACTED,
    (_C.AMENDED, _H.AMENDED): _C.AMENDED,
    (_C.AMENDED, _H.RETRACTED): _C.RETRACTED,
}
"""A retracted claim comes back only by ``REOPENED``, which states its new claim itself."""

CHANGES_THE_CLAIM = frozenset({_H.CONFIRMED, _H.AMENDED, _H.RETRACTED})


@dataclass(frozen=True)
class Life:
    """Where an alert stands."""

    topic: Topic
    claim: Claim
    answer: Answer = Answer.RAISED

    @property
    def waits_for_a_human(self) -> bool:
        """Whether somebody must still answer: a retracted claim needs no answer."""
        return self.answer in WAITING_FOR_A_HUMAN and self.claim is not Claim.RETRACTED

    def after(self, happening: Happening) -> "Life":
        """The life after something happened.

        Raises:
            AlertBroken: this cannot happen to an alert that stands so.
        """
        try:
            if happening in CHANGES_THE_CLAIM:
                return replace(self, claim=CLAIMS[self.claim, happening])
            return replace(self, answer=ANSWERS[self.answer, happening])
        except KeyError:
            raise AlertBroken(f"{happening} cannot happen to an alert that is {self.claim} and {self.answer}") from None

    def reopened(self, topic: Topic, claim: Claim) -> "Life":
        """The life after a new claim that no acknowledgement has covered."""
        return Life(topic, claim, ANSWERS[self.answer, Happening.REOPENED])
