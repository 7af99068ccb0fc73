"""The device is lost in the middle of a series: no slice is, and the finding says who read."""

import pytest

from streams.contracts.findings import FindingReason, Outcome
from streams.contracts.series import LedgerKind
from tests.support.runtimes import LOST, Device, member, reader_on
from tests.support.slices import a_slice
from tests.support.stream_worker import Worker, a_model
from triage_models.runtimes.chain import RuntimeChain
from triage_models.runtimes.faults import RuntimeFault

HEAD = range(1, 29)


@pytest.fixture
def gpu() -> Device:
    return Device("onnx-cuda")


@pytest.fixture
def worker(gpu: Device) -> Worker:
    worker = Worker()
    members = [member(gpu, lambda: RuntimeFault.DEVICE_LOST), member(Device("onnx-cpu"))]
    chain = RuntimeChain(members, 160, worker.processor.metrics)
    chain.open()
    worker.models.use(a_model(reader_on(chain)))  # type: ignore[arg-type]  # a real reader in the place of the fake one
    return worker


def scan(worker: Worker, gpu: Device, lost_at: int | None) -> None:
    worker.account(LedgerKind.OPENED)
    for number in HEAD:
        gpu.trouble = LOST if lost_at is not None and number >= lost_at else None
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)


def test_while_the_device_works_nothing_is_said_of_it(worker: Worker, gpu: Device) -> None:
    scan(worker, gpu, lost_at=None)
    assert worker.last.model is not None
    assert (worker.last.model.runtime, worker.last.model.degraded) == ("onnx-cuda", False)
    assert FindingReason.DEGRADED not in worker.last.reasons


def test_a_device_lost_in_the_middle_loses_no_slice_and_is_written_in_the_finding(worker: Worker, gpu: Device) -> None:
    scan(worker, gpu, lost_at=14)
    assert worker.last.outcome is Outcome.NOT_ASSESSABLE  # not failed; discs are no heads
    assert worker.last.coverage.slices_read == len(HEAD)
    assert worker.last.coverage.unread == {}
    assert worker.aside == []
    assert worker.last.model is not None
    assert (worker.last.model.runtime, worker.last.model.degraded) == ("onnx-cpu, onnx-cuda", True)
    assert FindingReason.DEGRADED in worker.last.reasons


def test_what_a_series_was_read_with_outlives_the_worker(worker: Worker, gpu: Device) -> None:
    worker.account(LedgerKind.OPENED)
    gpu.trouble = LOST
    for number in list(HEAD)[:10]:
        worker.send(a_slice(number))
    worker.restart()
    for number in list(HEAD)[10:]:
        worker.send(a_slice(number))
    worker.account(LedgerKind.RELEASED, len(HEAD))
    worker.wait(3)
    assert worker.last.model is not None
    assert worker.last.model.degraded


def test_faults_and_the_runtime_in_use_are_metrics(worker: Worker, gpu: Device) -> None:
    value = worker.processor.metrics.registry.get_sample_value
    gpu.trouble = LOST
    worker.send(a_slice(1))
    assert value("tocsin_streams_runtime_faults_total", {"runtime": "onnx-cuda", "fault": "device_lost"}) == 1
    assert value("tocsin_streams_runtime_in_use", {"runtime": "onnx-cpu"}) == 1
    assert value("tocsin_streams_model_degraded") == 1
