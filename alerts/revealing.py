"""Puts what identifies a patient into a message at the moment it is sent, where the site has allowed it.

Laws: it is opened for the message alone and kept nowhere; a message is never held up for an identity that is not there
or cannot be opened.
"""

from collections.abc import Callable

from alerts.errors import StoreUnavailable
from alerts.messages import Message, MessagePart, with_patient
from alerts.store.database import Database
from alerts.worklist import study_identities
from streams.contracts.identities import IdentityCipher


def revealing(
    database: Database, cipher: IdentityCipher | None, parts: frozenset[MessagePart]
) -> Callable[[Message], Message]:
    """What delivery hands each message through."""
    if cipher is None or not any(part.identifies for part in parts):
        return lambda message: message

    def reveal(message: Message) -> Message:
        try:
            with database.reading() as session:
                identity = study_identities(session, cipher, [message.study_key]).get(message.study_key)
        except StoreUnavailable:
            return message
        return with_patient(message, identity, parts) if identity else message

    return reveal
