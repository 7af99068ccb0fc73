"""One association's account of each series that it brought (``ct.series.v1``).

Pure: it is told what happened and gives the entries to publish. ``frames_accepted`` counts the frames that were put
on ``ct.slices.v1`` under this association; a repetition of what an earlier association brought is not among them.
An object that was refused before it could be known where it belongs may be of any series of its association: each is
told, until it comes.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from streams.contracts.ids import Key
from streams.contracts.series import LedgerKind, RefusalReason, SeriesLedgerEntry

MAX_SERIES = 10_000
"""Per association; further series are carried without an account, and the streams' own watchdog sees them."""

MAX_REFUSED_OBJECTS = 256
"""Named per series and association; further ones are counted, and count as missing even when they come later."""


@dataclass(slots=True)
class _Account:
    study_key: Key
    frames: set[str] = field(default_factory=set)
    refused: Counter[RefusalReason] = field(default_factory=Counter)
    refused_objects: dict[Key, RefusalReason] = field(default_factory=dict)


class AssociationLedger:
    """The account of one association. Belongs to that association's thread."""

    def __init__(self, association: Key, calling_ae: str) -> None:
        self.association, self.calling_ae = association, calling_ae
        self._accounts: dict[Key, _Account] = {}
        self._anywhere: dict[Key, RefusalReason] = {}
        """Refused, and of no known series."""

    def is_open(self, series_key: Key) -> bool:
        return series_key in self._accounts

    def opening(self, study_key: Key, series_key: Key, at: datetime) -> SeriesLedgerEntry:
        """The entry that announces a series. It counts once :meth:`opened` is told that it is durable."""
        return self._entry(LedgerKind.OPENED, series_key, _Account(study_key), at)

    def opened(self, study_key: Key, series_key: Key) -> None:
        if len(self._accounts) < MAX_SERIES:
            self._accounts.setdefault(series_key, _Account(study_key))

    def accepted(self, series_key: Key, identities: set[str], sop_digest: Key) -> None:
        self._anywhere.pop(sop_digest, None)
        if series_key in self._accounts:
            self._accounts[series_key].frames |= identities

    def refused_unplaced(self, reason: RefusalReason, sop_digest: Key) -> None:
        """An object of which nothing but its name is known."""
        if len(self._anywhere) < MAX_REFUSED_OBJECTS:
            self._anywhere[sop_digest] = reason

    def refused(self, series_key: Key, reason: RefusalReason, sop_digest: Key | None = None) -> None:
        """Count a refused object of a series. ``sop_digest``: None where it has no usable name."""
        if sop_digest is not None:
            self._anywhere.pop(sop_digest, None)
        account = self._accounts.get(series_key)
        if account is None or sop_digest in account.refused_objects:
            return
        account.refused[reason] += 1
        if sop_digest is not None and len(account.refused_objects) < MAX_REFUSED_OBJECTS:
            account.refused_objects[sop_digest] = reason

    def close(self, kind: LedgerKind, at: datetime) -> list[SeriesLedgerEntry]:
        """The final entries, one per series, and a fresh page."""
        entries = [self._entry(kind, key, account, at) for key, account in self._accounts.items()]
        self._accounts, self._anywhere = {}, {}
        return entries

    def _entry(self, kind: LedgerKind, series_key: Key, account: _Account, at: datetime) -> SeriesLedgerEntry:
        return SeriesLedgerEntry(
            kind=kind,
            study_key=account.study_key,
            series_key=series_key,
            association=self.association,
            calling_ae=self.calling_ae,
            at=at,
            frames_accepted=len(account.frames),
            refused=dict(account.refused + Counter(self._anywhere.values())),
            refused_objects=account.refused_objects | self._anywhere,
        )
