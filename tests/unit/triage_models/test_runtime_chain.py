"""A device that fails costs time, never a slice; and it is given work again when it is back."""

import time

import numpy as np
import pytest

from tests.support.runtimes import FULL, LOST, Device, member, reader_on
from triage_models.errors import InferenceFailed, RuntimeUnavailable
from triage_models.reader import HeadSlice
from triage_models.runtimes.chain import RuntimeChain
from triage_models.runtimes.faults import RuntimeFault, fault_of
from triage_models.runtimes.names import RuntimeName, named
from triage_models.runtimes.recovery import RuntimeRecovery
from triage_models.runtimes.reference_slice import reference_batch
from triage_models.runtimes.standing import (
    RESTS,
    STEADY_SECONDS,
    Phase,
    Standing,
    after_fault,
    after_return,
    order_of_attempts,
    ready,
    to_try,
)

BATCH = reference_batch(160)
A_SLICE = HeadSlice(np.full((64, 64), 30.0, np.float32), (3.0, 3.0))


class Heard:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, RuntimeFault]] = []
        self.served: list[tuple[str, bool]] = []

    def fell(self, name: str, fault: RuntimeFault) -> None:
        self.faults.append((name, fault))

    def serves(self, name: str, degraded: bool) -> None:
        self.served.append((name, degraded))


