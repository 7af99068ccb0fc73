"""The C-STORE service: the status is the truth."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from dicom_listener.errors import SpoolFailed, SpoolFull
from dicom_listener.identities import IdentityRegister
from dicom_listener.intake import Intake
from dicom_listener.ledger import AssociationLedger
from dicom_listener.messages import OutgoingMessage
from dicom_listener.metrics import ListenerMetrics
from dicom_listener.seen import SeenObjects
from streams.contracts.identities import IdentityCipher
from streams.contracts.ids import SiteSecret
from streams.contracts.series import LedgerKind, RefusalReason, SeriesLedgerEntry
from streams.contracts.slices import SLICE_HEADER, SliceAccepted
from tests.unit.dicom_listener.ct_objects import a_ct, a_request, an_enhanced_ct, pixels

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Memory:
    """A durable log that is not."""

    def __init__(self) -> None:
        self.records: list[list[OutgoingMessage]] = []
        self.error: Exception | None = None

    def append(self, messages: Iterable[OutgoingMessage], reserved: bool = False) -> None:
        if self.error is not None and not reserved:
            raise self.error
        self.records.append(list(messages))

    def on(self, topic: str) -> list[OutgoingMessage]:
        return [m for record in self.records for m in record if m.topic == topic]

    @property
    def slices(self) -> list[SliceAccepted]:
        return [SliceAccepted.decode(dict(m.headers)[SLICE_HEADER].encode()) for m in self.on("ct.slices.v1")]

    @property
    def ledger(self) -> list[SeriesLedgerEntry]:
        return [SeriesLedgerEntry.decode(bytes(m.value)) for m in self.on("ct.series.v1")]


class Desk:
    """An intake with a scanner at it."""

    def __init__(self) -> None:
        self.log = Memory()
        self.metrics = ListenerMetrics(CollectorRegistry())
        self.intake = Intake(
            self.log,
            SiteSecret(b"s" * 32),
            IdentityRegister(IdentityCipher(b"k" * 32)),
            SeenObjects(),
            self,
            self.metrics,
            now=lambda: AT,
        )
        self.noted: set[str] = set()
        self.associate()

    def note(self, opened: SeriesLedgerEntry) -> None:
        self.noted.add(opened.association)

    def forget(self, association: str) -> None:
        self.noted.remove(association)

    def associate(self) -> None:
        self.association = AssociationLedger("e" * 32, "CT1")

    def store(self, **changes: object) -> int:
        return self.intake.store(a_request(a_ct(**changes)), self.association).status

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"tocsin_listener_{name}", labels) or 0.0


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_success_means_one_record_with_everything_in_order(desk: Desk) -> None:
    assert desk.store() == 0x0000
    (record,) = desk.log.records
    assert [m.topic for m in record] == ["ct.series.v1", "phi.identities.v1", "phi.identities.v1", "ct.slices.v1"]
    assert bytes(record[-1].value) == pixels(seed=1)
    assert record[-1].key == desk.log.slices[0].series_key


def test_an_association_is_noted_from_its_first_object_to_its_account(desk: Desk) -> None:
    assert not desk.noted
    desk.store()
    assert desk.noted == {desk.association.association}
    desk.intake.close(desk.association, LedgerKind.RELEASED)
    assert not desk.noted


def test_what_cannot_be_read_is_missing_from_the_series_of_its_association_until_it_comes(desk: Desk) -> None:
    desk.store()
    garbage = a_request(a_ct(7), data_set=b"\0" * 300)
    assert desk.intake.store(garbage, desk.association).status != 0
    second = AssociationLedger("f" * 32, "CT1")
    for request in (a_request(a_ct(8)), a_request(a_ct(7), data_set=b"\0" * 300), a_request(a_ct(7))):
        desk.intake.store(request, second)
    desk.intake.close(desk.association, LedgerKind.RELEASED)
    desk.intake.close(second, LedgerKind.RELEASED)
    told = [entry.refused for entry in desk.log.ledger if entry.kind is LedgerKind.RELEASED]
    assert told == [{RefusalReason.NOT_UNDERSTOOD: 1}, {}]


def test_the_next_slice_is_alone(desk: Desk) -> None:
    desk.store()
    assert desk.intake.store(a_request(a_ct(2)), desk.association).status == 0
    assert [m.topic for m in desk.log.records[1]] == ["ct.slices.v1"]


def test_frames_of_one_object_stand_or_fall_together(desk: Desk) -> None:
    assert desk.intake.store(a_request(an_enhanced_ct(frames=3)), desk.association).status == 0
    assert len(desk.log.records) == 1
    assert [s.frame_number for s in desk.log.slices] == [1, 2, 3]
    assert desk.count("slices_accepted_total") == 3


def test_the_same_again_is_accepted_and_published_once(desk: Desk) -> None:
    assert desk.store() == desk.store() == 0x0000
    assert len(desk.log.slices) == 1
    assert desk.count("objects_repeated_total") == 1


def test_the_same_on_another_association_is_announced_but_not_counted(desk: Desk) -> None:
    desk.store()
    desk.associate()
    desk.store()
    desk.intake.close(desk.association, LedgerKind.RELEASED)
    assert len(desk.log.slices) == 1
    assert [(e.kind, e.frames_accepted) for e in desk.log.ledger] == [
        (LedgerKind.OPENED, 0),
        (LedgerKind.OPENED, 0),
        (LedgerKind.RELEASED, 0),
    ]


def test_other_bytes_under_the_same_uid_are_both_kept_and_flagged(desk: Desk) -> None:
    desk.store()
    assert desk.store(PixelData=pixels(seed=77)) == 0x0000
    first, second = desk.log.slices
    assert (first.conflicting, second.conflicting) == (False, True)
    assert first.identity != second.identity
    assert desk.count("objects_conflicting_total") == 1


@pytest.mark.parametrize(
    ("error", "reason"), [(SpoolFull("x"), RefusalReason.SPOOL_FULL), (SpoolFailed("x"), RefusalReason.SPOOL_FAILED)]
)
def test_without_durability_the_sender_is_asked_to_try_again(
    desk: Desk, error: Exception, reason: RefusalReason
) -> None:
    desk.log.error = error
    assert desk.store() == 0xA700
    assert desk.count("objects_refused_total", reason=reason) == 1
    desk.log.error = None
    assert desk.store() == 0x0000
    assert len(desk.log.slices) == 1, "the second attempt is no repetition"


def test_a_fault_of_ours_is_a_status_and_not_an_end(desk: Desk) -> None:
    desk.log.error = RuntimeError("Doe^Jane")
    assert desk.store() == 0xA700
    assert desk.count("objects_refused_total", reason=RefusalReason.INTERNAL_ERROR) == 1


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"Modality": "MR"}, 0xA900, RefusalReason.NOT_CT),
        ({"PixelData": None}, 0xA900, RefusalReason.NO_PIXEL_DATA),
        ({"PixelData": b"ab"}, 0xC000, RefusalReason.TRUNCATED_PIXEL_DATA),
        ({"Rows": 65535}, 0xC000, RefusalReason.ABSURD_GEOMETRY),
        ({"SOPInstanceUID": "../../etc/x"}, 0x0117, RefusalReason.INVALID_UID),
    ],
)
def test_a_refusal_is_told_counted_and_in_the_ledger(
    desk: Desk, changes: dict[str, object], status: int, reason: RefusalReason, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert desk.store(**changes) == status
    assert desk.count("objects_refused_total", reason=reason) == 1
    desk.intake.close(desk.association, LedgerKind.RELEASED)
    assert [(e.kind, e.refused) for e in desk.log.ledger] == [
        (LedgerKind.OPENED, {}),
        (LedgerKind.RELEASED, {reason: 1}),
    ]
    assert len(desk.log.on("phi.identities.v1")) == 2, "a series that nobody could read must have a name"
    (line,) = [r for r in caplog.records if r.getMessage() == "object refused"]
    assert "Doe" not in str(vars(line))
    assert "etc" not in str(vars(line))


def test_a_slice_that_was_put_off_is_named_so_that_it_is_known_when_it_comes(desk: Desk) -> None:
    desk.log.error = SpoolFull("x")
    assert desk.store(SOPInstanceUID="1.2.3") == 0xA700
    desk.log.error = None
    assert desk.store(SOPInstanceUID="1.2.3") == 0x0000
    desk.intake.close(desk.association, LedgerKind.RELEASED)
    (taken,), account = desk.log.slices, desk.log.ledger[-1]
    assert account.frames_accepted == 1
    assert account.refused_objects == {taken.sop_digest: RefusalReason.SPOOL_FULL}


def test_a_refused_slice_leaves_the_others_alone(desk: Desk) -> None:
    assert desk.store(Modality="MR") == 0xA900
    assert desk.store() == 0x0000
    assert len(desk.log.slices) == 1


def test_an_object_of_no_known_series_is_in_no_ledger(desk: Desk) -> None:
    assert desk.intake.store(a_request(a_ct(), data_set=b"junk"), desk.association).status == 0xC000
    desk.intake.close(desk.association, LedgerKind.RELEASED)
    assert desk.log.records == []


def test_an_association_that_brought_nothing_says_nothing(desk: Desk) -> None:
    desk.intake.close(desk.association, LedgerKind.ABORTED)
    assert desk.log.records == []
