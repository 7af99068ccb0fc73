"""What a series goes through, told as a story: scanner, ledger, clock, findings."""

import random
from datetime import timedelta

import pytest

from streams import geometry
from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import ClosedBy, Estimate, FindingReason, Outcome, Side, SliceReason
from streams.contracts.series import LedgerKind, RefusalReason
from tests.support.slices import START, a_slice, key, soft_tissue, stored
from tests.support.stream_worker import BLEED, CLEAN, DOUBTFUL, Worker, later
from triage_models.bleeds import Measured
from triage_models.midline_shift import MidlineMeasurement

HEAD = range(1, 29)
"""28 slices of 5 mm: 135 mm of head."""


@pytest.fixture
def worker() -> Worker:
    return Worker()


def scan(worker: Worker, numbers: object = HEAD, bleeding: object = (), tissue: int = BLEED) -> None:
    worker.account(LedgerKind.OPENED)
    for number in numbers:  # type: ignore[attr-defined]
        worker.send(a_slice(number), tissue if number in bleeding else CLEAN)  # type: ignore[operator]
    worker.account(LedgerKind.RELEASED, len(list(numbers)))  # type: ignore[call-overload]


def test_a_clean_head_is_negative_within_three_seconds(worker: Worker) -> None:
    scan(worker)
    worker.wait(3)
    assert worker.story == ["final"]
    assert worker.last.outcome is Outcome.NEGATIVE
    assert worker.last.closed_by is ClosedBy.RELEASED_CONTIGUOUS
    assert worker.last.coverage.slices_read == len(HEAD)


def test_a_bleed_is_told_before_the_last_slice_and_confirmed(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in range(1, 11):
        worker.send(a_slice(number), BLEED if number == 8 else CLEAN)
    assert worker.story == ["provisional"]
    assert worker.last.clocks.decisive_slice == a_slice(8).accepted_at
    assert worker.last.key_slices[0].InstanceNumber == 8
    assert worker.last.key_slices[0].side is Side.LEFT
    assert worker.last.key_slices[0].image_png
    for number in range(11, 29):
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, 28)
    worker.wait(3)
    assert worker.story == ["provisional", "final"]
    assert worker.last.outcome is Outcome.POSITIVE
    assert [f.revision for f in worker.findings] == [1, 2]


def test_a_doubtful_bleed_is_told_when_the_series_is_complete(worker: Worker) -> None:
    scan(worker, bleeding=[14], tissue=DOUBTFUL)
    assert worker.story == []
    worker.wait(3)
    assert worker.story == ["final"]
    assert worker.last.outcome is Outcome.POSITIVE


def test_any_order_of_slices_gives_the_same_outcome(worker: Worker) -> None:
    shuffled = random.Random(1).sample(HEAD, len(HEAD))
    scan(worker, shuffled, bleeding=[14])
    worker.wait(3)
    assert worker.last.outcome is Outcome.POSITIVE
    assert worker.last.coverage.extent_mm == 135.0


def test_redelivery_changes_nothing(worker: Worker) -> None:
    scan(worker, bleeding=[14])
    reads = worker.reader.reads
    for offset in range(len(worker.log)):
        worker.deliver(offset)
    worker.wait(3)
    assert worker.reader.reads == reads
    assert worker.story == ["provisional", "final"]


@pytest.mark.parametrize("crash_after", [0, 5, 14, 20, 28])
def test_a_restart_anywhere_loses_nothing(worker: Worker, crash_after: int) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number), BLEED if number == 14 else CLEAN)
        if number == crash_after:
            worker.restart()
            worker.deliver(len(worker.log) - 1)
    worker.restart()
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.story == ["provisional", "final"]
    assert worker.last.coverage.slices_read == len(HEAD)
    assert worker.last.key_slices[0].image_png


def test_a_finding_published_but_not_saved_is_published_again_with_its_revision(worker: Worker) -> None:
    worker.send(a_slice(1))
    saved = dict(worker.store.summaries)
    worker.send(a_slice(2), BLEED)
    worker.store.summaries = saved
    worker.restart()
    worker.deliver(1)
    assert [(f.status.value, f.revision) for f in worker.findings] == [("provisional", 1), ("provisional", 1)]


