"""The life of a series from its first slice to its outcome: the thin shell around the pure parts.

Order of work for every message, so that a crash at any point repeats work and loses none:
1. decode, check and read the pixels; 2. publish what is to be said; 3. save the state; 4. the caller acknowledges the
message when the state is durable. A finding that was published but not saved is published again with the same revision.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from monitoring.tracing import NO_TRACES, SERIES, Span, Traces
from streams import verdict as verdicts
from streams.closing import ClosingRules, closed_by
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import (
    Clocks,
    ClosedBy,
    FindingProduced,
    FindingReason,
    FindingStatus,
    KeySlice,
    Outcome,
    SliceReason,
)
from streams.contracts.series import SeriesClockTicked, SeriesLedgerEntry, SeriesPictured
from streams.contracts.slices import SliceAccepted
from streams.evidence import KEY_SLICES, key_slice, labelled, measurements, most_suspicious, place_mm
from streams.gallery import Gallery, commission_of
from streams.metrics import StreamsMetrics
from streams.model import as_read
from streams.models import OpenModel
from streams.ports import DeadLetterSink, FindingSink, Models, StateStore
from streams.reading import Ahead, Looked, PixelWork
from streams.series_state import (
    Entry,
    FrameRecord,
    SeriesState,
    as_another_version,
    frame_record,
    note_arrival,
    note_ledger,
    note_repetition,
)
from streams.verdict import Verdict
from triage_models.errors import ModelError
from triage_models.reader import SeriesScore

logger = logging.getLogger(__name__)

T = TypeVar("T")

TICK_AGAIN = timedelta(seconds=2)


@dataclass(frozen=True)
class _Arrived:
    """A frame that is new to its series, as it was looked at."""

    header: SliceAccepted
    frame: FrameRecord
    looked: Looked
    ahead: Ahead | None


@dataclass
class SeriesProcessor:
    """Processes the messages of the series that belong to this worker, one at a time.

    Args:
        clock: the time now, aware.
        executor: one thread; pixels are worked on there.
        models: the one in use, and those that series began with.
        heard_until: everything that was accepted before this instant on a slice partition has been processed; now
            where nothing waits, None where it is not known. Silence means nothing beyond it.
        gallery: makes pictures for people; none are made without it.
    """

    store: StateStore
    findings: FindingSink
    pixels: PixelWork
    models: Models
    rules: ClosingRules
    metrics: StreamsMetrics
    clock: Callable[[], datetime]
    executor: Executor
    heard_until: Callable[[int], datetime | None]
    gallery: Gallery | None = None
    traces: Traces = NO_TRACES
    _open: dict[str, SeriesState] = field(default_factory=dict)
    _ticked: dict[str, datetime] = field(default_factory=dict)
    """When the last tick of a series was asked for that has not come yet."""

    # Messages

    async def slice_arrived(
        self,
        header: SliceAccepted,
        encoded: bytes,
        partition: int,
        offset: int,
        aside: DeadLetterSink,
        ahead: Ahead | None = None,
    ) -> None:
        """One message of ``ct.slices.v1``. ``ahead``: what was done with its pixels already."""
        state = self._state(header.study_key, header.series_key, partition)
        header = as_another_version(state, header)
        if header.identity in state.frames:
            self.metrics.slices_repeated.inc()
            if note_repetition(state, header):
                await self.store.save(state, ())
            return
        model, entries = await self._model_of(state)
        looked = ahead.looked if ahead else await self._work(lambda: self.pixels.look(header, encoded))
        arrived = _Arrived(header, frame_record(header, partition, offset, looked.reason), looked, ahead)
        entries += await self._take_in(state, model, arrived, aside)
        score = self._score(state, model)
        await self._say_while_arriving(state, model, score, header)
        if score is not None:
            state.change(peak_score=max(state.summary.peak_score, score.any))
        await self.store.save(state, entries)
        self.store.then(lambda: self.metrics.slice_done(header.accepted_at, self.clock()))
        await self.picture(state)

    async def ledger_entry(self, entry: SeriesLedgerEntry, partition: int) -> None:
        """One message of the listener's ledger."""
        state = self._state(entry.study_key, entry.series_key, partition)
        note_ledger(state, entry, self.clock())
        self._hold(state)
        await self.store.save(state, ())

    async def ticked(self, tick: SeriesClockTicked, partition: int) -> None:
        """Close the series if the evidence says so.

        The tick came by the ledger's own partition: whatever happened before it is known.
        """
        self._ticked.pop(tick.series_key, None)
        state = self._known(tick.series_key)
        if state is None:
            return  # it was closed so long ago that it is forgotten
        self._hold(state)
        reason = self._closable(state, tick.at)
        if reason is None:
            return
        model, entries = await self._model_of(state)
        entries += await self._read_leftovers(state, model)
        state.change(closed_by=reason, closed_at=self.clock())
        score = self._score(state, model)
        covered = verdicts.coverage(state)
        thresholds = model.thresholds if model else None
        verdict = verdicts.when_closed(state, covered, score.any if score else None, thresholds)
        first_time = state.summary.outcome is None
        await self._publish(state, model, verdict, score)
        if first_time and self.traces.on:
            self._trace_series(state, verdict, reason)
        state.change(outcome=verdict.outcome)
        await self.store.save(state, entries)
        self._open.pop(tick.series_key, None)
        if not state.summary.heartbeat:
            self.metrics.series_closed(verdict.outcome, reason)
        await self.picture(state)

    async def picture(self, state: SeriesState) -> None:
        """Have the pictures made that are wanted and have not been; after everything else, and without waiting."""
        if self.gallery is not None and self.gallery.wants(state.summary):
            units = {unit: state.unit_members(unit) for unit in state.readings}
            heat_maps = await self._work(lambda: self.pixels.heat_maps(units))
            self.gallery.commission(commission_of(state, heat_maps))

    async def pictured(self, event: SeriesPictured) -> None:
        """The pictures of a series are published: they need not be made again."""
        state = self._known(event.series_key)
        if state is not None and state.summary.pictured < event.revision:
            state.change(pictured=event.revision)
            await self.store.save(state, ())

    # Time

    def due(self) -> list[tuple[int, SeriesClockTicked]]:
        """Ticks for the series that could be closed now, and their partitions; one that does not come is given again
        after a while."""
        now = self.clock()
        due = [state.summary for state in self._open.values() if self._closable(state, now) is not None]
        again = now - TICK_AGAIN
        ticks = [
            (summary.partition, SeriesClockTicked(study_key=summary.study_key, series_key=summary.series_key, at=now))
            for summary in due
            if self._ticked.get(summary.series_key, again) <= again
        ]
        self._ticked |= {tick.series_key: now for _, tick in ticks}
        return ticks

    def resume(self, states: Sequence[SeriesState]) -> None:
        """Forget what was held, and hold these: after a start or a rebalance."""
        self._open = {state.summary.series_key: state for state in states if state.is_open}
        self._ticked.clear()

    def forget(self, series_key: str) -> None:
        """Drop what is held of a series; it is loaded again as last saved."""
        self._open.pop(series_key, None)

    @property
    def open_series(self) -> int:
        return len(self._open)

    def _closable(self, state: SeriesState, now: datetime) -> ClosedBy | None:
        return closed_by(state, now, self.rules, self.heard_until(state.summary.partition))

    # Steps

    def _state(self, study_key: str, series_key: str, partition: int) -> SeriesState:
        state = self._known(series_key)
        if state is None:
            state = SeriesState.opened(study_key, series_key, partition, self.clock())
        return self._hold(state)

    def _known(self, series_key: str) -> SeriesState | None:
        """What is at hand of a series, else what was saved."""
        return self._open.get(series_key) or self.store.load(series_key)

    def _hold(self, state: SeriesState) -> SeriesState:
        """Keep an open series at hand; a closed one is loaded again if something more comes."""
        if state.is_open:
            self._open[state.summary.series_key] = state
        else:
            self._open.pop(state.summary.series_key, None)
        return state

    async def _model_of(self, state: SeriesState) -> tuple[OpenModel | None, list[tuple[int, Entry]]]:
        """The model that reads this series, and what it had to read again because it took the place of another."""
        begun_with = state.summary.model
        model = self.models.in_use()
        if begun_with is not None:
            if model is not None and model.identity == begun_with:
                return model, []
            own = await self._work(lambda: self.models.of(begun_with))
            if own is not None:
                return own, []
        if model is None:
            return None, []
        state.begin_with(model.identity)
        entries: list[tuple[int, Entry]] = []
        if begun_with is not None:
            self.metrics.series_begun_again.inc()
            logger.error(
                "the model that a series began with is gone; it is read again from the start",
                extra={"series_key": state.summary.series_key},
            )
            for unit in state.stale_units():
                entries += await self._read_unit(state, model, unit)
        return model, entries

    async def _take_in(
        self,
        state: SeriesState,
        model: OpenModel | None,
        arrived: "_Arrived",
        aside: DeadLetterSink,
    ) -> list[tuple[int, Entry]]:
        """Read a new frame if it may be read, and write it into the journal."""
        frame, looked = arrived.frame, arrived.looked
        if looked.reason is SliceReason.PIXELS_UNREADABLE:
            await aside.set_aside(DeadLetterReason.PIXELS_UNREADABLE, looked.detail)
        note_arrival(state, arrived.header, self.clock())
        self._hold(state)
        entry = Entry(frame=frame)
        if looked.slice is not None and frame.slab is not None:
            self.pixels.keep(frame, looked.slice)
        elif looked.slice is not None:
            entry = await self._read_frame(state, model, arrived, aside)
        self.metrics.slices.labels((entry.frame or frame).reason or "read").inc()
        entries = [(state.append(entry), entry)]
        if frame.slab is not None and state.slab_is_due(frame.slab):
            entries += await self._read_unit(state, model, frame.unit)
        return entries

    async def _read_frame(
        self, state: SeriesState, model: OpenModel | None, arrived: "_Arrived", aside: DeadLetterSink
    ) -> Entry:
        frame = arrived.frame
        try:
            reading = self.pixels.accept(frame, arrived.ahead, model) if arrived.ahead else None
            if reading is None:
                reading = await self._work(lambda: self.pixels.read(model, [frame], arrived.looked.slice))
        except ModelError as error:
            logger.error("a slice could not be read", extra={"series_key": state.summary.series_key})
            state.change(model_failed=True)
            await aside.set_aside(DeadLetterReason.INFERENCE_FAILED, type(error).__name__)
            return Entry(frame=frame.model_copy(update={"reason": SliceReason.INFERENCE_FAILED, "slab": None}))
        return Entry(frame=frame, reading=reading)

    async def _read_unit(self, state: SeriesState, model: OpenModel | None, unit: str) -> list[tuple[int, Entry]]:
        """Read a slab from all its frames; what cannot be read stays without a reading, and the verdict says so."""
        members = state.unit_members(unit)
        try:
            reading = await self._work(lambda: self.pixels.read(model, members))
        except (ModelError, LookupError) as error:
            logger.error(
                "a slab could not be read",
                extra={"series_key": state.summary.series_key, "error": type(error).__name__},
            )
            state.change(model_failed=state.summary.model_failed or isinstance(error, ModelError))
            return []
        entry = Entry(reading=reading)
        return [(state.append(entry), entry)]

    async def _read_leftovers(self, state: SeriesState, model: OpenModel | None) -> list[tuple[int, Entry]]:
        entries: list[tuple[int, Entry]] = []
        if model is None:
            state.change(model_failed=state.summary.model_failed or bool(state.eligible()))
            return entries
        for unit in state.stale_units():
            entries += await self._read_unit(state, model, unit)
        return entries

    def _score(self, state: SeriesState, model: OpenModel | None) -> SeriesScore | None:
        if model is None or not state.readings:
            return None
        return model.reader.score([(place_mm(state, unit), unit.reading) for unit in state.readings.values()])

    async def _say_while_arriving(
        self, state: SeriesState, model: OpenModel | None, score: SeriesScore | None, header: SliceAccepted
    ) -> None:
        if score is None or model is None:
            return
        verdict = verdicts.while_arriving(state, score.any, model.thresholds)
        if verdict is not None:
            state.change(decisive_slice=header.accepted_at)
            await self._publish(state, model, verdict, score)

    async def _publish(
        self, state: SeriesState, model: OpenModel | None, verdict: Verdict, score: SeriesScore | None
    ) -> None:
        finding = await self._finding(state, model, verdict, score)
        await self.findings.publish(finding)
        state.change(revision=finding.revision, said=verdict.said)
        self.metrics.finding_published(finding)
        logger.info(
            "finding published",
            extra={
                "series_key": finding.series_key,
                "status": finding.status,
                "outcome": finding.outcome,
                "reasons": list(finding.reasons),
                "score": finding.score,
                "slices_read": finding.coverage.slices_read,
            },
        )

    async def _finding(
        self, state: SeriesState, model: OpenModel | None, verdict: Verdict, score: SeriesScore | None
    ) -> FindingProduced:
        summary, now = state.summary, self.clock()
        last = summary.last_slice or summary.last_activity
        decisive = summary.decisive_slice or (last if verdict.outcome is Outcome.POSITIVE else None)
        reasons = verdict.reasons
        readings = (unit.reading for unit in state.readings.values())
        described = as_read(model.described, readings) if model else None
        if described is not None and described.degraded and FindingReason.DEGRADED not in reasons:
            reasons = (*reasons, FindingReason.DEGRADED)
        return FindingProduced(
            study_key=summary.study_key,
            series_key=summary.series_key,
            revision=summary.revision + 1,
            status=verdict.status,
            outcome=verdict.outcome,
            reasons=reasons,
            score=score.any if score else None,
            threshold=verdict.threshold,
            probabilities=labelled(score.probabilities) if score else {},
            key_slices=await self._key_slices(state, model, verdict.outcome),
            measurements=measurements(state, model.reader, score) if model and score and _tells(verdict) else None,
            coverage=verdicts.coverage(state),
            closed_by=summary.closed_by,
            model=described,
            clocks=Clocks(
                first_slice=summary.first_slice or last,
                decisive_slice=decisive,
                last_slice=last,
                produced=now,
            ),
            calling_ae=summary.calling_ae,
            heartbeat=summary.heartbeat or None,
        )

    async def _key_slices(self, state: SeriesState, model: OpenModel | None, outcome: Outcome) -> tuple[KeySlice, ...]:
        units = most_suspicious(state, KEY_SLICES if outcome is Outcome.POSITIVE else 1)
        draw = partial(self.pixels.picture, model)
        return tuple(await self._work(lambda: [key_slice(state, unit, draw) for unit in units]))

    def _trace_series(self, state: SeriesState, verdict: Verdict, reason: ClosedBy) -> None:
        """The whole, from the first slice to the outcome; what comes after a reopening hangs below it all the same."""
        summary, now = state.summary, self.clock()
        self.traces.record(
            Span(
                "series",
                summary.series_key,
                summary.first_slice or now,
                now,
                step=SERIES,
                attributes={
                    "tocsin.outcome": verdict.outcome,
                    "tocsin.closed_by": reason,
                    "tocsin.slices": len(state.frames),
                    "tocsin.heartbeat": bool(summary.heartbeat),
                },
            )
        )

    async def _work(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.executor, work)


def _tells(verdict: Verdict) -> bool:
    """Is there, or was there, something that people want to know the size of?"""
    return verdict.outcome is Outcome.POSITIVE or verdict.status is FindingStatus.RETRACTED
