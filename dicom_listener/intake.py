"""The C-STORE service: from a request to a status, with everything that must be true before the status is sent.

A thin shell around pure steps: it gathers facts (clock, memory of what was seen), appends to the spool, and counts.
Law: Success is returned after the append returned, and nothing else returns Success.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from dicom_listener import identity
from dicom_listener.admission import AdmittedObject, PlacedObject, admit
from dicom_listener.errors import SpoolError, SpoolFull, Unacceptable
from dicom_listener.heartbeat import is_heartbeat
from dicom_listener.identities import IdentityRegister, SealedIdentity
from dicom_listener.incoming import IncomingObject
from dicom_listener.ledger import AssociationLedger
from dicom_listener.messages import OutgoingMessage
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.outgoing import SeriesReference, ledger_message, slices
from dicom_listener.seen import Acquaintance, SeenObjects
from dicom_listener.statuses import STATUS_BY_REASON, SUCCESS, Verdict
from monitoring.tracing import NO_TRACES, Kind, Span, Traces
from streams.contracts.ids import Key, SiteSecret
from streams.contracts.series import LedgerKind, RefusalReason, SeriesLedgerEntry

journal = logging.getLogger(__name__)


class DurableLog(Protocol):
    """Where messages become durable."""

    def append(self, messages: list[OutgoingMessage], reserved: bool = False) -> None:
        """Raises SpoolError where they did not."""


class AssociationNotes(Protocol):
    """What outlives a process that is killed (:mod:`dicom_listener.open_associations`)."""

    def note(self, opened: SeriesLedgerEntry) -> None: ...

    def forget(self, association: Key) -> None: ...


def store_step(sop_digest: Key) -> tuple[str, Key]:
    """Under which the acceptance of an object is known in its series' trace."""
    return ("store", sop_digest)


