"""``triage.alerts.v1``: the life of an alert. Key: ``study_key``.

*Sent*, *delivered* and *acknowledged* are three states: handed to the transport, accepted by the channel, answered
by a human.
"""

from enum import StrEnum

from pydantic import AwareDatetime

from streams.contracts.event import Event
from streams.contracts.ids import Key


class AlertState(StrEnum):
    RAISED = "raised"
    SENT = "sent"
    DELIVERED = "delivered"
    DELIVERY_FAILED = "delivery_failed"
    ACKNOWLEDGED = "acknowledged"
    ESCALATED = "escalated"
    HANDED_OVER = "handed_over"
    CONFIRMED = "confirmed"
    AMENDED = "amended"
    RETRACTED = "retracted"
    CLOSED = "closed"


class AlertChanged(Event):
    """An alert moved on.

    Emitted by alerts, consumed by anyone. ``recipient`` is the name of a recipient in the site's settings (a role or
    a user name), never a patient's.
    """

    alert_id: Key
    study_key: Key
    state: AlertState
    at: AwareDatetime
    finding_revision: int | None = None
    series_key: Key | None = None
    recipient: str | None = None
    channel: str | None = None
    by: str | None = None
    reason: str | None = None
