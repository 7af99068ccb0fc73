"""Builders of what the alert service takes in, and fakes of what it depends on."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.access.entrance import Entrance
from alerts.access.provider import Provider
from alerts.access.second_factor import Sealer
from alerts.access.sessions import Lifetime
from alerts.access.signing_in import SignIn
from alerts.decision import Policy
from alerts.desk import Desk
from alerts.errors import ChannelError
from alerts.escalation import Escalation, RingEveryone
from alerts.links import Links, LinkSigner
from alerts.messages import WITHOUT_PATIENT, Message, MessagePart
from alerts.recipients import ChannelKind, Recipients
from alerts.store.database import Database
from alerts.store.outbox import Address
from streams.contracts.findings import (
    Clocks,
    ClosedBy,
    Coverage,
    FindingProduced,
    FindingReason,
    FindingStatus,
    KeySlice,
    Model,
    Outcome,
    Side,
)
from streams.contracts.identities import IdentityCipher

START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)

OUTCOMES = {
    FindingStatus.PROVISIONAL: Outcome.POSITIVE,
    FindingStatus.RETRACTED: Outcome.NEGATIVE,
    FindingStatus.NOT_ASSESSABLE: Outcome.NOT_ASSESSABLE,
    FindingStatus.FAILED: Outcome.FAILED,
}

REASONS = {
    FindingStatus.PROVISIONAL: FindingReason.PROVISIONAL_THRESHOLD_CROSSED,
    FindingStatus.RETRACTED: FindingReason.NOT_CONFIRMED,
    FindingStatus.NOT_ASSESSABLE: FindingReason.NO_READABLE_SLICE,
    FindingStatus.FAILED: FindingReason.MODEL_FAILED,
}


def key(text: str) -> str:
    """A readable stand-in for a 32-digit key: ``key("a1")`` is ``a1a1a1…``."""
    digits = text.encode().hex()
    return (digits * 32)[:32]


def png(grey: int = 90, size: int = 8) -> bytes:
    """A valid grey PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes([grey]) * size for _ in range(size))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@dataclass
class FakeClock:
    instant: datetime = START

    def now(self) -> datetime:
        return self.instant

    def advance(self, **span: float) -> None:
        self.instant += timedelta(**span)


def a_finding(
    status: FindingStatus = FindingStatus.FINAL,
    *,
    study: str = "A",
    series: str = "a",
    revision: int = 1,
    outcome: Outcome | None = None,
    side: Side = Side.RIGHT,
    leading: str = "subdural",
    score: float | None = None,
    at: datetime = START,
    reasons: tuple[FindingReason, ...] | None = None,
    slices_read: int = 20,
    pictures: bool = False,
) -> FindingProduced:
    """A finding as streams would produce it; positive and final unless told otherwise."""
    outcome = outcome or OUTCOMES.get(status, Outcome.POSITIVE)
    positive = outcome is Outcome.POSITIVE
    read = outcome in (Outcome.POSITIVE, Outcome.NEGATIVE)
    key_slice = KeySlice(
        sop_digest=key("s"),
        frame_number=1,
        InstanceNumber=12,
        position_mm=40.0,
        probabilities={"any": 0.97, leading: 0.9},
        side=side,
        peak_row=0.4,
        peak_column=0.3,
        image_png=None,
        heat_map_png=None,
    )
    if pictures:
        key_slice = key_slice.model_copy(update={"image_png": png(), "heat_map_png": png(200, 4)})
    default = FindingReason.FINAL_THRESHOLD_CROSSED if positive else FindingReason.BELOW_FINAL_THRESHOLD
    return FindingProduced(
        study_key=key(study),
        series_key=key(f"{study}/{series}"),
        revision=revision,
        status=status,
        outcome=outcome,
        reasons=reasons or (REASONS.get(status, default),),
        score=score if score is not None else (0.97 if positive else 0.05) if read else None,
        threshold=0.5 if read else None,
        probabilities={"any": 0.97, leading: 0.9, "epidural": 0.01} if positive else {"any": 0.05} if read else {},
        key_slices=(key_slice,) if positive else (),
        coverage=Coverage(
            slices_accepted=slices_read + 2,
            slices_read=slices_read if read else 0,
            slices_expected=32 if read else None,
            extent_mm=140.0,
            largest_gap_mm=5.0,
        ),
        closed_by=None if status is FindingStatus.PROVISIONAL else ClosedBy.EXPECTED_COUNT,
        model=Model(name="ich-small", version="1.0.0", sha256="ab" * 32, runtime="onnxruntime-cpu") if read else None,
        clocks=Clocks(
            first_slice=at - timedelta(seconds=4),
            decisive_slice=at - timedelta(seconds=1) if positive else None,
            last_slice=at - timedelta(seconds=0.5),
            produced=at,
        ),
        calling_ae="CT1",
    )


RECIPIENTS = Recipients.model_validate(
    {
        "recipients": [
            {"name": "first", "webhook": {"url": "http://127.0.0.1:1/first", "secret": "0123456789abcdef"}},
            {"name": "second", "email": "second@hospital.example"},
        ]
    }
)


CIPHER = IdentityCipher(b"k" * 32)
SIGNER = LinkSigner(lambda: b"s" * 32)


@dataclass
class Phone:
    """A channel that takes what it is sent, or fails as told."""

    kind: ChannelKind = ChannelKind.WEBHOOK
    failures: list[ChannelError] = field(default_factory=list)
    received: list[Message] = field(default_factory=list)
    provider: str = "phones"

    def send(self, message: Message) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.received.append(message)

    @property
    def purposes(self) -> list[str]:
        return [str(message.purpose) for message in self.received]


@dataclass
class Phones:
    """All recipients' phones, made when first needed."""

    by_address: dict[Address, Phone] = field(default_factory=dict)

    def __call__(self, address: Address) -> Phone:
        return self.by_address.setdefault(address, Phone(address.channel))

    def of(self, name: str) -> Phone:
        kinds = {"first": ChannelKind.WEBHOOK, "second": ChannelKind.EMAIL}
        return self(Address(name, kinds.get(name, ChannelKind.WEBHOOK)))


def an_entrance(place: Any, *, second_factor: bool = True, provider: Provider | None = None) -> Entrance:
    """The ways into a place with a database and a clock."""
    sealer = Sealer(b"s" * 32, b"k" * 32)
    sign_in = SignIn(place.database, place.clock, lambda: sealer, Lifetime(), second_factor)
    return Entrance(sign_in, provider)


def a_desk(
    database: Database,
    clock: FakeClock,
    *,
    policy: Policy | None = None,
    recipients: Recipients | None = RECIPIENTS,
    escalation: Escalation | None = None,
    wake: Callable[[], None] = lambda: None,
    parts: frozenset[MessagePart] = WITHOUT_PATIENT,
) -> Desk:
    names = recipients.names if recipients else ()
    escalation = escalation or RingEveryone(names, timedelta(minutes=5))
    links = Links("http://127.0.0.1:8080", "Ward 7", SIGNER)
    return Desk(database, clock, policy or Policy(), recipients, escalation, links, wake, parts, cipher=CIPHER)
