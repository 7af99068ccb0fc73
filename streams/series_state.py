"""What is known of one series: pure data, and the ways in which it grows.

A series is a journal of entries (a frame that came, a reading that was made) and a small summary. Both are kept in
Kafka-backed tables; together they are rebuilt after a crash on any worker. They hold scores and places, never pixels:
a frame's pixels stay where they are in ``ct.slices.v1`` and are found again by partition and offset.

Everything here is idempotent by the frame's identity: redelivery is normal.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict

from streams import geometry
from streams.contracts.findings import ClosedBy, Outcome, SliceReason
from streams.contracts.ids import Key
from streams.contracts.series import LedgerKind, RefusalReason, SeriesLedgerEntry
from streams.contracts.slices import SliceAccepted
from triage_models.decision import Verdict
from triage_models.reader import SliceReading

NEVER = datetime.min.replace(tzinfo=UTC)

THIN_MM = 2.5
"""Below this thickness slices are averaged into slabs: the reader was made for slices of about 5 mm, and the noise of
a thin slice is larger by the square root of the ratio."""

SLAB_MM = 5.0

SLAB_FILL = 0.75
"""A slab is read when this much of it has come, and again at the end if more came."""


class Record(BaseModel):
    """Base of what is kept in the tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def encode(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


class FrameRecord(Record):
    """A frame that came, and where its pixels are."""

    identity: str
    sop_digest: Key
    frame_number: int
    InstanceNumber: int | None = None
    association: Key
    accepted_at: AwareDatetime
    position_mm: float | None = None
    thickness_mm: float | None = None
    row_cosine_x: float | None = None
    to_scale: bool = True
    """PixelSpacing is known: areas and lengths are in mm."""
    partition: int
    offset: int
    slab: int | None = None
    """Index of the slab it belongs to; None where it is read by itself."""
    reason: SliceReason | None = None
    """Why it is not read."""
    conflicting: bool = False
    pixel_digest: str | None = None
    """The first half of the pixels' SHA-256, to know another version by."""

    @property
    def unit(self) -> str:
        """Name of what is read: the frame, or its slab."""
        return self.identity if self.slab is None else f"slab:{self.slab}"


class UnitReading(Record):
    """What the reader said of one unit: a frame, or the mean of a slab's frames."""

    unit: str
    position_mm: float | None = None
    members: tuple[str, ...]
    """Identities of the frames that went in; the first is shown as the unit's picture."""
    reading: SliceReading
    model: str | None = None
    """Identity of the model that read it."""


class Entry(Record):
    """One line of the journal of a series."""

    frame: FrameRecord | None = None
    reading: UnitReading | None = None


class AssociationAccount(Record):
    """What one association says it brought of this series."""

    kind: LedgerKind = LedgerKind.OPENED
    opened_at: AwareDatetime | None = None
    """When its first object of this series came."""
    frames_accepted: int = 0
    refused: dict[RefusalReason, int] = {}
    refused_objects: dict[Key, RefusalReason] = {}
    repeated: tuple[str, ...] = ()
    """Identities that came on this association too, after having come on another."""


class SeriesSummary(Record):
    """The few facts of a series that are not in its journal."""

    study_key: Key
    series_key: Key
    partition: int
    entries: int = 0
    first_slice: AwareDatetime | None = None
    last_slice: AwareDatetime | None = None
    last_activity: AwareDatetime
    """When a worker last processed something of this series."""
    last_event: AwareDatetime
    """When the last thing happened that is known of this series, by the listener's clock, never after our own."""
    calling_ae: str | None = None
    heartbeat: bool | None = None
    """Every frame so far is of the dead-man's study; one that is not makes the series a patient's, for good."""
    expected: int | None = None
    """Slices that the headers announce: frames of a multi-frame object, or ImagesInAcquisition."""
    expected_closes: bool = False
    """The announcement is one to close on: a multi-frame object is whole or it is not there; ImagesInAcquisition
    may count other reconstructions."""
    associations: dict[Key, AssociationAccount] = {}
    revision: int = 0
    peak_score: float = 0.0
    decisive_slice: AwareDatetime | None = None
    said: Verdict | None = None
    """What was last announced of this series."""
    model: str | None = None
    """Identity of the model that reads this series; readings by any other do not count."""
    model_changed: bool = False
    """The model that it began with is gone, and another one read it from the start."""
    model_failed: bool = False
    closed_by: ClosedBy | None = None
    closed_at: AwareDatetime | None = None
    outcome: Outcome | None = None
    late: bool = False
    """Slices came after the series had been closed."""
    pictured: int = 0
    """The revision up to which its pictures are on ``ct.pictures.v1``."""


@dataclass
class SeriesState:
    """A series as one worker holds it: the summary and the journal, indexed."""

    summary: SeriesSummary
    frames: dict[str, FrameRecord] = field(default_factory=dict)
    readings: dict[str, UnitReading] = field(default_factory=dict)

    @classmethod
    def opened(cls, study_key: Key, series_key: Key, partition: int, at: AwareDatetime) -> "SeriesState":
        return cls(
            SeriesSummary(
                study_key=study_key, series_key=series_key, partition=partition, last_activity=at, last_event=NEVER
            )
        )

    @classmethod
    def rebuilt(cls, summary: SeriesSummary, entries: Iterator[Entry]) -> "SeriesState":
        state = cls(summary)
        for entry in entries:
            state._index(entry)
        return state

    @property
    def is_open(self) -> bool:
        return self.summary.closed_by is None

    def append(self, entry: Entry) -> int:
        """Add a line to the journal; returns its ordinal."""
        ordinal = self.summary.entries
        self._index(entry)
        self.change(entries=ordinal + 1)
        return ordinal

    def change(self, **facts: object) -> None:
        self.summary = self.summary.model_copy(update=facts)

    def _index(self, entry: Entry) -> None:
        if entry.frame is not None:
            self.frames[entry.frame.identity] = entry.frame
        if entry.reading is not None and entry.reading.model == self.summary.model:
            self.readings[entry.reading.unit] = entry.reading

    def begin_with(self, model: str) -> None:
        """From here on this model reads the series; what another one read of it is forgotten."""
        changed = self.summary.model is not None
        self.readings.clear()
        self.change(model=model, model_changed=self.summary.model_changed or changed, peak_score=0.0)

    # What the journal says

    def eligible(self) -> list[FrameRecord]:
        """Frames that are to be read, in order of arrival."""
        return [frame for frame in self.frames.values() if frame.reason is None]

    def slab_members(self, slab: int) -> list[FrameRecord]:
        return [frame for frame in self.eligible() if frame.slab == slab]

    def spacing_mm(self) -> float | None:
        """Smallest distance between two slices so far, else the thickness."""
        positions = [frame.position_mm for frame in self.eligible() if frame.position_mm is not None]
        gaps = [gap for gap in geometry.gaps_mm(positions) if gap > geometry.SAME_POSITION_MM]
        if gaps:
            return min(gaps)
        return next((frame.thickness_mm for frame in self.eligible() if frame.thickness_mm), None)

    def slab_is_due(self, slab: int) -> bool:
        """Has enough of the slab come that it should be read now, for the first time?"""
        if f"slab:{slab}" in self.readings:
            return False
        needed = math.ceil(SLAB_FILL * SLAB_MM / (self.spacing_mm() or SLAB_MM))
        return len(self.slab_members(slab)) >= max(1, needed)

    def stale_units(self) -> list[str]:
        """Units with frames that are in no reading yet, lowest first: to be read before the series may close."""
        waiting: dict[str, float] = {}
        for frame in self.eligible():
            reading = self.readings.get(frame.unit)
            if reading is None or frame.identity not in reading.members:
                waiting.setdefault(frame.unit, frame.position_mm if frame.position_mm is not None else 0.0)
        return sorted(waiting, key=waiting.__getitem__)

    def unit_members(self, unit: str) -> list[FrameRecord]:
        return [frame for frame in self.eligible() if frame.unit == unit]

    def frames_missing(self) -> int:
        """Frames that the listener accepted on ended associations and that have not come here."""
        brought = Counter(frame.association for frame in self.frames.values())
        return sum(
            max(0, account.frames_accepted - brought[association] - len(account.repeated))
            for association, account in self.summary.associations.items()
            if account.kind is not LedgerKind.OPENED
        )

    def refused(self) -> dict[RefusalReason, int]:
        """Objects that the listener refused and that have not come after all."""
        here = {frame.sop_digest for frame in self.frames.values()}
        total: Counter[RefusalReason] = Counter()
        for account in self.summary.associations.values():
            total.update(account.refused)
            total.subtract(reason for sop_digest, reason in account.refused_objects.items() if sop_digest in here)
        return {reason: count for reason, count in total.items() if count > 0}


def frame_record(header: SliceAccepted, partition: int, offset: int, reason: SliceReason | None) -> FrameRecord:
    """The record of a frame; thin slices with a place in space are given a slab.

    Another version of a slice is read by itself: in a mean with the first neither would be seen as it is.
    """
    position = geometry.position_mm(header)
    thin = header.SliceThickness is not None and header.SliceThickness < THIN_MM and not header.conflicting
    return FrameRecord(
        identity=header.identity,
        sop_digest=header.sop_digest,
        frame_number=header.frame_number,
        InstanceNumber=header.InstanceNumber,
        association=header.association,
        accepted_at=header.accepted_at,
        position_mm=position,
        thickness_mm=header.SliceThickness,
        row_cosine_x=header.ImageOrientationPatient[0] if header.ImageOrientationPatient else None,
        to_scale=header.PixelSpacing is not None,
        partition=partition,
        offset=offset,
        slab=math.floor(position / SLAB_MM) if thin and position is not None and reason is None else None,
        reason=reason,
        conflicting=header.conflicting,
        pixel_digest=_digest(header),
    )


def as_another_version(state: SeriesState, header: SliceAccepted) -> SliceAccepted:
    """The header, flagged where its identity is taken by other pixels.

    The listener flags a second version itself as long as it remembers the first; a restarted one, or another process
    on the same port, does not.
    """
    known = state.frames.get(header.identity)
    if known is None or header.conflicting or known.pixel_digest == _digest(header):
        return header
    return header.model_copy(update={"conflicting": True})


def _digest(header: SliceAccepted) -> str:
    return header.pixel_sha256[:32]


def note_arrival(state: SeriesState, header: SliceAccepted, now: AwareDatetime) -> None:
    """The summary's part of a new frame's arrival; a closed series is open again."""
    summary = state.summary
    expected = header.number_of_frames if header.number_of_frames > 1 else header.ImagesInAcquisition
    state.change(
        first_slice=min(filter(None, (summary.first_slice, header.accepted_at))),
        last_slice=max(filter(None, (summary.last_slice, header.accepted_at))),
        last_activity=now,
        last_event=max(summary.last_event, min(header.accepted_at, now)),
        expected=expected if expected is not None else summary.expected,
        expected_closes=header.number_of_frames > 1,
        heartbeat=header.heartbeat is True and summary.heartbeat is not False,
        associations={header.association: AssociationAccount(), **summary.associations},
        closed_by=None,
        closed_at=None,
        late=summary.late or summary.closed_by is not None,
    )


def note_repetition(state: SeriesState, header: SliceAccepted) -> bool:
    """A known frame came again; True where that changes the summary."""
    known = state.frames[header.identity]
    account = state.summary.associations.get(header.association, AssociationAccount())
    if known.association == header.association or header.identity in account.repeated:
        return False
    account = account.model_copy(update={"repeated": (*account.repeated, header.identity)})
    state.change(associations={**state.summary.associations, header.association: account})
    return True


def note_ledger(state: SeriesState, entry: SeriesLedgerEntry, now: AwareDatetime) -> None:
    """An association's account of this series; an end is never undone by a late ``opened``.

    It opens a closed series again where it may change the outcome: the end of a transfer that was given up, or slices
    that have not come.
    """
    known = state.summary.associations.get(entry.association, AssociationAccount())
    if entry.kind is LedgerKind.OPENED and known.kind is not LedgerKind.OPENED:
        return
    account = known.model_copy(
        update={
            "kind": entry.kind,
            "opened_at": entry.at if entry.kind is LedgerKind.OPENED else known.opened_at,
            "frames_accepted": max(known.frames_accepted, entry.frames_accepted),
            "refused": entry.refused or known.refused,
            "refused_objects": entry.refused_objects or known.refused_objects,
        }
    )
    state.change(
        associations={**state.summary.associations, entry.association: account},
        calling_ae=entry.calling_ae,
        last_activity=max(state.summary.last_activity, now) if state.is_open else state.summary.last_activity,
        last_event=max(state.summary.last_event, min(entry.at, now)),
    )
    if not state.is_open and _may_change_the_outcome(state, known.kind, entry.kind):
        state.change(closed_by=None, closed_at=None, last_activity=now)


def _may_change_the_outcome(state: SeriesState, before: LedgerKind, after: LedgerKind) -> bool:
    outcome = state.summary.outcome
    finished = before is LedgerKind.OPENED and after is LedgerKind.RELEASED
    if outcome in (Outcome.NOT_ASSESSABLE, Outcome.FAILED):
        return finished
    return state.frames_missing() > 0
