"""The door: a DICOM node that takes head CT from scanners and never loses what it said it has.

Laws: Success is answered only after the object is durable in the spool; pixels are never re-encoded; whatever leaves
on a working topic carries no identity; one bad object, one bad peer or a missing Kafka stops nobody else.
"""
