"""The tables as this version of the code knows them; :mod:`alerts.store.migrations` brings a database there.

Laws: no patient identity in the clear, only sealed envelopes; instants are whole microseconds since 1970 in UTC;
findings, events and the record are only ever added to.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Dialect, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware datetime as whole microseconds since 1970: the same order and value in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else EPOCH + value * MICROSECOND


KEY = String(32)
WORD = String(32)
NAME = String(120)


class Base(DeclarativeBase):
    type_annotation_map = {datetime: Instant, str: Text, bytes: LargeBinary, int: Integer}


class Meta(Base):
    """Facts about the store itself, such as the version of its schema."""

    __tablename__ = "meta"
    name: Mapped[str] = mapped_column(WORD, primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Study(Base):
    __tablename__ = "studies"
    study_key: Mapped[str] = mapped_column(KEY, primary_key=True)
    first_seen_at: Mapped[datetime]
    changed_at: Mapped[datetime] = mapped_column(Instant, index=True)
    look_again_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    verdict: Mapped[str] = mapped_column(WORD)
    reason: Mapped[str] = mapped_column(WORD)
    result_unreadable: Mapped[bool] = mapped_column(default=False)
    identity: Mapped[bytes | None]
    """The sealed :class:`StudyIdentity`."""
    patient_key: Mapped[str | None] = mapped_column(KEY, index=True)
    """Groups a patient's studies, without saying whose they are."""
    case_key: Mapped[str] = mapped_column(KEY, index=True)
    """The study under whose key the alert of this one is: itself, or the first study of a patient scanned again."""


class Series(Base):
    __tablename__ = "series"
    series_key: Mapped[str] = mapped_column(KEY, primary_key=True)
    study_key: Mapped[str] = mapped_column(KEY, index=True)
    identity: Mapped[bytes | None]
    """The sealed :class:`SeriesIdentity`."""


class Finding(Base):
    """Every revision of every series' finding, whole, and the part of it that decisions need."""

    __tablename__ = "findings"
    series_key: Mapped[str] = mapped_column(KEY, primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    study_key: Mapped[str] = mapped_column(KEY, index=True)
    status: Mapped[str] = mapped_column(WORD)
    outcome: Mapped[str] = mapped_column(WORD)
    sides: Mapped[str] = mapped_column(NAME)
    """Comma-separated."""
    leading: Mapped[str | None] = mapped_column(NAME)
    score: Mapped[float]
    first_slice_at: Mapped[datetime]
    decisive_slice_at: Mapped[datetime | None]
    last_slice_at: Mapped[datetime]
    produced_at: Mapped[datetime]
    received_at: Mapped[datetime]
    body: Mapped[str]
    """The finding as it came, less its pictures."""


class Picture(Base):
    """A key image or its heat map, as PNG."""

    __tablename__ = "pictures"
    series_key: Mapped[str] = mapped_column(KEY, primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    """Position among the finding's key slices, from 0."""
    kind: Mapped[str] = mapped_column(WORD, primary_key=True)
    png: Mapped[bytes]


class Alert(Base):
    __tablename__ = "alerts"
    alert_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    study_key: Mapped[str] = mapped_column(KEY, unique=True)
    """The first study of the case."""
    studies: Mapped[str] = mapped_column(Text, default="")
    """The studies of the case that it is about, separated by commas."""
    topic: Mapped[str] = mapped_column(WORD)
    claim: Mapped[str] = mapped_column(WORD)
    answer: Mapped[str] = mapped_column(WORD, index=True)
    reason: Mapped[str] = mapped_column(WORD)
    sides: Mapped[str] = mapped_column(NAME, default="")
    leading: Mapped[str | None] = mapped_column(NAME)
    late: Mapped[bool] = mapped_column(default=False)
    series_key: Mapped[str | None] = mapped_column(KEY)
    finding_revision: Mapped[int | None]
    raised_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None] = mapped_column(NAME)
    acknowledged_via: Mapped[str | None] = mapped_column(WORD)
    handed_to: Mapped[str | None] = mapped_column(NAME)
    """Who has it now, because somebody gave it to them."""
    handed_by: Mapped[str | None] = mapped_column(NAME)
    handovers: Mapped[int] = mapped_column(default=0, server_default="0")
    """Rounds of the bell that were hand-overs: they are no step of the escalation."""
    round: Mapped[int] = mapped_column(default=0)
    """How often the bell has been rung for the present claim."""
    changes: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often what it says has changed; unlike the round, it never begins anew."""
    rings_at: Mapped[datetime | None] = mapped_column(Instant, index=True)
    """When it rings again if nobody has answered."""


class Notice(Base):
    """The outbox: one message to one recipient on one channel."""

    __tablename__ = "notices"
    notice_id: Mapped[str] = mapped_column(KEY, primary_key=True)
    number: Mapped[int] = mapped_column(index=True)
    """Order of writing within the alert."""
    alert_id: Mapped[str] = mapped_column(ForeignKey("alerts.alert_id"), index=True)
    study_key: Mapped[str] = mapped_column(KEY)
    series_key: Mapped[str | None] = mapped_column(KEY)
    finding_revision: Mapped[int | None]
    purpose: Mapped[str] = mapped_column(WORD)
    recipient: Mapped[str] = mapped_column(NAME)
    channel: Mapped[str] = mapped_column(WORD)
    round: Mapped[int]
    change: Mapped[int] = mapped_column(default=0, server_default="0")
    """The alert's ``changes`` when this was written."""
    message: Mapped[str]
    state: Mapped[str] = mapped_column(WORD)
    in_turn: Mapped[bool] = mapped_column(default=False)
    """One of several channels of which one is enough."""
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str | None] = mapped_column(NAME)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    seen_at: Mapped[datetime | None]
    """When the recipient opened what it links to."""
    failure: Mapped[str | None] = mapped_column(WORD)
    failure_detail: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint(
            *("study_key", "series_key", "finding_revision", "purpose", "round", "change", "recipient", "channel"),
            name="once",
        ),
        Index("due", "state", "due_at"),
        Index("lane", "recipient", "channel", "state"),
        Index("lane_sent", "recipient", "channel", "sent_at"),
        Index("lane_leased", "recipient", "channel", "leased_until"),
    )


