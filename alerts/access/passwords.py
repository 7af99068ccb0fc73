"""Passwords: which are taken, and how they are kept (argon2id, RFC 9106)."""

from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from alerts.errors import PasswordRefused

SHORTEST = 12
LONGEST = 256
FEWEST_DIFFERENT = 5
AT_THE_SAME_TIME = 2
"""Each verification takes 64 MiB: a flood of them must not take the memory of the service that rings."""

_hasher = PasswordHasher()
_turn = BoundedSemaphore(AT_THE_SAME_TIME)


def check_new(password: str, login: str) -> None:
    """Refuse what is guessed first.

    Raises:
        PasswordRefused: too short, too long, or too simple; the sentence says which.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordRefused(f"The password needs between {SHORTEST} and {LONGEST} characters.")
    if len(set(password)) < FEWEST_DIFFERENT or login.lower() in password.lower() or "tocsin" in password.lower():
        raise PasswordRefused("This password is guessed too easily. Take a few words that do not belong together.")


def hashed(password: str) -> str:
    with _turn:
        return _hasher.hash(password)


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the password that was kept; takes as long when none was."""
    if len(password) > LONGEST:
        return False
    with _turn:
        try:
            return _hasher.verify(kept or nobodys(), password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def nobodys() -> str:
    """Verified against where there is no account, so that the time tells nothing."""
    return _hasher.hash("nobody's password")


def is_outdated(kept: str) -> bool:
    """Whether it was hashed with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)
