"""Roles and what they may do: the whole of it, in two tables.

A permission's value is also the name of the scope by which an API token carries it.
"""

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    """One thing that somebody may do."""

    SEE_STUDIES = "studies:read"
    """Worklist, verdicts, findings and the life of alerts; studies go by their keys."""
    SEE_IDENTITIES = "identities:read"
    """Names, birth dates and numbers of the patients."""
    SEE_IMAGES = "images:read"
    """Pictures and slices."""
    ACKNOWLEDGE = "alerts:acknowledge"
    HAND_OVER = "alerts:hand-over"
    GIVE_FEEDBACK = "feedback:write"
    """Say that a finding is right or wrong."""
    SEE_ON_CALL = "on-call:read"
    EDIT_ON_CALL = "on-call:write"
    """Decides who is told: as strong as acknowledging in everyone's name."""
    SEE_SYSTEM = "system:read"
    """How the service itself is doing: deliveries, channels, queues."""
    READ_RECORD = "record:read"
    """The record of decisions and views."""
    MANAGE_ACCESS = "access:write"
    """Accounts and tokens."""


class Role(StrEnum):
    DOCTOR = "doctor"
    ADMIN = "admin"
    """Runs the service for the department; sees no patient."""
    OPS = "ops"
    """Keeps it running; sees studies by their keys only."""


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.DOCTOR: frozenset(
        {
            Permission.SEE_STUDIES,
            Permission.SEE_IDENTITIES,
            Permission.SEE_IMAGES,
            Permission.ACKNOWLEDGE,
            Permission.HAND_OVER,
            Permission.GIVE_FEEDBACK,
            Permission.SEE_ON_CALL,
        }
    ),
    Role.ADMIN: frozenset(
        {
            Permission.SEE_ON_CALL,
            Permission.EDIT_ON_CALL,
            Permission.SEE_SYSTEM,
            Permission.READ_RECORD,
            Permission.MANAGE_ACCESS,
        }
    ),
    Role.OPS: frozenset({Permission.SEE_STUDIES, Permission.SEE_ON_CALL, Permission.SEE_SYSTEM}),
}

WORDS = {
    Permission.SEE_STUDIES: "see the worklist, findings and alerts",
    Permission.SEE_IDENTITIES: "see the patients' names",
    Permission.SEE_IMAGES: "see images",
    Permission.ACKNOWLEDGE: "acknowledge alerts",
    Permission.HAND_OVER: "hand alerts over",
    Permission.GIVE_FEEDBACK: "say whether a finding is right",
    Permission.SEE_ON_CALL: "see who is on call",
    Permission.EDIT_ON_CALL: "change who is on call",
    Permission.SEE_SYSTEM: "see how the service is doing",
    Permission.READ_RECORD: "read the record",
    Permission.MANAGE_ACCESS: "see accounts and tokens",
}

THIS_MACHINE = PERMISSIONS[Role.DOCTOR] | PERMISSIONS[Role.OPS] | {Permission.EDIT_ON_CALL}
"""What anybody on this machine may do while the page is on loopback and no account exists. Accounts and tokens are made
with the command line, so that nobody makes himself one by a page that asks nothing."""


def permissions_of(roles: Iterable[Role]) -> frozenset[Permission]:
    """What somebody with all these roles may do."""
    return frozenset().union(*(PERMISSIONS[role] for role in roles))
