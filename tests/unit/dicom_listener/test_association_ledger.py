"""One association's account of each series."""

from datetime import UTC, datetime

from dicom_listener.ledger import MAX_REFUSED_OBJECTS, AssociationLedger
from streams.contracts.series import LedgerKind, RefusalReason

AT = datetime(2026, 1, 2, tzinfo=UTC)
STUDY, HEAD, BONE = "a" * 32, "b" * 32, "c" * 32


def a_ledger() -> AssociationLedger:
    return AssociationLedger("d" * 32, "CT1")


def test_a_series_is_announced_empty() -> None:
    entry = a_ledger().opening(STUDY, HEAD, AT)
    assert (entry.kind, entry.frames_accepted, entry.refused) == (LedgerKind.OPENED, 0, {})
    assert (entry.study_key, entry.series_key, entry.calling_ae) == (STUDY, HEAD, "CT1")


def test_each_series_has_its_own_account() -> None:
    ledger = a_ledger()
    for series in (HEAD, BONE):
        ledger.opened(STUDY, series)
    ledger.accepted(HEAD, {"x:1", "x:2"}, "e" * 32)
    ledger.accepted(HEAD, {"x:2"}, "f" * 32)
    ledger.refused(BONE, RefusalReason.TRUNCATED_PIXEL_DATA)
    head, bone = ledger.close(LedgerKind.RELEASED, AT)
    assert (head.series_key, head.frames_accepted, head.refused) == (HEAD, 2, {})
    assert (bone.frames_accepted, bone.refused) == (0, {RefusalReason.TRUNCATED_PIXEL_DATA: 1})


def test_what_is_refused_again_counts_once_and_has_its_name() -> None:
    ledger = a_ledger()
    ledger.opened(STUDY, HEAD)
    for name in ("e" * 32, "e" * 32, "f" * 32, None, None):
        ledger.refused(HEAD, RefusalReason.SPOOL_FULL, name)
    (entry,) = ledger.close(LedgerKind.RELEASED, AT)
    assert entry.refused == {RefusalReason.SPOOL_FULL: 4}
    assert entry.refused_objects == dict.fromkeys(("e" * 32, "f" * 32), RefusalReason.SPOOL_FULL)


def test_a_ledger_names_only_so_many_refused_objects_and_counts_all() -> None:
    ledger = a_ledger()
    ledger.opened(STUDY, HEAD)
    for number in range(MAX_REFUSED_OBJECTS + 5):
        ledger.refused(HEAD, RefusalReason.SPOOL_FULL, f"{number:032x}")
    (entry,) = ledger.close(LedgerKind.RELEASED, AT)
    assert entry.refused == {RefusalReason.SPOOL_FULL: MAX_REFUSED_OBJECTS + 5}
    assert len(entry.refused_objects) == MAX_REFUSED_OBJECTS


def test_an_object_of_no_known_series_is_missing_in_each_until_it_comes() -> None:
    lost, late, known = "e" * 32, "f" * 32, "0" * 32
    ledger = a_ledger()
    for series in (HEAD, BONE):
        ledger.opened(STUDY, series)
    for name in (lost, late, known):
        ledger.refused_unplaced(RefusalReason.NOT_UNDERSTOOD, name)
    ledger.accepted(HEAD, {"x:1"}, late)
    ledger.refused(BONE, RefusalReason.SPOOL_FULL, known)
    head, bone = ledger.close(LedgerKind.RELEASED, AT)
    assert head.refused == {RefusalReason.NOT_UNDERSTOOD: 1}
    assert head.refused_objects == {lost: RefusalReason.NOT_UNDERSTOOD}
    assert bone.refused == {RefusalReason.NOT_UNDERSTOOD: 1, RefusalReason.SPOOL_FULL: 1}
    assert set(bone.refused_objects) == {lost, known}


def test_a_closed_ledger_is_empty() -> None:
    ledger = a_ledger()
    ledger.opened(STUDY, HEAD)
    assert len(ledger.close(LedgerKind.ABORTED, AT)) == 1
    assert ledger.close(LedgerKind.ABORTED, AT) == []