def test_a_missing_slice_is_no_negative(worker: Worker) -> None:
    scan(worker, [n for n in HEAD if n != 14])
    worker.wait(5)
    assert worker.story == []
    worker.wait(10)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.COVERAGE_GAP in worker.last.reasons
    assert worker.last.closed_by is ClosedBy.QUIET


def test_a_slice_that_the_listener_accepted_and_nobody_read_fails_the_series(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD) + 1)
    worker.wait(15)
    assert worker.last.outcome is Outcome.FAILED
    assert worker.last.reasons == (FindingReason.SLICES_MISSING,)


def test_a_series_of_which_no_slice_ever_came_fails(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    worker.account(LedgerKind.RELEASED, 30)
    worker.wait(15)
    assert worker.story == ["failed"]


def test_a_refused_slice_is_no_negative(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD), refused={RefusalReason.TRUNCATED_PIXEL_DATA: 1})
    worker.wait(15)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.SLICES_REFUSED in worker.last.reasons


def test_what_was_put_off_and_came_after_all_is_not_missing(worker: Worker) -> None:
    late, reason = {21, 22}, RefusalReason.SPOOL_FULL
    names = {a_slice(number).sop_digest: reason for number in late}
    worker.account(LedgerKind.OPENED)
    for number in set(HEAD) - late:
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD) - 2, refused={reason: 2}, refused_objects=names)
    again = key("another association")
    worker.account(LedgerKind.OPENED, association=again)
    worker.send(a_slice(21, association=again))
    worker.account(
        LedgerKind.RELEASED, 1, association=again, refused={reason: 1}, refused_objects=dict([*names.items()][1:])
    )
    worker.wait(15)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    worker.send(a_slice(22, association=key("a third")))
    worker.account(LedgerKind.RELEASED, 1, association=key("a third"))
    worker.wait(15)
    assert worker.last.outcome is Outcome.NEGATIVE
    assert worker.last.coverage.refused == {}


def test_unreadable_pixels_are_set_aside_and_fail_a_negative(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number), data=b"\0" * 10 if number == 14 else None)
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(15)
    assert worker.aside == [DeadLetterReason.PIXELS_UNREADABLE]
    assert worker.last.outcome is Outcome.FAILED
    assert worker.last.coverage.unread == {SliceReason.PIXELS_UNREADABLE: 1}


def test_a_model_that_fails_is_a_failed_series_not_a_negative(worker: Worker) -> None:
    worker.reader.fails = True
    scan(worker)
    worker.wait(15)
    assert worker.last.outcome is Outcome.FAILED
    assert FindingReason.MODEL_FAILED in worker.last.reasons
    assert worker.aside == [DeadLetterReason.INFERENCE_FAILED] * len(HEAD)


