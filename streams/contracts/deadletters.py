"""``triage.deadletter.v1``: what could not be processed, whole, with the reason. Key and value as in the source.

The event below travels in the Kafka header named by :data:`DEADLETTER_HEADER`, beside the source's own headers.
"""

from enum import StrEnum

from pydantic import AwareDatetime, NonNegativeInt

from streams.contracts.event import Event

DEADLETTER_HEADER = "deadletter"


class DeadLetterReason(StrEnum):
    MALFORMED_MESSAGE = "malformed_message"
    PIXELS_UNREADABLE = "pixels_unreadable"
    INFERENCE_FAILED = "inference_failed"
    IDENTITY_UNREADABLE = "identity_unreadable"
    REJECTED_BY_BROKER = "rejected_by_broker"
    INTERNAL_ERROR = "internal_error"


class MessageSetAside(Event):
    """A message was taken out of the flow and kept for an operator (``tocsin deadletter``)."""

    service: str
    source_topic: str
    source_partition: NonNegativeInt | None = None
    source_offset: NonNegativeInt | None = None
    reason: DeadLetterReason
    detail: str = ""
    """For the operator; never the contents of the message."""
    at: AwareDatetime
