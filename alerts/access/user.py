"""Who is asking."""

from dataclasses import dataclass
from enum import StrEnum

from alerts.access.permissions import THIS_MACHINE, Permission
from alerts.errors import NameMissing, NotInOthersNames


class Means(StrEnum):
    """How somebody was recognised."""

    SESSION = "session"
    """Signed in with a browser."""
    TOKEN = "token"  # noqa: S105 - a word, no secret
    """An API token: a program."""
    THIS_MACHINE = "this_machine"
    """Nobody was asked: loopback, and no account exists."""


@dataclass(frozen=True)
class User:
    """Whoever a request comes from; ``request.state.user``."""

    login: str
    """Unique name; of a token, the token's name."""
    name: str
    """As people say it, such as ``Dr Anna Grün``."""
    permissions: frozenset[Permission]
    means: Means
    session: str = ""
    """Digest of the session or id of the token, for the record."""

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions

    @property
    def is_person(self) -> bool:
        """Whether the name is known to be that of the human who acts."""
        return self.means is Means.SESSION

    def acting_as(self, claimed: str | None) -> str:
        """The name under which an act of this user goes on record.

        A person who has signed in acts in his or her own name. A program, and anybody on this machine, must say for
        whom; a program's own name goes along.

        Raises:
            NotInOthersNames: a person claims to be somebody else.
            NameMissing: nobody says who acts.
        """
        if self.is_person:
            if claimed and claimed not in (self.name, self.login):
                raise NotInOthersNames(f"You are signed in as {self.name} and can only answer in that name.")
            return self.name
        if not claimed:
            raise NameMissing("Say who acts: give a name.")
        return f"{claimed}, through {self.name}" if self.means is Means.TOKEN else claimed


ANYBODY_HERE = User("this machine", "this machine", THIS_MACHINE, Means.THIS_MACHINE)