def test_a_scout_is_not_assessable_and_says_why(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    worker.send(a_slice(1, ImageType=("ORIGINAL", "PRIMARY", "LOCALIZER")))
    worker.account(LedgerKind.RELEASED, 1)
    worker.wait(3)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert worker.last.coverage.unread == {SliceReason.LOCALIZER: 1}


def test_a_few_slices_are_not_a_head(worker: Worker) -> None:
    scan(worker, range(1, 5))
    worker.wait(3)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.TOO_FEW_SLICES in worker.last.reasons


def test_a_positive_needs_no_coverage(worker: Worker) -> None:
    scan(worker, range(1, 5), bleeding=[2])
    worker.wait(3)
    assert worker.story == ["provisional", "final"]


def test_a_late_slice_reopens_and_amends(worker: Worker) -> None:
    scan(worker, [n for n in HEAD if n != 28])
    worker.wait(3)
    worker.account(LedgerKind.OPENED, association=key("second"))
    worker.send(a_slice(28, association=key("second")), BLEED)
    worker.account(LedgerKind.RELEASED, 1, association=key("second"))
    worker.wait(6)
    assert [f.outcome.value for f in worker.findings] == ["negative", "positive", "positive"]
    assert FindingReason.LATE_SLICES in worker.last.reasons


def test_an_aborted_association_and_the_rest_on_another(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in range(1, 15):
        worker.send(a_slice(number))
    worker.account(LedgerKind.ABORTED, 14)
    worker.wait(5)
    assert worker.story == []
    for number in range(10, 29):
        worker.send(a_slice(number, association=key("second")))
    worker.account(LedgerKind.RELEASED, 19, association=key("second"))
    worker.wait(15)
    assert worker.last.outcome is Outcome.NEGATIVE
    assert worker.last.coverage.slices_read == 28


def test_an_association_whose_end_nobody_saw_delays_a_complete_series_only_a_little(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in range(1, 15):
        worker.send(a_slice(number))
    worker.account(LedgerKind.OPENED, association=key("second"), at=later(1.45))
    for number in range(1, 29):
        worker.send(a_slice(number, association=key("second")))
    worker.account(LedgerKind.RELEASED, 28, association=key("second"))
    worker.wait(9)
    assert worker.story == []
    worker.wait(2)
    assert worker.last.outcome is Outcome.NEGATIVE


def test_what_broke_off_is_not_made_good_by_what_ran_beside_it(worker: Worker) -> None:
    """One association from the middle down, the other up: the skull base never came."""
    worker.account(LedgerKind.OPENED)
    worker.account(LedgerKind.OPENED, association=key("second"))
    for number in range(5, 17):
        worker.send(a_slice(number))
    worker.account(LedgerKind.ABORTED, 12)
    for number in range(17, 33):
        worker.send(a_slice(number, association=key("second")))
    worker.account(LedgerKind.RELEASED, 16, association=key("second"))
    worker.wait(70)
    assert worker.last.coverage.extent_mm == 135
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.TRANSFER_INCOMPLETE in worker.last.reasons


def test_what_had_all_come_and_is_sent_again_is_complete(worker: Worker) -> None:
    """Only the last answer was lost: the listener knows all that is repeated, and publishes none of it again."""
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number))
    worker.account(LedgerKind.ABORTED, len(HEAD), at=later(3))
    worker.account(LedgerKind.OPENED, association=key("second"), at=later(4))
    worker.account(LedgerKind.RELEASED, 0, association=key("second"), at=later(6))
    worker.wait(20)
    assert worker.last.outcome is Outcome.NEGATIVE


def test_a_refused_object_of_no_known_series_is_missing_until_it_comes(worker: Worker) -> None:
    refused = {"refused": {RefusalReason.SPOOL_FULL: 1}, "refused_objects": {key("sop 29"): RefusalReason.SPOOL_FULL}}
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD), **refused)
    worker.wait(20)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    worker.account(LedgerKind.OPENED, association=key("second"), at=later(30))
    worker.send(a_slice(29, association=key("second"), accepted_at=later(30)))
    worker.account(LedgerKind.RELEASED, 1, association=key("second"), at=later(31))
    worker.wait(20)
    assert worker.last.outcome is Outcome.NEGATIVE


def test_frames_of_another_size_in_a_slab_are_not_taken_for_read(worker: Worker) -> None:
    thin = {"SliceThickness": 1.25}
    worker.account(LedgerKind.OPENED)
    for number in range(112):
        place = (-112.0, -112.0, 1.25 * number)
        if number == 61:
            size = {"Rows": 128, "Columns": 128, "PixelSpacing": (1.75, 1.75)}
            odd = a_slice(number, ImagePositionPatient=place, **size, **thin)
            worker.send(odd, data=stored(soft_tissue(BLEED, side=128)))
        else:
            worker.send(a_slice(number, ImagePositionPatient=place, **thin))
    worker.account(LedgerKind.RELEASED, 112)
    worker.wait(20)
    assert worker.last.outcome is Outcome.FAILED
    assert worker.last.coverage.slices_read == 111


def test_another_version_of_a_thin_slice_is_not_averaged_away(worker: Worker) -> None:
    thin = {"SliceThickness": 1.25}
    worker.account(LedgerKind.OPENED)
    for number in range(8):
        worker.send(a_slice(number, ImagePositionPatient=(-112.0, -112.0, 1.25 * number), **thin))
    again = a_slice(2, ImagePositionPatient=(-112.0, -112.0, 2.5), pixel_sha256="f" * 64, conflicting=True, **thin)
    worker.send(again, BLEED)
    assert worker.story == ["provisional"]


