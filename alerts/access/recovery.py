"""Recovery codes: they let the owner of an account in while the phone with the authenticator app is not at hand.

Laws: a code counts once, in the place of the app's code and never in that of the password; kept as keyed digests; a new
set-up makes new ones, a reset leaves none.
"""

from collections.abc import Iterable

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from alerts.access.tables import RecoveryCode


def keep(session: Session, login: str, digests: Iterable[str]) -> None:
    """These, and no earlier ones."""
    forget(session, login)
    session.add_all(RecoveryCode(digest=digest, login=login) for digest in digests)


def forget(session: Session, login: str) -> None:
    session.execute(delete(RecoveryCode).where(RecoveryCode.login == login))


def spend(session: Session, login: str, digest: str) -> bool:
    """Whether there was such a code; there is none any more."""
    mine = select(RecoveryCode).where(RecoveryCode.login == login, RecoveryCode.digest == digest)
    code = session.scalars(mine.with_for_update()).one_or_none()
    if code is None:
        return False
    session.delete(code)
    session.flush()
    return True


def left(session: Session, login: str) -> int:
    """How many have not been used."""
    return session.scalar(select(func.count()).where(RecoveryCode.login == login)) or 0
