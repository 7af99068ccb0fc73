"""The reader without the network: the listener's admission and the streams' processor, run over files.

It is the same code that runs in the services: an object that the listener would refuse is refused here, a slice that
the streams would not read is not read here, and for the same reasons.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import split_dataset

from dicom_listener.admission import PlacedObject, StoreCommand, admit
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.outgoing import SeriesReference, slices
from streams.closing import ClosingRules
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import FindingProduced
from streams.contracts.ids import SECRET_BYTES, SiteSecret
from streams.contracts.series import LedgerKind, RefusalReason, SeriesClockTicked, SeriesLedgerEntry
from streams.contracts.slices import SliceAccepted
from streams.geometry import position_mm
from streams.head_extent import shows_brain
from streams.metrics import StreamsMetrics
from streams.models import OneModel, opened
from streams.pictures import BRAIN_WINDOW_HU
from streams.processor import SeriesProcessor
from streams.reading import PixelWork
from streams.series_state import Entry, FrameRecord, SeriesState, UnitReading
from tocsin.picture_files import NotAPicture, picture_frame
from triage_models.reader import Reader

MAX_OBJECT_BYTES = 2 * 1024**3
"""Of one file; larger ones are refused as the listener would."""

KEYS = SiteSecret(bytes(SECRET_BYTES))
"""Keys made here never leave the process."""

ASSOCIATION = "0" * 32


@dataclass(frozen=True)
class Frame:
    """A frame of a file that the listener would accept. Without its pixels: those of one file are kept at a time."""

    path: Path
    header: SliceAccepted
    remark: str | None = None
    """What was done to a picture before it was read."""


@dataclass(frozen=True)
class Refusal:
    """A file that the listener would not accept. ``series_key``: of the series that misses it, where that is known."""

    path: Path
    reason: str
    comment: str
    series_key: str | None = None


@dataclass(frozen=True)
class SliceResult:
    """One frame: its reading, or the reason (in the frame's record) why there is none."""

    frame: Frame
    record: FrameRecord | None
    reading: UnitReading | None

    @property
    def brain_seen(self) -> bool:
        """Without it a low probability says nothing."""
        return self.reading is not None and shows_brain(
            self.reading.reading.brain_share, self.reading.reading.soft_share
        )


@dataclass(frozen=True, repr=False)
class SeriesResult:
    """One series: the finding that the services would have published last, without its pictures, and the slices in
    anatomical order.

    Without a repr on purpose: asyncio makes one of every result it returns.
    """

    finding: FindingProduced
    slices: tuple[SliceResult, ...]


Loaded = tuple[Frame, bytes]
"""A frame and its pixels, as the listener would publish them."""


def load(path: Path, window_hu: tuple[float, float] = BRAIN_WINDOW_HU) -> Iterator[Loaded | Refusal]:
    """The frames of a file, or why it would be refused. ``window_hu``: what black and white of a picture stand for."""
    incoming = _incoming(path)
    if incoming is None:
        yield _picture(path, window_hu)
    elif isinstance(incoming, Refusal):
        yield incoming
    else:
        yield from _frames(path, incoming)


def _frames(path: Path, incoming: IncomingObject) -> Iterator[Loaded | Refusal]:
    placed = incoming.placed
    try:
        whole = incoming.whole()
        placed = whole.judged.placed
        admitted = admit(whole)
    except Unacceptable as error:
        yield Refusal(path, str(error.reason), error.comment, _series(placed).series_key if placed else None)
        return
    assert placed is not None  # what is admitted is placed
    digest = KEYS.sop_digest(admitted.sop_instance_uid)
    for event, message in slices(admitted, _series(placed), digest, ASSOCIATION, datetime.now(UTC), conflicting=False):
        yield Frame(path, event), bytes(message.value)


def _series(placed: PlacedObject) -> SeriesReference:
    return SeriesReference(KEYS.study_key(placed.study_uid), KEYS.series_key(placed.study_uid, placed.series_uid))


def _picture(path: Path, window_hu: tuple[float, float]) -> Loaded | Refusal:
    try:
        header, pixels, remark = picture_frame(path, KEYS, ASSOCIATION, window_hu)
    except NotAPicture as error:
        return Refusal(path, "not_a_slice" if error.recognised else "not_dicom", str(error))
    return Frame(path, header, remark), pixels


def _incoming(path: Path) -> IncomingObject | Refusal | None:
    """What a scanner would send of this file; None where it is no DICOM file, but may be a picture."""
    if path.is_dir():
        return Refusal(path, "not_dicom", "a folder that is a link, or cannot be opened: not looked into")
    if not path.is_file():
        return Refusal(path, "not_dicom", "not a file but a pipe, a device or a broken link")
    try:
        return _data_set(path)
    except InvalidDicomError:
        return None
    except (OSError, AttributeError, ValueError, EOFError) as error:
        return Refusal(path, "not_dicom", f"not a readable DICOM file ({type(error).__name__})")


def _data_set(path: Path) -> IncomingObject:
    """Everything behind the file meta information (PS3.10 7.1)."""
    meta, offset = split_dataset(path)
    command = StoreCommand(
        str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
    )
    incoming = IncomingObject(command, MAX_OBJECT_BYTES)
    with path.open("rb") as file:
        file.seek(offset)
        incoming.write(file.read(MAX_OBJECT_BYTES + 1))
    return incoming


# What belongs together


@dataclass(frozen=True, order=True, slots=True)
class _Place:
    """Where a frame is found again; ordered as the head is, as far as that is known."""

    position_mm: float
    instance: int
    frame_number: int
    path: Path
    series_key: str | None
    """None of a picture, which is not opened before its turn."""


@dataclass
class _Series:
    """The frames of a series, and what was refused of it."""

    places: list[_Place] = field(default_factory=list)
    refused: Counter[RefusalReason] = field(default_factory=Counter)


def _survey(path: Path) -> Iterator[_Place | Refusal]:
    """The places of a file's frames."""
    incoming = _incoming(path)
    if incoming is None:
        yield _Place(0.0, 0, 1, path, None)
    elif isinstance(incoming, Refusal):
        yield incoming
    else:
        for found in _frames(path, incoming):
            yield found if isinstance(found, Refusal) else _place(found[0].header, path)


def _place(header: SliceAccepted, path: Path) -> _Place:
    position = position_mm(header)
    return _Place(
        position if position is not None else 0.0,
        header.InstanceNumber or 0,
        header.frame_number,
        path,
        header.series_key,
    )


class _Shelf:
    """The files again, one open at a time."""

    def __init__(self, window_hu: tuple[float, float]) -> None:
        self._window_hu = window_hu
        self._path: Path | None = None
        self._found: list[Loaded | Refusal] = []

    def take(self, place: _Place) -> Loaded | Refusal:
        if place.path != self._path:
            self._path, self._found = place.path, list(load(place.path, self._window_hu))
        for found in self._found:
            if isinstance(found, Refusal) or self._lies_at(place, found[0].header):
                return found
        return Refusal(place.path, str(RefusalReason.NOT_UNDERSTOOD), "the file has changed while it was read")

    def _lies_at(self, place: _Place, header: SliceAccepted) -> bool:
        return place.frame_number == header.frame_number and place.series_key in (None, header.series_key)


# Reading


@dataclass
class _World:
    """Everything the processor wants, kept in memory; pixels are fetched from the files."""

    shelf: _Shelf
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    places: list[_Place] = field(default_factory=list)
    states: dict[str, SeriesState] = field(default_factory=dict)
    findings: list[FindingProduced] = field(default_factory=list)

    def load(self, series_key: str) -> SeriesState | None:
        return self.states.get(series_key)

    async def save(self, state: SeriesState, entries: Sequence[tuple[int, Entry]]) -> None:
        self.states[state.summary.series_key] = state

    def then(self, do: Callable[[], object]) -> None:
        do()

    async def publish(self, finding: FindingProduced) -> None:
        self.findings.append(_without_pictures(finding))

    async def set_aside(self, reason: DeadLetterReason, detail: str) -> None:
        """The result says it."""

    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        found = self.shelf.take(self.places[offset])
        if isinstance(found, Refusal):
            raise LookupError(found.comment)
        return found[0].header, found[1]


def _without_pictures(finding: FindingProduced) -> FindingProduced:
    without = {"image_png": None, "heat_map_png": None}
    key_slices = tuple(one.model_copy(update=without) for one in finding.key_slices)
    return finding.model_copy(update={"key_slices": key_slices})


def read(
    files: Iterable[Path], reader: Reader, window_hu: tuple[float, float] = BRAIN_WINDOW_HU
) -> Iterator[SeriesResult | Refusal]:
    """Read all series, each as the services would once it is complete; and what was refused.

    The files are gone through twice: for what belongs together, and then series by series for the pixels. In memory are
    the places of all frames, the headers and readings of one series, and the pixels of one file.
    """
    by_series: dict[str, _Series] = {}
    for path in files:
        for found in _survey(path):
            series = by_series.setdefault(found.series_key or f"file {path}", _Series())
            if isinstance(found, Refusal):
                series.refused[_refusal_reason(found)] += 1
                yield found
            else:
                series.places.append(found)
    for series in by_series.values():
        if series.places:
            yield from asyncio.run(_read_series(series, reader, _Shelf(window_hu)))


async def _read_series(series: _Series, reader: Reader, shelf: _Shelf) -> list[SeriesResult | Refusal]:
    world = _World(shelf)
    frames: list[Frame] = []
    refusals: list[SeriesResult | Refusal] = []
    with ThreadPoolExecutor(1) as executor:
        processor = SeriesProcessor(
            store=world,
            findings=world,
            pixels=PixelWork(world),
            models=OneModel(opened(reader)),
            rules=ClosingRules(),
            metrics=StreamsMetrics(CollectorRegistry()),
            clock=lambda: world.now,
            executor=executor,
            heard_until=lambda partition: world.now,
        )
        for place in sorted(series.places):
            found = shelf.take(place)
            if isinstance(found, Refusal):
                series.refused[_refusal_reason(found)] += 1
                refusals.append(found)
                continue
            frame, pixels = found
            frames.append(frame)
            world.places.append(place)
            await processor.slice_arrived(frame.header, pixels, 0, len(frames) - 1, world)
        if not frames:
            return refusals
        first = frames[0].header
        accepted = len(world.states[first.series_key].frames)
        await processor.ledger_entry(_released(first, accepted, series.refused, world.now), 0)
        world.now += timedelta(hours=1)
        tick = SeriesClockTicked(study_key=first.study_key, series_key=first.series_key, at=world.now)
        await processor.ticked(tick, 0)
    state = world.states[first.series_key]
    return [*refusals, SeriesResult(world.findings[-1], tuple(_slice_result(state, frame) for frame in frames))]


def _refusal_reason(refusal: Refusal) -> RefusalReason:
    """In the listener's words: no picture and no DICOM file would come to it."""
    known = refusal.reason in set(RefusalReason)
    return RefusalReason(refusal.reason) if known else RefusalReason.NOT_UNDERSTOOD


def _released(header: SliceAccepted, frames: int, refused: Counter[RefusalReason], at: datetime) -> SeriesLedgerEntry:
    return SeriesLedgerEntry(
        kind=LedgerKind.RELEASED,
        study_key=header.study_key,
        series_key=header.series_key,
        association=ASSOCIATION,
        calling_ae="OFFLINE",
        at=at,
        frames_accepted=frames,
        refused=dict(refused),
    )


def _slice_result(state: SeriesState, frame: Frame) -> SliceResult:
    record = state.frames.get(frame.header.identity)
    reading = state.readings.get(record.unit) if record and record.reason is None else None
    return SliceResult(frame, record, reading)
