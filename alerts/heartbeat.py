"""The dead-man's study, at this end: what would ring a doctor goes to the test recipient, and nowhere else.

A finding is the dead-man's only if streams say so, and they do only if every slice was sealed (docs/decisions/0410).
It is decided and worded as a patient's would be, and sent by the same channel; but it makes no study, no alert, no
notice and no line of the record, so that nothing clinical can be confused with it or counted with it.

At most once on purpose: a lost heartbeat rings as missing, which is what it is for.
"""

import logging
import queue
from collections.abc import Callable
from datetime import datetime, timedelta

from alerts.decision import Decision, FindingFact, Policy, Step, StudyFacts, decide
from alerts.errors import ChannelError
from alerts.links import Links
from alerts.messages import Message, Purpose, compose
from alerts.ports import Channel, Clock, Stop
from alerts.recipients import ChannelKind
from alerts.store.outbox import Address, Occasion, notice_id_of
from streams.contracts.findings import FindingProduced

log = logging.getLogger(__name__)

TEST_RECIPIENT = "heartbeat"
WAITING = 16
"""Messages; older ones are of no use to anybody."""
LOOK_SECONDS = 0.5
STALE = timedelta(minutes=10)
"""Of a finding: one that is read again after a restore says nothing about now."""


class Heartbeats:
    """Takes findings of dead-man's studies; one thread of the service's crew sends what follows from them.

    Args:
        written: writes to the store, as a patient's finding would have; raises StoreUnavailable.
        channel: to the test recipient; None where there is none.
    """

    def __init__(
        self, written: Callable[[], None], clock: Clock, policy: Policy, links: Links, channel: Channel | None
    ) -> None:
        self._written, self._clock, self._policy, self._links, self._channel = written, clock, policy, links, channel
        self._waiting: queue.Queue[Message] = queue.Queue(WAITING)

    def take(self, finding: FindingProduced) -> None:
        """Decide, and hand over what a doctor would have been told.

        Raises:
            StoreUnavailable: a patient's finding could not have been kept either.
        """
        now = self._clock.now()
        if now - finding.clocks.produced > STALE:
            return
        self._written()
        decision = decide(StudyFacts((FindingFact.of(finding),)), self._policy, now)
        log.info(
            "heartbeat taken",
            extra={"series": finding.series_key, "status": finding.status, "step": decision.step},
        )
        if decision.step is not Step.RAISE:
            return
        try:
            self._waiting.put_nowait(self._message(finding, decision, now))
        except queue.Full:
            log.warning("a heartbeat is dropped: the test recipient does not answer")

    def deliver_until(self, stop: Stop) -> None:
        """The life of the thread."""
        while not stop.is_set():
            try:
                message = self._waiting.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            self._deliver(message)

    def _deliver(self, message: Message) -> None:
        if self._channel is None:
            log.warning("a heartbeat has nobody to go to: no test recipient is set")
            return
        try:
            self._channel.send(message)
        except ChannelError as error:
            log.warning("a heartbeat was not delivered", extra={"failure": error.kind, "detail": str(error)})
        else:
            log.info("heartbeat delivered", extra={"series": message.series_key})

    def _message(self, finding: FindingProduced, decision: Decision, now: datetime) -> Message:
        alert_id = finding.study_key
        address = Address(TEST_RECIPIENT, ChannelKind.WEBHOOK)
        return compose(
            notice_id=notice_id_of(alert_id, finding.series_key, finding.revision, Purpose.ALARM, Occasion(), address),
            alert_id=alert_id,
            study_key=finding.study_key,
            purpose=Purpose.ALARM,
            decision=decision,
            finding=finding,
            recipient=TEST_RECIPIENT,
            round_number=0,
            decided_at=now,
            link=self._links.study(finding.study_key),
            acknowledge_link=None,
            place=self._links.place,
        )