def test_a_series_that_never_ends_is_closed_by_the_watchdog(worker: Worker) -> None:
    """A slice every twenty seconds, for ever: neither the scanner's word nor silence says that it is over."""
    worker.account(LedgerKind.OPENED)
    number = 0
    while not worker.story:
        number += 1
        worker.send(a_slice(number, accepted_at=worker.now))
        worker.wait(20)
    assert worker.last.closed_by is ClosedBy.WATCHDOG
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.TRANSFER_INCOMPLETE in worker.last.reasons


def test_a_tick_of_a_series_that_is_forgotten_does_nothing(worker: Worker) -> None:
    worker.force_tick("forgotten")
    assert worker.story == []
    assert worker.processor.open_series == 0


@pytest.mark.parametrize("end", [LedgerKind.ABORTED, None])
def test_a_transfer_that_broke_off_is_no_negative_however_much_came(worker: Worker, end: LedgerKind | None) -> None:
    worker.account(LedgerKind.OPENED)
    for number in range(1, 25):
        worker.send(a_slice(number))
    if end is not None:
        worker.account(end, 24)
    worker.wait(35)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.TRANSFER_INCOMPLETE in worker.last.reasons


def test_what_shows_no_brain_is_no_negative_however_complete(worker: Worker) -> None:
    worker.reader.brain_share = 0.01
    scan(worker, HEAD)
    worker.wait(3)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert worker.last.reasons == (FindingReason.NO_BRAIN_SEEN,)


def test_a_bleed_is_one_also_where_no_brain_is_seen(worker: Worker) -> None:
    worker.reader.brain_share = 0.01
    scan(worker, HEAD, bleeding=[12])
    worker.wait(3)
    assert worker.last.outcome is Outcome.POSITIVE


def test_the_lower_half_of_a_head_is_no_negative(worker: Worker) -> None:
    scan(worker, range(1, 19))
    worker.wait(3)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    assert FindingReason.TOO_FEW_SLICES in worker.last.reasons


def test_one_association_per_slice_closes_once(worker: Worker) -> None:
    for number in HEAD:
        worker.account(LedgerKind.OPENED, association=key(f"a{number}"))
        worker.send(a_slice(number, association=key(f"a{number}")))
        worker.account(LedgerKind.RELEASED, 1, association=key(f"a{number}"))
        worker.wait(0.5)
    worker.wait(6)
    assert worker.story == ["final"]


def test_silence_means_nothing_while_slices_wait_in_kafka(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    worker.send(a_slice(1))
    worker.heard_until = lambda: None
    worker.wait(120)
    assert worker.story == []
    worker.heard_until = lambda: worker.now
    worker.wait(1)
    assert worker.story == ["not_assessable"]


def test_a_partition_with_a_backlog_is_silent_as_far_as_it_has_been_heard(worker: Worker) -> None:
    """Others' slices keep coming, so the partition is never read to its end."""
    worker.account(LedgerKind.OPENED)
    worker.send(a_slice(1))
    worker.heard_until = lambda: START + timedelta(seconds=20)
    worker.wait(60)
    assert worker.story == []
    worker.heard_until = lambda: START + timedelta(seconds=31)
    worker.wait(1)
    assert worker.story == ["not_assessable"]


def test_a_series_that_is_accounted_for_does_not_wait_for_the_slices_of_others(worker: Worker) -> None:
    worker.heard_until = lambda: None
    scan(worker)
    worker.wait(3)
    assert worker.last.outcome is Outcome.NEGATIVE
    assert worker.last.closed_by is ClosedBy.RELEASED_CONTIGUOUS


def test_a_series_that_is_not_accounted_for_waits(worker: Worker) -> None:
    worker.heard_until = lambda: None
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD) + 1)
    worker.wait(60)
    assert worker.story == []