class Happened(Base):
    """The life of the alerts, in order: shown as history, and the outbox of ``triage.alerts.v1``."""

    __tablename__ = "events"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    alert_id: Mapped[str] = mapped_column(KEY, index=True)
    study_key: Mapped[str] = mapped_column(KEY)
    state: Mapped[str] = mapped_column(WORD)
    at: Mapped[datetime]
    body: Mapped[str]
    published_at: Mapped[datetime | None] = mapped_column(Instant, index=True)


class Feedback(Base):
    """What a doctor saw in a study; only ever added to, the last of each doctor counts."""

    __tablename__ = "feedback"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    study_key: Mapped[str] = mapped_column(KEY, index=True)
    series_key: Mapped[str | None] = mapped_column(KEY)
    finding_revision: Mapped[int | None]
    """The finding that stood for the study when the doctor said so."""
    says: Mapped[str] = mapped_column(WORD)
    by: Mapped[str] = mapped_column(NAME)
    at: Mapped[datetime]


class Lease(Base):
    """Work that one instance does for all, until a time."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(WORD, primary_key=True)
    holder: Mapped[str] = mapped_column(NAME)
    until: Mapped[datetime]


class Entry(Base):
    """The record: one link of the hash chain; see :mod:`alerts.store.record`."""

    __tablename__ = "record"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(WORD)
    study_key: Mapped[str] = mapped_column(KEY, index=True)
    body: Mapped[str]
    hash: Mapped[str] = mapped_column(String(64))


class RecordHead(Base):
    """The end of the chain: its one row is the lock under which the record grows."""

    __tablename__ = "record_head"
    name: Mapped[str] = mapped_column(WORD, primary_key=True)
    number: Mapped[int]
    hash: Mapped[str] = mapped_column(String(64))


class Browser(Base):
    """A browser that a recipient has subscribed to pushes (RFC 8030)."""

    __tablename__ = "browsers"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the endpoint."""
    recipient: Mapped[str] = mapped_column(NAME, index=True)
    endpoint: Mapped[str]
    p256dh: Mapped[str]
    auth: Mapped[str]
    subscribed_at: Mapped[datetime]
    subscribed_by: Mapped[str] = mapped_column(NAME)


class RotaVersion(Base):
    """Every version of the on-call document that was ever in force; the newest is."""

    __tablename__ = "rota_versions"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str]
    saved_at: Mapped[datetime]
    saved_by: Mapped[str] = mapped_column(NAME)
    from_file: Mapped[bool] = mapped_column(default=False)
    """Taken from the site's on-call file, not written on the page."""
