"""E-mail by SMTP (RFC 5321), with STARTTLS, implicit TLS, or neither for a relay on this machine.

Accepted means that the server answered 250 to the message. The Message-ID is made of the notice's id, so that a mail
sent twice after a crash is one mail to the reader's program.
"""

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from alerts.channels.deadline import deadline
from alerts.errors import ChannelBroken, ChannelBusy, ChannelError, ChannelRefused, ChannelTimedOut, ChannelUnreachable
from alerts.messages import Message, Purpose
from alerts.recipients import ChannelKind, EmailAddress

STEP_SECONDS = 5.0
"""For one step of the conversation."""

TIMEOUT_SECONDS = 10.0
"""For the whole of it; shorter than the outbox's lease."""

TRANSIENT = range(400, 500)
"""RFC 5321 4.2.1: try again later."""


class Security(StrEnum):
    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class Smtp(BaseModel):
    """The mail server to hand messages to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    security: Security = Security.STARTTLS
    username: str | None = None
    password: SecretStr | None = None
    sender: EmailAddress
    helo_name: str = "tocsin"

    @model_validator(mode="after")
    def _password_is_protected(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("give both a user name and a password, or neither")
        if self.username is not None and self.security is Security.NONE:
            raise ValueError("a password would travel in the clear: set security to starttls or tls")
        return self


Connect = Callable[[Smtp], smtplib.SMTP]


def connect(settings: Smtp) -> smtplib.SMTP:
    """A greeted connection; certificates are checked against the system's authorities."""
    where = (settings.host, settings.port)
    if settings.security is Security.TLS:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(*where, settings.helo_name, timeout=STEP_SECONDS, context=context)
    return smtplib.SMTP(*where, settings.helo_name, timeout=STEP_SECONDS)


class EmailChannel:
    """Mails one recipient."""

    kind = ChannelKind.EMAIL

    def __init__(self, settings: Smtp, to: str, connect: Connect = connect) -> None:
        self._settings = settings
        self.provider = f"{settings.host}:{settings.port}"
        self._to = to
        self._connect = connect

    def send(self, message: Message) -> None:
        """Deliver: done when the server has taken the message.

        Raises:
            ChannelError: it has not, or may not have.
        """
        mail = mail_of(message, self._settings.sender, self._to)
        accepted = False
        with deadline(TIMEOUT_SECONDS) as conversation:
            try:
                with self._connect(self._settings) as server:
                    conversation.watch(server.sock)
                    self._open(server)
                    server.send_message(mail)
                    accepted = True
            except Exception as error:
                if accepted:
                    return  # it has the message; how it says good-bye does not matter
                if conversation.passed.is_set():
                    raise ChannelTimedOut("no complete answer in time") from None
                if failure := failure_of(error):
                    raise failure from None
                raise

    def _open(self, server: smtplib.SMTP) -> None:
        if self._settings.security is Security.STARTTLS:
            server.starttls(context=ssl.create_default_context())
        if self._settings.username and self._settings.password:
            server.login(self._settings.username, self._settings.password.get_secret_value())


def failure_of(error: Exception) -> ChannelError | None:
    """What an error of the conversation means for the delivery; None for one that is not of SMTP."""
    match error:
        case smtplib.SMTPRecipientsRefused():
            codes = [code for code, _ in error.recipients.values()]
            return _by_code(codes[0] if codes else 0)
        case smtplib.SMTPResponseException():
            return _by_code(error.smtp_code)
        case smtplib.SMTPNotSupportedError():
            return ChannelRefused("the server lacks STARTTLS or a way to sign in")
        case smtplib.SMTPServerDisconnected():
            return ChannelUnreachable("the server hung up")
        case smtplib.SMTPException():
            return ChannelBroken(type(error).__name__)
        case TimeoutError():
            return ChannelTimedOut("no answer in time")
        case ssl.SSLError():
            return ChannelUnreachable(f"TLS failed: {type(error).__name__}")
        case OSError():
            return ChannelUnreachable(error.strerror or type(error).__name__)
    return None


def _by_code(code: int) -> ChannelError:
    detail = f"answered {code}"
    return ChannelBusy(detail) if code in TRANSIENT else ChannelRefused(detail)


def mail_of(message: Message, sender: str, to: str) -> EmailMessage:
    """The message as plain-text mail."""
    mail = EmailMessage()
    mail["Subject"] = f"[Tocsin] {message.headline} ({message.study})"
    mail["From"], mail["To"] = sender, to
    mail["Date"] = format_datetime(message.decided_at)
    mail["Message-ID"] = f"<{message.notice_id}@{sender.rpartition('@')[2]}>"
    thread = f"<{message.alert_id}.alert@{sender.rpartition('@')[2]}>"
    mail["References"] = thread
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice shall answer
    if message.purpose in (Purpose.ALARM, Purpose.REMINDER, Purpose.HANDED_OVER):
        mail["Importance"] = "high"
    mail.set_content(message.text)
    return mail