def test_a_second_association_in_the_ledger_holds_the_series_open_though_its_slices_wait(worker: Worker) -> None:
    worker.heard_until = lambda: None
    scan(worker, range(1, 25))
    worker.account(LedgerKind.OPENED, association=key("second"))
    worker.wait(60)
    assert worker.story == []


def test_time_that_was_lost_in_a_queue_counts_as_settled(worker: Worker) -> None:
    """The end was two seconds ago when the worker hears of it: there is nothing left to wait for."""
    for number in HEAD:
        worker.send(a_slice(number, accepted_at=START))
    worker.now += timedelta(seconds=2)
    worker.account(LedgerKind.RELEASED, len(HEAD), at=START)
    ((_, tick),) = worker.processor.due()
    worker.force_tick(at=tick.at)
    assert worker.last.outcome is Outcome.NEGATIVE


def test_a_tick_that_is_redelivered_later_knows_no_more_than_when_it_was_given(worker: Worker) -> None:
    scan(worker)
    given = worker.now + timedelta(seconds=0.5)
    worker.now += timedelta(seconds=30)
    worker.force_tick(at=given)
    assert worker.story == []


def test_a_tick_on_its_way_is_not_given_again_at_once(worker: Worker) -> None:
    scan(worker)
    worker.now += timedelta(seconds=1.5)
    assert len(worker.processor.due()) == 1
    assert worker.processor.due() == []
    worker.now += timedelta(seconds=2)
    assert len(worker.processor.due()) == 1


def test_thin_slices_are_read_as_slabs(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    positions = [0.5 + n for n in range(120)]
    for number, z in enumerate(positions, 1):
        worker.send(
            a_slice(number, SliceThickness=1.0, ImagePositionPatient=(-112, -112, z)), BLEED if 60 < z < 65 else CLEAN
        )
    assert worker.story == ["provisional"]
    worker.account(LedgerKind.RELEASED, len(positions))
    worker.wait(3)
    assert worker.last.outcome is Outcome.POSITIVE
    assert worker.last.coverage.slices_read == len(positions)
    assert worker.reader.reads < 60


def test_slices_without_geometry_are_read_but_carry_no_negative(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number, ImagePositionPatient=None, ImageOrientationPatient=None))
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(15)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    worker.send(a_slice(99, ImagePositionPatient=None, ImageOrientationPatient=None), BLEED)
    assert worker.last.outcome is Outcome.POSITIVE


def test_a_conflicting_version_is_kept_read_and_flagged(worker: Worker) -> None:
    scan(worker)
    worker.send(a_slice(14, conflicting=True, pixel_sha256="f" * 64), BLEED)
    worker.wait(70)
    assert worker.last.outcome is Outcome.POSITIVE
    assert FindingReason.CONFLICTING_INSTANCES in worker.last.reasons


def test_a_conflicting_version_is_known_by_its_pixels_although_the_listener_forgot_the_first(worker: Worker) -> None:
    scan(worker)
    worker.send(a_slice(14, pixel_sha256="f" * 64), BLEED)
    worker.send(a_slice(14, pixel_sha256="f" * 64), BLEED)
    worker.wait(70)
    assert worker.last.outcome is Outcome.POSITIVE
    assert FindingReason.CONFLICTING_INSTANCES in worker.last.reasons
    assert worker.last.coverage.slices_accepted == len(HEAD) + 1


def test_a_transfer_that_pauses_for_long_and_then_ends_well_is_judged_again(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number))
    worker.wait(35)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.last.outcome is Outcome.NEGATIVE


def test_slices_that_were_accepted_after_the_result_and_never_came_undo_a_negative(worker: Worker) -> None:
    scan(worker)
    worker.wait(3)
    assert worker.last.outcome is Outcome.NEGATIVE
    worker.account(LedgerKind.OPENED, association=key("second"))
    worker.account(LedgerKind.RELEASED, 2, association=key("second"))
    worker.wait(15)
    assert worker.last.outcome is Outcome.FAILED
    assert FindingReason.SLICES_MISSING in worker.last.reasons


