"""What travels between the services: events, topics, pseudonymous keys, encrypted identities.

Laws: pydantic and cryptography only, no I/O, no clock, no randomness that is not an argument. An event that exists
is valid; a topic's version is in its name, and the bytes of a version never change (golden-bytes tests).
"""
