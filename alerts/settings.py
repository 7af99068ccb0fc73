"""The settings of the alert service, from the environment (prefix ``TOCSIN_ALERTS_``) and secret files.

Laws: an invalid, unknown or unsafe setting stops the service with one sentence that names it; no sentence repeats a
secret.
"""

import ipaddress
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AliasChoices, Field, NonNegativeFloat, PositiveFloat, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from alerts.access.sessions import Lifetime
from alerts.access.sign_on import SignOn
from alerts.channels.email import Smtp
from alerts.channels.push import PUSH_SERVICES
from alerts.decision import Policy, TellNotAssessable
from alerts.errors import RotaRefused, SettingsRefused
from alerts.messages import MessagePart
from alerts.pacs import PacsLink
from alerts.plan import checked_document
from alerts.recipients import ChannelKind, Recipients, Webhook
from alerts.store.claims import Flood
from streams.contracts.errors import WeakSecret
from streams.contracts.identities import IdentityCipher

PREFIX = "TOCSIN_ALERTS_"
SECRETS_DIR = "TOCSIN_SECRETS_DIR"
MOUNTED_SECRETS = "/run/secrets"
"""Where container platforms put secrets. A file there named as a setting is its value; the environment goes first."""
IDENTITY_KEY_FILE = "TOCSIN_IDENTITY_KEY_FILE"
BOOTSTRAP_SERVERS = "KAFKA_BOOTSTRAP_SERVERS"

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Field ``host`` is ``TOCSIN_ALERTS_HOST``, and so on."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, use_attribute_docstrings=True
    )

    kafka_bootstrap_servers: CommaSeparated = Field(
        default=("127.0.0.1:9092",), validation_alias=AliasChoices(BOOTSTRAP_SERVERS), min_length=1
    )
    """host:port, several separated by commas."""
    kafka_group: str = "tocsin-alerts"
    """Consumer group; instances that share a database share it."""
    identity_key_file: Path | None = Field(default=None, validation_alias=AliasChoices(IDENTITY_KEY_FILE))
    """Exactly 32 bytes; opens the identities. Without it studies show as hashes."""
    database_url: str = "sqlite:///tocsin-alerts.sqlite3"
    """SQLAlchemy address: SQLite, or PostgreSQL for more than one instance."""
    pictures_url: str | None = None
    """SQLAlchemy address of the slices that doctors look at; beside the store when absent."""
    pictures_keep_hours: PositiveFloat = 72
    """How long slices can be looked at on the page."""
    pacs_url: str | None = None
    """Address of a study in the site's own viewer, with {StudyInstanceUID}, {AccessionNumber} or {PatientID} in it;
    shown to those who may see identities."""
    host: str = "127.0.0.1"
    """Where the page listens; beyond loopback everybody must sign in, and it needs TLS; see docs/access.md."""
    port: int = Field(default=8080, ge=0, le=65535)
    metrics_host: str = "127.0.0.1"
    """Where /metrics, /healthz and /readyz are."""
    metrics_port: int = Field(default=9103, ge=0, le=65535)
    public_url: str | None = None
    """Address of the page as people reach it; links in messages start with it."""
    allowed_hosts: CommaSeparated = ()
    """Further host names under which the page may be asked for, separated by commas."""
    tls_certificate_file: Path | None = None
    """Certificate of the page with its chain, PEM."""
    tls_key_file: Path | None = None
    """Its private key, PEM, without a passphrase."""
    trusted_proxies: CommaSeparated = ()
    """Addresses or networks of proxies in front of the page, which end TLS and say where a request came from."""
    plain_http: bool = False
    """Serve beyond loopback without TLS: passwords can then be read on the way. For a closed test network only."""
    second_factor: bool = True
    """Local accounts need an authenticator app."""
    session_hours: PositiveFloat = Field(default=12, le=168)
    """How long a sign-in lasts at most."""
    session_idle_minutes: PositiveFloat = Field(default=120, le=10080)
    """How long it lasts while nobody does anything."""
    sign_on: SignOn | None = None
    """The hospital's OpenID Connect provider, as JSON; see docs/access.md."""
    instance: str | None = None
    """Name of this instance, the same after a restart; host:port when absent."""
    recipients_file: Path | None = None
    """Who can be told; see docs/alerts.md."""
    recipients: str | None = None
    """The recipients document itself, instead of a file."""
    heartbeat_webhook: Webhook | None = None
    """Test recipient of the dead-man's study, as JSON: url and secret. No doctor gets that study."""
    oncall_file: Path | None = None
    """Teams, rotations and escalation, taken up when it is new; without any, everybody is told at once."""
    remind_after_seconds: PositiveFloat = 300
    """Without an on-call document: how long until everybody is told again."""
    smtp: Smtp | None = None
    """Mail server, as JSON; see docs/alerts.md."""
    push_services: CommaSeparated = PUSH_SERVICES
    """Hosts of the push services that may be posted to; an origin, such as http://127.0.0.1:9000, is taken as it is."""
    push_contact: str | None = Field(default=None, pattern=r"^(mailto:[^@ ]+@[^@ ]+|https://[^ ]+)$")
    """Whom a push service may write to, mailto: or https:; the mail sender or the page's address when absent."""
    message_parts: Annotated[tuple[MessagePart, ...], NoDecode] = tuple(p for p in MessagePart if not p.identifies)
    """What messages may say, separated by commas; nothing that identifies the patient unless named here."""
    flood_after: int = Field(default=3, ge=1, le=1000)
    """Messages to one person on one channel within a minute, after which further ones are bundled."""
    flood_hold_seconds: float = Field(default=10, ge=0, le=20)
    """How long messages wait for each other in a flood."""
    place: str = Field(default="", max_length=80)
    """Name of the site or department, shown in messages."""
    workers: int = Field(default=8, ge=1, le=64)
    """Messages that are delivered at the same time."""
    tell_failed: bool = True
    """Ring for series that this system failed to analyse."""
    tell_not_assessable: TellNotAssessable = TellNotAssessable.ALONE
    """Ring for series that cannot be assessed: never, alone (no series of the study could), at_once."""
    tell_confirmed: bool = False
    """Ring again when the complete series confirms a provisional bleed."""
    wait_for_other_series_seconds: NonNegativeFloat = 90
    """How long a series that cannot be assessed waits for another one of its study."""
    result_within_seconds: PositiveFloat = 600
    """A study without any result for so long is told as not analysed."""
    late_after_seconds: PositiveFloat = 600
    """A finding that comes this long after its last slice is marked late."""
    page_within_seconds: PositiveFloat = 24 * 3600
    """A finding older than this is listed and rings nobody."""
    join_within_seconds: NonNegativeFloat = 1800
    """A re-scan of the same patient within this joins the alert of the first study; needs the identity key."""
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """Threshold of the journal."""

    @field_validator(
        "kafka_bootstrap_servers", "allowed_hosts", "trusted_proxies", "push_services", "message_parts", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("must be like https://tocsin.hospital.example, without a path")
        return value.rstrip("/")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if ipaddress.ip_network(value, strict=False).prefixlen == 0:
                raise ValueError("everybody cannot be trusted to say where a request came from")
        return values

    @property
    def lifetime(self) -> Lifetime:
        return Lifetime(timedelta(hours=self.session_hours), timedelta(minutes=self.session_idle_minutes))

    @property
    def asks_nobody_here(self) -> bool:
        """Whether the page is for this machine alone: then it asks nobody who they are until there is an account."""
        others = (urlsplit(self.public_url).hostname or "") if self.public_url else "localhost"
        return is_loopback(self.host) and is_loopback(others) and not self.sign_on and not self.trusted_proxies

    @field_validator("pacs_url")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        return None if value is None else PacsLink(value).template

    @property
    def contact(self) -> str:
        """Whom a push service may write to (RFC 8292 2.1)."""
        if self.push_contact is None and self.smtp is not None:
            return f"mailto:{self.smtp.sender}"
        return self.push_contact or self.public_url or "mailto:tocsin@localhost.invalid"

    def flood(self) -> Flood:
        return Flood(self.flood_after, hold=timedelta(seconds=self.flood_hold_seconds))

    def policy(self) -> Policy:
        return Policy(
            tell_failed=self.tell_failed,
            tell_not_assessable=self.tell_not_assessable,
            tell_confirmed=self.tell_confirmed,
            wait_for_other_series=timedelta(seconds=self.wait_for_other_series_seconds),
            result_within=timedelta(seconds=self.result_within_seconds),
            late_after=timedelta(seconds=self.late_after_seconds),
            page_within=timedelta(seconds=self.page_within_seconds),
            join_within=timedelta(seconds=self.join_within_seconds),
        )


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the settings.

    Raises:
        SettingsRefused: unknown, invalid or unsafe; the sentence names the setting.
    """
    _refuse_unknown(environment)
    try:
        settings = Settings(_secrets_dir=_secrets_folder(environment))
    except ValidationError as error:
        raise SettingsRefused(_sentence(error)) from None
    except ValueError as error:  # a nested setting that is not JSON
        raise SettingsRefused(f"a setting cannot be parsed: {error}") from None
    if wrong := unsafe_page(settings):
        raise SettingsRefused(wrong)
    return settings


def page_refusal(host: str) -> str | None:
    """Why the page may not be served on this host with the settings in the environment; None when it may.

    Settings that are wrong in another way are left to the service to refuse.
    """
    try:
        return unsafe_page(Settings(host=host))
    except ValueError:
        return None


def unsafe_page(settings: Settings) -> str | None:
    """Why the page may not be served like this, in a sentence; None when it may."""
    has_tls, https = settings.tls_certificate_file is not None, (settings.public_url or "").startswith("https://")
    if has_tls != (settings.tls_key_file is not None):
        return f"set both {PREFIX}TLS_CERTIFICATE_FILE and {PREFIX}TLS_KEY_FILE, or neither"
    if has_tls and settings.public_url and not https:
        return f"{PREFIX}PUBLIC_URL must begin with https://, for the page has a certificate"
    if settings.trusted_proxies and not https and not settings.plain_http:
        return f"{PREFIX}TRUSTED_PROXIES needs {PREFIX}PUBLIC_URL, the https:// address that the proxy serves"
    if is_loopback(settings.host):
        return None
    if settings.public_url is None:
        return (
            f"{PREFIX}HOST is {settings.host}: set {PREFIX}PUBLIC_URL too, the address by which people reach the page"
        )
    if not (has_tls or settings.trusted_proxies or settings.plain_http):
        return (
            f"{PREFIX}HOST is {settings.host}: beyond loopback the page needs TLS; set {PREFIX}TLS_CERTIFICATE_FILE "
            f"and {PREFIX}TLS_KEY_FILE, or {PREFIX}TRUSTED_PROXIES, or for a closed test network {PREFIX}PLAIN_HTTP"
        )
    return None


def _secrets_folder(environment: Mapping[str, str]) -> Path | None:
    folder = Path(environment.get(SECRETS_DIR, MOUNTED_SECRETS))
    return folder if folder.is_dir() else None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_recipients(settings: Settings) -> Recipients | None:
    """The recipients; None where none are set.

    Raises:
        SettingsRefused: unreadable, invalid, or somebody can only be reached by a channel that is not set up.
    """
    where, text = _recipients_text(settings)
    if text is None:
        return None
    try:
        recipients = Recipients.model_validate(yaml.safe_load(text))
    except yaml.YAMLError:
        raise SettingsRefused(f"{where} is neither JSON nor YAML") from None
    except ValidationError as error:
        raise SettingsRefused(f"{where}: {_sentence(error)}") from None
    mailed = [r.name for r in recipients.recipients if ChannelKind.EMAIL in r.channels]
    if mailed and settings.smtp is None:
        raise SettingsRefused(f"{where} has an e-mail address for {mailed[0]!r}, but {PREFIX}SMTP is not set")
    return recipients


def _recipients_text(settings: Settings) -> tuple[str, str | None]:
    if settings.recipients_file and settings.recipients:
        raise SettingsRefused(f"set {PREFIX}RECIPIENTS_FILE or {PREFIX}RECIPIENTS, not both")
    if settings.recipients_file is None:
        return f"{PREFIX}RECIPIENTS", settings.recipients
    where = f"{PREFIX}RECIPIENTS_FILE"
    return where, _text_of(settings.recipients_file, where)


def load_oncall(settings: Settings, recipients: Recipients | None, now: datetime) -> str | None:
    """The text of the on-call file; None where none is set.

    Raises:
        SettingsRefused: unreadable, invalid, or it names somebody who cannot be reached.
    """
    if settings.oncall_file is None:
        return None
    where = f"{PREFIX}ONCALL_FILE"
    text = _text_of(settings.oncall_file, where)
    try:
        checked_document(text, recipients, now)
    except RotaRefused as error:
        raise SettingsRefused(f"{where}: {error}") from None
    return text


def _text_of(file: Path, where: str) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise SettingsRefused(f"{where} cannot be read: {reason}") from None


def load_cipher(settings: Settings) -> IdentityCipher | None:
    """The key to patients' identities; None where none is set: studies then show as hashes.

    Raises:
        SettingsRefused: unreadable or too short.
    """
    if settings.identity_key_file is None:
        return None
    try:
        return IdentityCipher(settings.identity_key_file.read_bytes())
    except OSError as error:
        raise SettingsRefused(f"{IDENTITY_KEY_FILE} cannot be read: {error.strerror}") from None
    except WeakSecret as error:
        raise SettingsRefused(f"{IDENTITY_KEY_FILE}: {error}") from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name, field in Settings.model_fields.items() if not field.validation_alias}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise SettingsRefused(f"{unknown[0]} is not a setting of the alert service")


def _sentence(error: ValidationError) -> str:
    first: Any = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
