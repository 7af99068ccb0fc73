"""The spool: a crash-safe journal between the sender's Success and Kafka's acknowledgement.

Laws: a record is visible to the publisher only once it is synced; a failed write leaves no trace that is published as
accepted; a segment disappears only after all its messages were acknowledged; what was not acknowledged at a crash is
published again.
"""
