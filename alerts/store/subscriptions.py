"""The browsers that recipients have subscribed to pushes."""

import hashlib
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from alerts.channels.push import Keys, Subscription
from alerts.store.database import Database
from alerts.store.schema import Browser
from alerts.store.studies import insert_missing

MOST_PER_RECIPIENT = 10


class SubscriptionBook:
    """The subscriptions in the store, for the push channels."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, recipient: str) -> list[Subscription]:
        """A recipient's browsers, the newest first.

        Raises:
            StoreUnavailable: try again.
        """
        with self._database.reading() as session:
            return [_subscription(browser) for browser in browsers_of(session, recipient)]

    def remove(self, subscription: Subscription) -> None:
        with self._database.writing() as session:
            unsubscribe(session, subscription.endpoint)


def browsers_of(session: Session, recipient: str) -> list[Browser]:
    newest = select(Browser).where(Browser.recipient == recipient).order_by(Browser.subscribed_at.desc())
    return list(session.scalars(newest.limit(MOST_PER_RECIPIENT)))


def subscribers(session: Session) -> frozenset[str]:
    """The recipients who have a browser."""
    return frozenset(session.scalars(select(Browser.recipient).distinct()))


def subscribe(session: Session, recipient: str, subscription: Subscription, by: str, now: datetime) -> None:
    """Keep a browser for a recipient; a browser that changes hands goes to the new one."""
    unsubscribe(session, subscription.endpoint)
    insert_missing(
        session,
        Browser,
        digest=_digest(subscription.endpoint),
        recipient=recipient,
        endpoint=subscription.endpoint,
        p256dh=subscription.keys.p256dh,
        auth=subscription.keys.auth,
        subscribed_at=now,
        subscribed_by=by,
    )


def unsubscribe(session: Session, endpoint: str) -> None:
    session.execute(delete(Browser).where(Browser.digest == _digest(endpoint)))


def _subscription(browser: Browser) -> Subscription:
    return Subscription(endpoint=browser.endpoint, keys=Keys(p256dh=browser.p256dh, auth=browser.auth))


def _digest(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()
