"""A codec that crashes or hangs costs one slice."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from streams.errors import PixelsUnreadable
from streams.isolated_decoder import IsolatedDecoder
from streams.voxels import decode
from tests.support.slices import a_slice, soft_tissue, stored

READ_ALL = "import sys; i=sys.stdin.buffer; r=lambda: i.read(int.from_bytes(i.read(4),'big')); r(); r(); "


@pytest.fixture
def decoder() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder()
    yield decoder
    decoder.close()


def test_it_decodes_what_the_worker_itself_would(decoder: IsolatedDecoder) -> None:
    values = decoder.stored_values(a_slice(), stored(soft_tissue()))
    assert np.array_equal(values - 1024, soft_tissue())


def test_only_compressed_frames_go_to_the_child() -> None:
    class Untouched:
        def stored_values(self, *_: object) -> np.ndarray:
            raise AssertionError

    assert decode(a_slice(), stored(soft_tissue()), Untouched()).rescaled  # type: ignore[arg-type]  # never called


def test_nonsense_is_unreadable_and_the_child_lives(decoder: IsolatedDecoder) -> None:
    for syntax in ("JPEG2000Lossless", "JPEGLSLossless", "RLELossless", "JPEGLosslessSV1", "HTJ2KLossless"):
        with pytest.raises(PixelsUnreadable):
            decoder.stored_values(a_slice(TransferSyntax=syntax), b"\xff\x4f\xff\x51" + bytes(1000))
    assert decoder.stored_values(a_slice(), stored(soft_tissue())).shape == (64, 64)


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), 11)", "os._exit(0)"])
def test_a_child_that_dies_over_a_frame_costs_that_frame(death: str) -> None:
    decoder = IsolatedDecoder((sys.executable, "-c", f"{READ_ALL} import os; {death}"), 10)
    for _ in range(2):
        with pytest.raises(PixelsUnreadable, match="died"):
            decoder.stored_values(a_slice(), bytes(500_000))
    decoder.close()


@pytest.mark.parametrize("hang", [f"{READ_ALL} import time; time.sleep(60)", "import time; time.sleep(60)"])
def test_a_child_that_hangs_is_killed(hang: str) -> None:
    decoder = IsolatedDecoder((sys.executable, "-c", hang), timeout_seconds=0.3)
    with pytest.raises(PixelsUnreadable, match="did not finish"):
        decoder.stored_values(a_slice(), bytes(500_000))
    decoder.close()


def test_a_codec_that_spins_is_ended_also_where_its_parent_is_gone() -> None:
    spinning = "import streams.decoding_child as child; child.CPU_SECONDS = 1; child._limit_time()\nwhile True: pass"
    assert subprocess.run((sys.executable, "-c", spinning), check=False).returncode == -signal.SIGXCPU


def test_a_frame_that_wants_too_much_memory_is_unreadable(decoder: IsolatedDecoder) -> None:
    with pytest.raises(PixelsUnreadable):
        decoder.stored_values(a_slice(Rows=65000, Columns=65000), bytes(100))
