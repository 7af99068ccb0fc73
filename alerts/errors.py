"""Errors of the alert service.

AlertsError
├── SettingsRefused       the operator's: a setting that is missing, invalid or unsafe; not retriable
├── StoreUnavailable      the database cannot be reached or written: retriable, nothing was changed
├── BrokerUnavailable     Kafka has not confirmed a message: retriable, the message may be there
├── StoreRefused          the database will not hold this message: the message's fault, not retriable
├── RotaRefused           the editor's: an on-call document that cannot be used; nothing was saved
├── RotaChanged           the editor's: somebody else has saved another version in the meantime
├── UnknownAlert          the caller's: no alert of this id
├── UnknownStudy          the caller's: no study of this key
├── HandOverRefused       the caller's: to nobody who can be told, or of an alert that needs no answer any more
├── LinkRefused           the caller's: an acknowledge link that is altered or too old
├── AccessError           the caller's: who asks may not do this
│   ├── NotSignedIn           nobody knows who asks
│   ├── NotAllowed            known, but the role or the token does not allow it
│   ├── NotInOthersNames      somebody would act in another's name
│   ├── NameMissing           it must be said who acts, and is not
│   ├── ForeignForm           a form that may come from another web site
│   ├── SignInRefused         login, password or code is wrong, or the account has no role
│   ├── TriedTooOften         guessing; wait
│   ├── InvitationRefused     used or expired
│   ├── PasswordRefused       too short or too simple
│   ├── CodeRefused           not the code of the authenticator app
│   ├── SignOnFailed          the hospital's sign-on is away, refused, or was not begun here
│   ├── AccountRefused        the administrator's: no such account, or it cannot be so
│   └── TokenRefused          likewise for tokens
├── AlertBroken           an event that the life of an alert does not allow: ours, a bug
└── ChannelError          a message did not get through; each says how to go on, see :class:`FailureKind`
    ├── ChannelUnreachable    no connection, name or route: retriable soon
    ├── ChannelTimedOut       connected, no answer in time: retriable; may have arrived
    ├── ChannelBusy           the far side asks to wait (429, 503, SMTP 4xx): retriable later
    ├── ChannelRefused        the far side will not have it (4xx, SMTP 5xx): the settings' fault, retried slowly
    └── ChannelBroken         anything else the far side or the channel did: retriable later
"""

from enum import StrEnum


class AlertsError(Exception):
    """Root of this tree."""


class SettingsRefused(AlertsError):
    """The service cannot start with these settings; the message says what to change."""


class StoreUnavailable(AlertsError):
    """Try the same again later."""


class BrokerUnavailable(AlertsError):
    """Send the same again later."""


class StoreRefused(AlertsError):
    """The same again would fail again."""


class RotaRefused(AlertsError):
    """An on-call document that cannot be used; the sentence says what is wrong with it."""


class RotaChanged(AlertsError):
    """The version that was edited is no longer the newest."""


class UnknownAlert(AlertsError):
    """No such alert."""


class UnknownStudy(AlertsError):
    """No such study."""


class HandOverRefused(AlertsError):
    """The sentence is for whoever tried."""


class LinkRefused(AlertsError):
    """An acknowledge link that is not ours, or no longer valid."""


class AccessError(AlertsError):
    """The sentence is for whoever asks."""


class NotSignedIn(AccessError):
    """Sign in, or send a token."""


class NotAllowed(AccessError):
    """Signing in again would not help."""


class NotInOthersNames(AccessError):
    """Everybody answers for themselves."""


class NameMissing(AccessError):
    """An act needs a name."""


class ForeignForm(AccessError):
    """What changes something must come from our own pages."""


class SignInRefused(AccessError):
    """Does not say which part was wrong."""


class TriedTooOften(AccessError):
    """Not even looked at."""

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds


class InvitationRefused(AccessError):
    """Ask for another one."""


class PasswordRefused(AccessError):
    """Choose another one."""


class CodeRefused(AccessError):
    """Take the one that the app shows now."""


class SignOnFailed(AccessError):
    """Begin it again, or sign in with a local account."""


class AccountRefused(AccessError):
    """The change of an account was not made."""


class TokenRefused(AccessError):
    """The change of a token was not made."""


class AlertBroken(AlertsError):
    """A transition that the table of :mod:`alerts.life` does not have."""


class FailureKind(StrEnum):
    """How a send failed: label of the metric, key of the back-off table."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    BUSY = "busy"
    REFUSED = "refused"
    BROKEN = "broken"


class ChannelError(AlertsError):
    """A message did not get through. The text is for the operator and carries no message content."""

    kind = FailureKind.BROKEN

    def __init__(self, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class ChannelUnreachable(ChannelError):
    kind = FailureKind.UNREACHABLE


class ChannelTimedOut(ChannelError):
    kind = FailureKind.TIMED_OUT


class ChannelBusy(ChannelError):
    kind = FailureKind.BUSY


class ChannelRefused(ChannelError):
    kind = FailureKind.REFUSED


class ChannelBroken(ChannelError):
    kind = FailureKind.BROKEN
