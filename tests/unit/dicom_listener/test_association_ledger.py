"""One association's account of each series."""

from datetime import UTC, datetime

from dicom_listener.ledger import AssociationLedger
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
    ledger.accepted(HEAD, {"x:1", "x:2"})
    ledger.accepted(HEAD, {"x:2"})
    ledger.refused(BONE, RefusalReason.TRUNCATED_PIXEL_DATA)
    head, bone = ledger.close(LedgerKind.RELEASED, AT)
    assert (head.series_key, head.frames_accepted, head.refused) == (HEAD, 2, {})
    assert (bone.frames_accepted, bone.refused) == (0, {RefusalReason.TRUNCATED_PIXEL_DATA: 1})


def test_a_closed_ledger_is_empty() -> None:
    ledger = a_ledger()
    ledger.opened(STUDY, HEAD)
    assert len(ledger.close(LedgerKind.ABORTED, AT)) == 1
    assert ledger.close(LedgerKind.ABORTED, AT) == []