class Scene:
    """A GPU before a CPU, a clock that is moved by hand, and a device that is asked about in `trial`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.gpu = Device()
        self.heard = Heard()
        self.trial: RuntimeFault | None = None
        self.trials = 0
        members = [member(self.gpu, self._trial), member(Device("onnx-cpu"))]
        self.chain = RuntimeChain(members, 160, self.heard, lambda: self.now)

    def _trial(self) -> RuntimeFault | None:
        self.trials += 1
        return self.trial

    def read(self) -> str:
        self.chain.infer(BATCH)
        return self.chain.name


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.chain.open()
    return made


# The table


@pytest.mark.parametrize("fault", list(RuntimeFault))
def test_every_fault_has_a_rest_that_doubles_up_to_a_limit(fault: RuntimeFault) -> None:
    standing, seconds = ready("gpu", 0.0), []
    for _ in range(40):
        standing = after_fault(standing, fault, 100.0)
        seconds.append(standing.try_at - 100.0)
        standing = after_return(standing, 100.0)
    rest = RESTS[fault]
    assert seconds[:2] == [rest.first_seconds, min(2 * rest.first_seconds, rest.longest_seconds)]
    assert seconds[-1] == rest.longest_seconds


def test_a_runtime_that_was_steady_starts_from_the_first_rest() -> None:
    worn = after_return(after_fault(after_fault(ready("gpu", 0), RuntimeFault.OTHER, 0), RuntimeFault.OTHER, 0), 0)
    again = after_fault(worn, RuntimeFault.OTHER, STEADY_SECONDS)
    assert again.failures == 1


def test_who_is_ready_comes_first_and_who_rests_is_the_last_resort() -> None:
    resting = [Standing(name, Phase.RESTING, 0) for name in ("gpu", "cpu")]
    assert order_of_attempts([resting[0], ready("cpu", 0)]) == ["cpu", "gpu"]
    assert order_of_attempts(resting) == ["cpu", "gpu"]


def test_the_best_resting_runtime_is_tried_when_its_time_has_come() -> None:
    standings = [after_fault(ready(name, 0), RuntimeFault.OTHER, 0) for name in ("trt", "cuda")]
    assert to_try(standings, standings[0].try_at - 0.1) is None
    due = to_try(standings, standings[0].try_at)
    assert due is not None
    assert due.name == "trt"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (LOST, RuntimeFault.DEVICE_LOST),
        (FULL, RuntimeFault.OUT_OF_MEMORY),
        ("CUDA: cudaErrorInsufficientDriver", RuntimeFault.DRIVER_MISMATCH),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for 12 bytes", RuntimeFault.OUT_OF_MEMORY),
        (
            "CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR; CUDA failure 700: an illegal memory access",
            RuntimeFault.DEVICE_LOST,
        ),
        ("something new", RuntimeFault.OTHER),
    ],
)
def test_faults_are_told_from_what_was_raised(words: str, fault: RuntimeFault) -> None:
    error = InferenceFailed("the network failed")
    error.__cause__ = RuntimeError(words)
    assert fault_of(error) is fault
    assert fault_of(RuntimeUnavailable("no engine")) is RuntimeFault.UNAVAILABLE


# The chain


def test_the_expected_runtime_reads_while_all_is_well(scene: Scene) -> None:
    assert scene.read() == "onnx-cuda"
    assert scene.heard.served == [("onnx-cuda", False)]


@pytest.mark.parametrize(
    ("trouble", "fault"),
    [(LOST, RuntimeFault.DEVICE_LOST), (FULL, RuntimeFault.OUT_OF_MEMORY), ("nan", RuntimeFault.NONSENSE)],
)
def test_a_failing_device_is_passed_over_within_the_same_batch(scene: Scene, trouble: str, fault: RuntimeFault) -> None:
    scene.gpu.trouble = trouble
    answer = scene.chain.infer(BATCH)
    assert np.isfinite(answer["logits"]).all()
    assert scene.chain.name == "onnx-cpu"
    assert scene.heard.faults == [("onnx-cuda", fault)]
    assert scene.heard.served[-1] == ("onnx-cpu", True)


def test_a_resting_device_is_left_alone_until_its_time_has_come(scene: Scene) -> None:
    scene.gpu.trouble = LOST
    scene.read()
    scene.gpu.trouble = None
    assert scene.read() == "onnx-cpu"
    assert not scene.chain.recover()
    assert scene.trials == 0


def test_a_device_that_is_back_reads_again(scene: Scene) -> None:
    scene.gpu.trouble = LOST
    scene.read()
    scene.gpu.trouble = None
    scene.now += 11
    assert scene.chain.recover()
    assert scene.read() == "onnx-cuda"
    assert scene.heard.served[-1] == ("onnx-cuda", False)


def test_a_device_that_is_still_gone_is_tried_ever_less_often(scene: Scene) -> None:
    scene.gpu.trouble, scene.trial = LOST, RuntimeFault.DEVICE_LOST
    scene.read()
    for _ in range(100):
        scene.now += 10
        assert not scene.chain.recover()
        assert scene.read() == "onnx-cpu"
    assert 4 <= scene.trials <= 8


def test_a_device_that_is_back_for_others_only_asks_for_a_fresh_process(scene: Scene) -> None:
    scene.gpu.trouble = LOST
    scene.read()
    scene.now += 11
    assert not scene.chain.recover()
    assert scene.chain.wants_fresh_process


def test_nonsense_of_everyone_is_no_ones_fault_and_never_an_answer() -> None:
    one, other = Device("onnx-cuda"), Device("onnx-cpu")
    chain = RuntimeChain([member(one), member(other)], 160)
    chain.open()
    one.trouble = other.trouble = "nan"
    with pytest.raises(InferenceFailed, match="not finite"):
        chain.infer(BATCH)
    one.trouble = other.trouble = None
    chain.infer(BATCH)
    assert chain.name == "onnx-cuda"


def test_when_nothing_is_ready_every_slice_is_tried_all_the_same() -> None:
    only = Device("onnx-cpu")
    chain = RuntimeChain([member(only)], 160)
    chain.open()
    only.trouble = FULL
    with pytest.raises(InferenceFailed, match="MemoryAllocation"):
        chain.infer(BATCH)
    only.trouble = None
    assert np.isfinite(chain.infer(BATCH)["logits"]).all()


def test_a_chain_opens_with_what_works_and_says_who_should_have_read() -> None:
    broken = Device()
    broken.trouble = "CUDA: cudaErrorInsufficientDriver"
    heard = Heard()
    chain = RuntimeChain([member(broken), member(Device("onnx-cpu"))], 160, heard)
    chain.open()
    assert heard.faults == [("onnx-cuda", RuntimeFault.DRIVER_MISMATCH)]
    assert heard.served == [("onnx-cpu", True)]
    ((reading, _),) = reader_on(chain).read([A_SLICE])
    assert (reading.runtime, reading.degraded) == ("onnx-cpu", True)


def test_a_chain_in_which_nothing_works_does_not_open() -> None:
    broken = Device()
    broken.trouble = LOST
    with pytest.raises(InferenceFailed, match="no runtime can be used"):
        RuntimeChain([member(broken)], 160).open()


def test_a_runtime_that_answers_otherwise_than_the_others_never_reads() -> None:
    class Off(Device):
        def infer(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            answer = super().infer(batch)
            return {**answer, "logits": answer["logits"] + 3}

    heard = Heard()
    chain = RuntimeChain([member(Off()), member(Device("onnx-cpu"))], 160, heard)
    chain.open()
    chain.infer(BATCH)
    assert chain.name == "onnx-cpu"
    assert heard.faults == [("onnx-cuda", RuntimeFault.NONSENSE)]


def test_the_device_comes_back_while_slices_are_read() -> None:
    scene = Scene()
    scene.chain.open()
    scene.gpu.trouble = LOST
    scene.read()
    scene.gpu.trouble, scene.now = None, 20.0
    recovery = RuntimeRecovery(every_seconds=0.01)
    recovery.watch(scene.chain)
    recovery.start()
    deadline = time.monotonic() + 30
    while scene.read() != "onnx-cuda" and time.monotonic() < deadline:
        pass
    recovery.stop()
    assert scene.chain.name == "onnx-cuda"


# Names


def test_auto_goes_from_the_best_to_the_plainest() -> None:
    assert named("auto")[-1] is RuntimeName.ONNX_CPU
    assert RuntimeName.TORCH not in named("auto")


def test_an_unknown_runtime_is_refused_by_name() -> None:
    with pytest.raises(RuntimeUnavailable, match="abacus"):
        named("onnx-cuda, abacus")