@dataclass(slots=True)
class Intake:
    """Accepts objects. One for all associations; thread-safe, as its parts are."""

    spool: DurableLog
    secret: SiteSecret
    identities: IdentityRegister
    seen: SeenObjects
    notes: AssociationNotes
    metrics: ListenerMetrics
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    traces: Traces = NO_TRACES

    def store(self, incoming: IncomingObject, ledger: AssociationLedger) -> Verdict:
        """Take one object. Never raises: whatever goes wrong becomes a status, a counter and a journal line."""
        started = self.now()
        self.metrics.bytes_received.inc(incoming.tell())
        placed = incoming.placed
        heartbeat = False
        try:
            whole = incoming.whole()
            placed = whole.judged.placed
            admitted = admit(whole)
            assert placed is not None  # what is admitted is placed
            heartbeat = is_heartbeat(placed, admitted, ledger.calling_ae, self.secret)
            self._accept(placed, admitted, ledger, started, heartbeat=heartbeat)
        except Unacceptable as error:
            return self._refuse(incoming, error.reason, error.comment, placed, ledger, error.status)
        except SpoolError as error:
            reason = RefusalReason.SPOOL_FULL if isinstance(error, SpoolFull) else RefusalReason.SPOOL_FAILED
            return self._refuse(incoming, reason, "not stored, try again", None if heartbeat else placed, ledger)
        except Exception:  # noqa: BLE001 - the C-STORE boundary: a fault of ours is a status, not a dead association
            journal.exception("an object could not be processed")
            return self._refuse(incoming, RefusalReason.INTERNAL_ERROR, "not stored, try again", placed, ledger)
        self.metrics.store_seconds.observe((self.now() - started).total_seconds())
        return Verdict(SUCCESS)

    def close(self, ledger: AssociationLedger, kind: LedgerKind) -> None:
        """The association ended: account for each of its series."""
        messages = [ledger_message(entry) for entry in ledger.close(kind, self.now())]
        if not messages:
            return
        try:
            self.spool.append(messages, reserved=True)
        except SpoolError:
            journal.exception("the account of an association could not be spooled")
            return
        self.notes.forget(ledger.association)

    # -- steps -------------------------------------------------------------------------------------------------

    def _reference(self, placed: PlacedObject) -> SeriesReference:
        return SeriesReference(
            self.secret.study_key(placed.study_uid), self.secret.series_key(placed.study_uid, placed.series_uid)
        )

    def _accept(
        self,
        placed: PlacedObject,
        admitted: AdmittedObject,
        ledger: AssociationLedger,
        started: datetime,
        *,
        heartbeat: bool,
    ) -> None:
        series = self._reference(placed)
        sop_digest = self.secret.sop_digest(admitted.sop_instance_uid)
        fingerprint = admitted.fingerprint() + series.series_key.encode()
        acquaintance = self.seen.meet(sop_digest, fingerprint, self.now().timestamp())
        try:
            self._spool(placed, admitted, series, sop_digest, acquaintance, ledger, heartbeat=heartbeat)
        except BaseException:
            self.seen.forget(sop_digest, fingerprint)
            raise
        self.seen.settle(sop_digest, fingerprint)
        if self.traces.on:
            self.traces.record(
                Span(
                    "C-STORE",
                    series.series_key,
                    started,
                    self.now(),
                    Kind.SERVER,
                    step=store_step(sop_digest),
                    attributes={
                        "tocsin.frames": len(admitted.frames),
                        "tocsin.seen": acquaintance.name.lower(),
                        "tocsin.heartbeat": heartbeat,
                    },
                )
            )

    def _spool(
        self,
        placed: PlacedObject,
        admitted: AdmittedObject,
        series: SeriesReference,
        sop_digest: str,
        acquaintance: Acquaintance,
        ledger: AssociationLedger,
        *,
        heartbeat: bool,
    ) -> None:
        at = self.now()
        sealed = [] if heartbeat else self._unpublished_identities(placed)
        messages = self._opening(series, ledger, at) + [s.message for s in sealed]
        frames = []
        if acquaintance is not Acquaintance.REPEATED:
            conflicting = acquaintance is Acquaintance.CONFLICTING
            context = self.traces.context(series.series_key, *store_step(sop_digest))
            frames = slices(admitted, series, sop_digest, ledger.association, at, conflicting, heartbeat, context)
        messages += [message for _, message in frames]
        if messages:
            self.spool.append(messages)
        identities = {event.identity for event, _ in frames}
        self._record(series, ledger, sealed, acquaintance)
        ledger.accepted(series.series_key, identities, sop_digest)
        if heartbeat:
            self.metrics.heartbeat_slices.inc(len(identities))
        elif identities:
            self.metrics.slices_taken(ledger.calling_ae, len(identities), at)

    def _opening(self, series: SeriesReference, ledger: AssociationLedger, at: datetime) -> list[OutgoingMessage]:
        if ledger.is_open(series.series_key):
            return []
        return [ledger_message(ledger.opening(series.study_key, series.series_key, at))]

    def _unpublished_identities(self, placed: PlacedObject) -> list[SealedIdentity]:
        header = placed.parsed.elements
        both = (
            identity.study_identity(header, placed.study_uid, self.secret),
            identity.series_identity(header, placed.study_uid, placed.series_uid, self.secret),
        )
        return [sealed for one in both if (sealed := self.identities.unpublished(one)) is not None]

    def _record(
        self,
        series: SeriesReference,
        ledger: AssociationLedger,
        sealed: list[SealedIdentity],
        acquaintance: Acquaintance,
    ) -> None:
        if not ledger.is_open(series.series_key):
            self.notes.note(ledger.opening(series.study_key, series.series_key, self.now()))
        ledger.opened(series.study_key, series.series_key)
        for one in sealed:
            self.identities.published(one)
        if acquaintance is Acquaintance.REPEATED:
            self.metrics.objects_repeated.inc()
        if acquaintance is Acquaintance.CONFLICTING:
            self.metrics.objects_conflicting.inc()

    def _refuse(
        self,
        incoming: IncomingObject,
        reason: RefusalReason,
        comment: str,
        placed: PlacedObject | None,
        ledger: AssociationLedger,
        status: int | None = None,
    ) -> Verdict:
        self.metrics.objects_refused.labels(reason).inc()
        name = incoming.command.sop_instance_uid
        sop_digest = self.secret.sop_digest(name) if name else None
        series = None
        if placed is not None:
            series = self._account_refusal(reason, placed, ledger, sop_digest)
        elif sop_digest is not None:
            ledger.refused_unplaced(reason, sop_digest)
        journal.warning(
            "object refused",
            extra={
                "reason": reason,
                "comment": comment,
                "calling_ae": ledger.calling_ae,
                "association": ledger.association,
                "series": series.series_key if series else None,
            },
        )
        return Verdict(status or STATUS_BY_REASON[reason], comment)

    def _account_refusal(
        self, reason: RefusalReason, placed: PlacedObject, ledger: AssociationLedger, sop_digest: Key | None
    ) -> SeriesReference:
        """A series must not go unnoticed, nor nameless, when the first that is seen of it is refused."""
        series = self._reference(placed)
        if not ledger.is_open(series.series_key):
            sealed = self._unpublished_identities(placed)
            opening = self._opening(series, ledger, self.now()) + [one.message for one in sealed]
            try:
                self.spool.append(opening, reserved=True)
                self._record(series, ledger, sealed, Acquaintance.NEW)
            except SpoolError:
                journal.exception("a series could not be announced")
                ledger.opened(series.study_key, series.series_key)
        ledger.refused(series.series_key, reason, sop_digest)
        return series
