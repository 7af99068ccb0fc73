"""Errors of the contracts.

ContractError
├── MalformedEvent      the bytes are not the event the topic promises: the producer's fault, not retriable
├── WeakSecret          a secret file holds too few bytes: the operator's fault
└── IdentityUnreadable  wrong key, or the envelope was altered: the operator's fault, or an attack
"""


class ContractError(Exception):
    """Root of this tree."""


class MalformedEvent(ContractError):
    """The bytes do not parse as the event of their topic."""


class WeakSecret(ContractError):
    """A secret is shorter than its use demands."""


class IdentityUnreadable(ContractError):
    """An identity envelope could not be opened with this key."""