def test_a_closed_series_is_not_held_in_memory_whatever_is_repeated_of_it(worker: Worker) -> None:
    scan(worker)
    worker.wait(3)
    worker.deliver(0)
    worker.send(a_slice(3, association=key("second")))
    worker.account(LedgerKind.RELEASED, len(HEAD))
    assert worker.processor.open_series == 0


def test_a_stray_tick_does_nothing(worker: Worker) -> None:
    scan(worker)
    worker.wait(3)
    worker.force_tick()
    assert worker.story == ["final"]


def test_a_provisional_finding_says_how_much_of_the_head_has_come(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in range(1, 11):
        worker.send(a_slice(number), BLEED if number == 10 else CLEAN)
    covered = worker.last.coverage
    assert worker.story == ["provisional"]
    assert (covered.slices_read, covered.slices_estimated) == (10, 33)
    assert covered.vertex_seen is False


def test_without_geometry_nothing_is_said_of_base_and_vertex(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in range(1, 11):
        nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
        worker.send(a_slice(number, **nowhere), BLEED if number == 10 else CLEAN)
    covered = worker.last.coverage
    assert (covered.slices_estimated, covered.base_seen, covered.vertex_seen) == (None, None, None)


def test_a_positive_finding_carries_measurements_and_a_negative_none(worker: Worker) -> None:
    scan(worker, bleeding=[14])
    worker.wait(3)
    assert worker.last.outcome is Outcome.POSITIVE
    assert worker.last.measurements is not None
    clean = Worker()
    scan(clean)
    clean.wait(3)
    assert clean.last.measurements is None


def a_shift(value: float, half: float = 3.0) -> MidlineMeasurement:
    return MidlineMeasurement(shift_mm=Measured(value=value, low=value - half, high=value + half), slice=13)


@pytest.mark.parametrize(
    ("row_cosine", "value", "side"),
    [(1, 6.0, Side.LEFT), (1, -6.0, Side.RIGHT), (-1, 6.0, Side.RIGHT)],
)
def test_a_midline_shift_is_to_the_patients_side(worker: Worker, row_cosine: int, value: float, side: Side) -> None:
    worker.reader.midline = a_shift(value)
    orientation = (row_cosine, 0, 0, 0, row_cosine, 0)
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number, ImageOrientationPatient=orientation), BLEED if number == 14 else CLEAN)
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.last.measurements is not None
    shift = worker.last.measurements.midline_shift
    assert shift is not None
    assert (shift.towards, shift.shift_mm) == (side, Estimate(value=6.0, low=3.0, high=9.0))
    assert shift.position_mm == geometry.position_mm(a_slice(14, ImageOrientationPatient=orientation))


@pytest.mark.parametrize("found", [None, a_shift(2.0)])
def test_a_shift_that_is_not_certain_is_not_told(worker: Worker, found: MidlineMeasurement | None) -> None:
    worker.reader.midline = found
    scan(worker, bleeding=[14])
    worker.wait(3)
    assert worker.last.measurements is not None
    assert worker.last.measurements.midline_shift is None


def test_without_a_scale_nothing_is_measured(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number, PixelSpacing=None), BLEED if number == 14 else CLEAN)
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.last.outcome is Outcome.POSITIVE
    assert worker.last.measurements is None


def test_a_dead_man_s_study_is_marked_and_counted_nowhere(worker: Worker) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        worker.send(a_slice(number, heartbeat=True), BLEED if number == 14 else CLEAN)
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.story == ["provisional", "final"]
    assert [finding.heartbeat for finding in worker.findings] == [True, True]
    count = worker.processor.metrics.registry.get_sample_value
    assert count("tocsin_streams_series_total", {"outcome": "positive"}) == 0
    assert count("tocsin_streams_findings_total", {"status": "final"}) == 0


@pytest.mark.parametrize("patient_s", [1, 20, 28])
def test_one_slice_that_is_not_the_dead_man_s_makes_the_series_a_patient_s(worker: Worker, patient_s: int) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        mark = None if number == patient_s else True
        worker.send(a_slice(number, heartbeat=mark), BLEED if number == 14 else CLEAN)
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.last.outcome is Outcome.POSITIVE
    assert worker.last.heartbeat is None
