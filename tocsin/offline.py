"""The reader without the network: the listener's admission and the streams' processor, run over files.

It is the same code that runs in the services: an object that the listener would refuse is refused here, a slice that
the streams would not read is not read here, and for the same reasons.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry
from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import split_dataset

from dicom_listener.admission import StoreCommand, admit
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.outgoing import SeriesReference, slices
from streams.closing import ClosingRules
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import FindingProduced
from streams.contracts.ids import SECRET_BYTES, SiteSecret
from streams.contracts.series import LedgerKind, SeriesClockTicked, SeriesLedgerEntry
from streams.contracts.slices import SliceAccepted
from streams.geometry import position_mm
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
    """A frame of a file that the listener would accept."""

    path: Path
    header: SliceAccepted
    pixels: bytes = field(repr=False)
    remark: str | None = None
    """What was done to a picture before it was read."""


@dataclass(frozen=True)
class Refusal:
    """A file that the listener would not accept."""

    path: Path
    reason: str
    comment: str


@dataclass(frozen=True)
class SliceResult:
    """One frame: its reading, or the reason (in the frame's record) why there is none."""

    frame: Frame
    record: FrameRecord | None
    reading: UnitReading | None


@dataclass(frozen=True, repr=False)
class SeriesResult:
    """One series: the finding that the services would have published last, and the slices in anatomical order.

    Without a repr on purpose: asyncio makes one of every result it returns, and pictures are large.
    """

    finding: FindingProduced
    slices: tuple[SliceResult, ...]


def load(path: Path, window_hu: tuple[float, float] = BRAIN_WINDOW_HU) -> Iterator[Frame | Refusal]:
    """The frames of a file, or why it would be refused. ``window_hu``: what black and white of a picture stand for."""
    if not path.is_file():
        yield Refusal(path, "not_dicom", "not a file but a pipe, a device or a broken link")
        return
    try:
        incoming = _incoming(path)
    except InvalidDicomError:
        yield _picture(path, window_hu)
        return
    except (OSError, AttributeError, ValueError, EOFError) as error:
        yield _not_dicom(path, error)
        return
    try:
        whole = incoming.whole()
        admitted = admit(whole)
    except Unacceptable as error:
        yield Refusal(path, str(error.reason), error.comment)
        return
    placed = whole.judged.placed
    assert placed is not None  # what is admitted is placed
    series = SeriesReference(KEYS.study_key(placed.study_uid), KEYS.series_key(placed.study_uid, placed.series_uid))
    digest = KEYS.sop_digest(admitted.sop_instance_uid)
    for event, message in slices(admitted, series, digest, ASSOCIATION, datetime.now(UTC), conflicting=False):
        yield Frame(path, event, bytes(message.value))


def _picture(path: Path, window_hu: tuple[float, float]) -> Frame | Refusal:
    try:
        return Frame(path, *picture_frame(path, KEYS, ASSOCIATION, window_hu))
    except NotAPicture as error:
        return Refusal(path, "not_a_slice" if error.recognised else "not_dicom", str(error))


def _not_dicom(path: Path, error: Exception) -> Refusal:
    return Refusal(path, "not_dicom", f"not a readable DICOM file ({type(error).__name__})")


def _incoming(path: Path) -> IncomingObject:
    """What a scanner would send of this file: everything behind the file meta information (PS3.10 7.1)."""
    meta, offset = split_dataset(path)
    command = StoreCommand(
        str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID)
    )
    incoming = IncomingObject(command, MAX_OBJECT_BYTES)
    with path.open("rb") as file:
        file.seek(offset)
        incoming.write(file.read(MAX_OBJECT_BYTES + 1))
    return incoming


@dataclass
class _World:
    """Everything the processor wants, kept in memory."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    frames: list[Frame] = field(default_factory=list)
    states: dict[str, SeriesState] = field(default_factory=dict)
    findings: list[FindingProduced] = field(default_factory=list)

    def load(self, series_key: str) -> SeriesState | None:
        return self.states.get(series_key)

    async def save(self, state: SeriesState, entries: Sequence[tuple[int, Entry]]) -> None:
        self.states[state.summary.series_key] = state

    async def publish(self, finding: FindingProduced) -> None:
        self.findings.append(finding)

    async def set_aside(self, reason: DeadLetterReason, detail: str) -> None:
        """The result says it."""

    def fetch(self, partition: int, offset: int) -> tuple[SliceAccepted, bytes]:
        frame = self.frames[offset]
        return frame.header, frame.pixels


def read(frames: Iterable[Frame], reader: Reader) -> Iterator[SeriesResult]:
    """Read all series, each as the services would once it is complete."""
    by_series: dict[str, list[Frame]] = {}
    for frame in frames:
        by_series.setdefault(frame.header.series_key, []).append(frame)
    for series in by_series.values():
        yield asyncio.run(_read_series(sorted(series, key=_anatomical), reader))


def _anatomical(frame: Frame) -> tuple[float, int, int]:
    position = position_mm(frame.header)
    return (position if position is not None else 0.0, frame.header.InstanceNumber or 0, frame.header.frame_number)


async def _read_series(frames: list[Frame], reader: Reader) -> SeriesResult:
    world = _World(frames=frames)
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
        for offset, frame in enumerate(frames):
            await processor.slice_arrived(frame.header, frame.pixels, 0, offset, world)
        first = frames[0].header
        await processor.ledger_entry(_released(first, len(world.states[first.series_key].frames), world.now), 0)
        world.now += timedelta(hours=1)
        tick = SeriesClockTicked(study_key=first.study_key, series_key=first.series_key, at=world.now)
        await processor.ticked(tick, 0)
    state = world.states[first.series_key]
    return SeriesResult(world.findings[-1], tuple(_slice_result(state, frame) for frame in frames))


def _released(header: SliceAccepted, frames: int, at: datetime) -> SeriesLedgerEntry:
    return SeriesLedgerEntry(
        kind=LedgerKind.RELEASED,
        study_key=header.study_key,
        series_key=header.series_key,
        association=ASSOCIATION,
        calling_ae="OFFLINE",
        at=at,
        frames_accepted=frames,
    )


def _slice_result(state: SeriesState, frame: Frame) -> SliceResult:
    record = state.frames.get(frame.header.identity)
    reading = state.readings.get(record.unit) if record and record.reason is None else None
    return SliceResult(frame, record, reading)
