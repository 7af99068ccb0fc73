"""Errors of the streams.

StreamsError
├── PixelsUnreadable   the frame's bytes do not decode to what its header promises: the sender's fault, not retriable
├── PartitionLayoutUnknown  the topics are not there or do not match: the operator's fault, retriable
└── StateNotDurable    the series state did not reach the changelog: the broker's fault; the process ends, and the
                       slice is processed again
"""


class StreamsError(Exception):
    """Root of this tree."""


class PixelsUnreadable(StreamsError):
    pass


class PartitionLayoutUnknown(StreamsError):
    pass


class StateNotDurable(StreamsError):
    pass
