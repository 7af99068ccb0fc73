"""The dead-man's study: what marks an object as one, so that no patient is ever taken for it.

A synthetic bleed goes through the real door every few minutes, to a test recipient. Two things mark each of its
objects: the calling AE title below, and a seal in a private element, which is a keyed hash of the object's UIDs *and of
its pixels* (:meth:`streams.contracts.ids.SiteSecret.heartbeat_seal`). Only who holds the site secret can seal, and a
seal is worth nothing on other pixels or under other UIDs. What is not marked in both ways is a patient.
"""

CALLING_AE = "TOCSIN-HEARTBEAT"
"""Exactly the 16 characters that an AE title may have (PS3.5 6.2)."""

PRIVATE_GROUP = 0x0011
PRIVATE_CREATOR = "TOCSIN HEARTBEAT"
SEAL_ELEMENT = 0x01
"""Of the private block (PS3.5 7.8.1), with value representation LO."""
