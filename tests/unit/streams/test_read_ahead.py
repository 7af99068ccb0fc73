"""Slices that wait together are read together; what is said about them is what each alone would have given."""

import asyncio

import pytest

from streams.contracts.deadletters import DeadLetterReason
from streams.contracts.findings import FindingProduced, Outcome
from streams.contracts.series import LedgerKind
from streams.contracts.slices import SliceAccepted
from streams.read_ahead import WaitingSlice
from tests.support.slices import a_slice, key
from tests.support.stream_worker import BLEED, CLEAN, FakeReader, Worker, a_model

TISSUE = [CLEAN] * 10 + [BLEED] * 4 + [CLEAN] * 14


@pytest.fixture
def worker() -> Worker:
    return Worker()


def a_series(name: str = "series", **changes: object) -> list[SliceAccepted]:
    return [a_slice(n + 1, series_key=key(name), sop_digest=key(f"{name} {n}"), **changes) for n in range(len(TISSUE))]


def told(worker: Worker) -> list[FindingProduced]:
    worker.account(LedgerKind.RELEASED, len(TISSUE))
    worker.wait(3)
    return worker.findings


def test_the_same_is_said_as_of_slices_read_one_by_one(worker: Worker) -> None:
    alone = Worker()
    for header, tissue in zip(a_series(), TISSUE, strict=True):
        alone.send(header, tissue)
    worker.send_together(list(zip(a_series(), TISSUE, strict=True)))
    assert told(worker) == told(alone)
    assert worker.last.outcome is Outcome.POSITIVE
    assert sum(worker.batches) == sum(alone.batches) == len(TISSUE)
    assert max(worker.batches) == 4
    assert max(alone.batches) == 1


def test_slices_of_several_series_are_read_together(worker: Worker) -> None:
    pairs = zip(a_series("one"), a_series("other"), strict=True)
    worker.send_together([(header, CLEAN) for pair in pairs for header in pair])
    assert sum(worker.batches) == 2 * len(TISSUE)
    assert worker.reader.reads <= len(TISSUE)
    assert worker.processor.open_series == 2


def test_a_slice_with_nothing_behind_it_goes_alone_and_at_once(worker: Worker) -> None:
    worker.send_together([(a_series()[0], CLEAN)])
    assert worker.batches == [1]


def test_a_reader_that_fails_fails_each_slice_in_its_own_turn(worker: Worker) -> None:
    worker.reader.fails = True
    worker.send_together(list(zip(a_series(), TISSUE, strict=True)))
    assert worker.aside == [DeadLetterReason.INFERENCE_FAILED] * len(TISSUE)
    assert told(worker)[-1].outcome is Outcome.FAILED


def test_pixels_that_cannot_be_read_do_not_stop_those_beside_them(worker: Worker) -> None:
    slices = a_series()
    slices[3] = slices[3].model_copy(update={"Rows": 65})
    worker.send_together([(header, CLEAN) for header in slices])
    assert worker.aside == [DeadLetterReason.PIXELS_UNREADABLE]
    assert sum(worker.batches) == len(TISSUE) - 1


def test_a_header_that_nobody_understands_is_left_to_its_turn(worker: Worker) -> None:
    broken = WaitingSlice((0, 99), b"{", b"")

    async def begin() -> None:
        worker.ahead.begin(broken, [broken])
        assert await worker.ahead.taken((0, 99)) is None

    asyncio.run(begin())


def test_thin_slices_are_looked_at_together_and_read_as_slabs(worker: Worker) -> None:
    thin = [
        a_slice(n, sop_digest=key(f"thin {n}"), SliceThickness=1.0, ImagePositionPatient=(-112.0, -112.0, 1.0 * n))
        for n in range(150)
    ]
    worker.send_together([(header, CLEAN) for header in thin])
    worker.account(LedgerKind.RELEASED, len(thin))
    worker.wait(3)
    assert worker.last.outcome is Outcome.NEGATIVE
    assert worker.last.coverage.slices_read == len(thin)
    assert set(worker.batches) == {1}
    assert len(worker.batches) < len(thin)


def test_a_series_is_read_by_the_model_it_began_with_whoever_read_ahead(worker: Worker) -> None:
    first, rest = a_series()[:2], a_series()[2:]
    worker.send_together([(header, CLEAN) for header in first])
    new = FakeReader()
    worker.models.use(a_model(new, "model 2"))
    worker.send_together([(header, CLEAN) for header in rest])
    finding = told(worker)[-1]
    assert finding.model is not None
    assert finding.model.version == "model 1"
    assert finding.coverage.slices_read == len(TISSUE)


def test_a_repeated_slice_is_taken_in_once(worker: Worker) -> None:
    twice = [header for header in a_series() for _ in range(2)]
    worker.send_together([(header, CLEAN) for header in twice])
    assert told(worker)[-1].coverage.slices_accepted == len(TISSUE)
