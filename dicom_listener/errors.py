"""Errors of the listener.

ListenerError
├── CannotStart     a setting, secret, port or folder is unusable: the operator's fault, the process ends
├── Unacceptable    an object cannot be accepted: the sender's fault, not retriable with the same bytes
└── SpoolError      the object could not be made durable: ours, the sender may retry
    ├── SpoolFull   the configured bound or the disk is exhausted
    ├── SpoolFailed the disk refused to write or to sync
    └── SpoolDamaged what was written is not what is read back: the disk's, kept for an operator
"""

from streams.contracts.series import RefusalReason


class ListenerError(Exception):
    """Root of this tree."""


class CannotStart(ListenerError):
    """The service cannot start; the text is one sentence for the operator."""


class Unacceptable(ListenerError):
    """An object is refused.

    Args:
        reason: for the ledger, the counter and the DIMSE status.
        comment: for the sender's log; at most 64 characters and never a value of the object (PS3.7 C, Error Comment).
        status: where the reason's usual DIMSE status is not the right one.
    """

    def __init__(self, reason: RefusalReason, comment: str, status: int | None = None) -> None:
        super().__init__(comment)
        self.reason = reason
        self.comment = comment
        self.status = status


class SpoolError(ListenerError):
    """Root of what can go wrong with the spool."""


class SpoolFull(SpoolError):
    """No room."""


class SpoolFailed(SpoolError):
    """The disk did not take it."""


class SpoolDamaged(SpoolError):
    """A message is not what was written."""
