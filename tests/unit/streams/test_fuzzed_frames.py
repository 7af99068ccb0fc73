"""Spoiled compressed frames: pixels or a reason, never a hang, and a child that does not grow."""

from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from streams.errors import PixelsUnreadable
from streams.isolated_decoder import IsolatedDecoder
from tests.support.fuzzing import fuzz, spoiled
from tests.support.slices import a_slice, soft_tissue, stored

GROWTH_BYTES = 64 << 20


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    decoder = IsolatedDecoder()
    decoder.stored_values(a_slice(), stored(soft_tissue()))
    child = decoder._child
    assert child is not None
    before = psutil.Process(child.pid).memory_info().rss
    yield decoder
    assert decoder.stored_values(a_slice(), stored(soft_tissue())).shape == (64, 64)
    assert decoder._child is not None
    assert psutil.Process(decoder._child.pid).memory_info().rss - before < GROWTH_BYTES
    decoder.close()


def compressed(syntax: str) -> bytes:
    header = a_slice()
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 64, 64, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = header.BitsAllocated, header.BitsStored, header.HighBit
    ds.PixelRepresentation = header.PixelRepresentation
    ds.PixelData = stored(soft_tissue())
    ds.compress(syntax, generate_instance_uid=False)
    return get_frame(ds.PixelData, 0, number_of_frames=1)


SYNTAXES = {"RLELossless": RLELossless, "JPEGLSLossless": JPEGLSLossless, "JPEG2000Lossless": JPEG2000Lossless}
FRAMES = {name: compressed(uid) for name, uid in SYNTAXES.items()}


@pytest.mark.parametrize("syntax", FRAMES)
def test_what_is_spoiled_here_decodes_when_it_is_whole(decoder: IsolatedDecoder, syntax: str) -> None:
    values = decoder.stored_values(a_slice(TransferSyntax=syntax), FRAMES[syntax])
    assert np.array_equal(values - 1024, soft_tissue())


@fuzz(60)
@given(
    st.sampled_from(sorted(FRAMES)),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6),
    st.none() | st.integers(0, 4000),
)
def test_spoiled_frames(decoder: IsolatedDecoder, syntax: str, spoils: list[tuple[int, int]], cut: int | None) -> None:
    try:
        values = decoder.stored_values(a_slice(TransferSyntax=syntax), spoiled(FRAMES[syntax], spoils, cut))
    except PixelsUnreadable:
        return
    assert values.shape == (64, 64)
