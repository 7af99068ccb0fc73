"""What people get to look at, when, and what becomes of it when a worker dies."""

import numpy as np
import pytest

from streams import gallery as galleries
from streams.contracts.findings import Outcome
from streams.contracts.series import LedgerKind
from streams.evidence import KEY_SLICES
from streams.gallery import Pictured
from tests.support.pictures import unpack
from tests.support.slices import a_slice, key, soft_tissue
from tests.support.stream_worker import BLEED, CLEAN, Worker


@pytest.fixture
def worker() -> Worker:
    return Worker()


def scan(worker: Worker, last: int, bleeding: int | None = None, first: int = 1, **changes: object) -> None:
    for number in range(first, last + 1):
        worker.send(a_slice(number, **changes), BLEED if number == bleeding else CLEAN)


def release(worker: Worker, frames: int) -> None:
    worker.account(LedgerKind.RELEASED, frames)
    worker.wait(3)


def test_a_bleed_can_be_looked_at_before_the_series_is_complete_its_key_slices_first(worker: Worker) -> None:
    scan(worker, 10, bleeding=8)
    drawn = worker.draw()
    assert drawn[0][0].InstanceNumber == 8
    assert len(drawn) == 8  # what had come when the bleed was told
    event, packed, heat_map = drawn[0]
    assert np.array_equal(unpack(packed, event.Rows, event.Columns), soft_tissue(BLEED))
    assert heat_map is not None
    assert heat_map.startswith(b"\x89PNG")
    scan(worker, 28, first=11)
    release(worker, 28)
    rest = worker.draw()
    assert sorted(event.InstanceNumber or 0 for event, _, _ in rest) == [*range(9, 29)]  # none twice


def test_while_slices_wait_to_be_read_only_key_slices_of_bleeds_are_pictured(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "BUSY_SECONDS", 0.0)
    made_while_busy: list[int] = []
    looks = iter(range(60))

    def busy() -> bool:
        made_while_busy.append(len(worker.pictures))
        return next(looks, None) is not None

    worker.gallery.busy = busy
    scan(worker, 28)
    release(worker, 28)
    for number in range(1, 9):
        other = a_slice(number, series_key=key("bleeding"), sop_digest=key(f"other {number}"))
        worker.send(other, BLEED if number == 8 else CLEAN)
    of_series = [event.series_key for event, _, _ in worker.draw()]
    bleeding = of_series.count(key("bleeding"))
    assert bleeding > KEY_SLICES
    assert of_series == [key("bleeding")] * bleeding + [key("series")] * 28
    assert made_while_busy[:60] == [KEY_SLICES] * 60


def test_thin_slices_are_shown_as_they_were_read(worker: Worker) -> None:
    for number in range(1, 9):
        place = {"SliceThickness": 1.25, "ImagePositionPatient": (-112.0, -112.0, 1.25 * (number - 1))}
        worker.send(a_slice(number, **place), BLEED)
    event, packed, _ = next(one for one in worker.draw() if one[0].unit == "slab:0")
    assert event.slices in (3, 4)
    assert event.thickness_mm == pytest.approx(1.25 * event.slices)
    assert unpack(packed, event.Rows, event.Columns).max() == BLEED
    release(worker, 8)
    again = [event for event, _, _ in worker.draw() if event.unit == "slab:0"]
    assert [event.slices for event in again] == [4] * len(again)


@pytest.mark.parametrize(("which", "count"), [(Pictured.NONE, 0), (Pictured.POSITIVE, 0), (Pictured.READABLE, 28)])
def test_a_clean_head_is_pictured_as_the_site_has_set(which: Pictured, count: int) -> None:
    worker = Worker()
    worker.which = which
    worker.restart()
    scan(worker, 28)
    release(worker, 28)
    assert worker.last.outcome is Outcome.NEGATIVE
    assert len(worker.draw()) == count


def test_what_the_model_failed_on_can_be_looked_at(worker: Worker) -> None:
    worker.reader.fails = True
    scan(worker, 12)
    release(worker, 12)
    assert worker.last.outcome is Outcome.FAILED
    drawn = worker.draw()
    assert len(drawn) == 12
    assert all(heat_map is None for _, _, heat_map in drawn)


def test_a_worker_that_takes_over_makes_what_the_first_has_not(worker: Worker) -> None:
    scan(worker, 12, bleeding=6)
    worker.restart()
    assert len(worker.draw()) == 12
    worker.restart()
    assert worker.draw() == []


def test_the_same_slices_give_the_same_picture(worker: Worker) -> None:
    scan(worker, 12, bleeding=6)
    worker.kafka_is_away = True
    assert worker.draw() == []
    worker.kafka_is_away = False
    worker.restart()
    first = {event.unit: event.digest for event, _, _ in worker.draw()}
    worker.store.summaries = {k: v.replace(b'"pictured":1', b'"pictured":0') for k, v in worker.store.summaries.items()}
    worker.restart()
    assert {event.unit: event.digest for event, _, _ in worker.draw()} == first


def test_what_kafka_did_not_confirm_is_asked_for_again(worker: Worker) -> None:
    scan(worker, 12, bleeding=6)
    worker.kafka_is_away = True
    worker.draw()
    worker.kafka_is_away = False
    scan(worker, 13, first=13)
    assert len(worker.draw()) == 13


def test_a_slice_that_is_gone_from_kafka_does_not_keep_the_others(worker: Worker) -> None:
    scan(worker, 12, bleeding=6)
    worker.log[11:] = []
    worker.restart()
    assert len(worker.draw()) == 11


def test_under_a_flood_bleeds_keep_their_place(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "MOST_COMMISSIONS", 2)
    scan(worker, 12, bleeding=6)
    for name in "abc":
        worker.account(LedgerKind.OPENED, series_key=key(name))
        for number in range(1, 29):
            worker.send(a_slice(number, series_key=key(name), sop_digest=key(f"{name}{number}")))
        worker.account(LedgerKind.RELEASED, 28, series_key=key(name))
        worker.wait(3)
    drawn = worker.draw()
    assert drawn[0][0].series_key == key("series")
    assert len({event.series_key for event, _, _ in drawn}) == 2
