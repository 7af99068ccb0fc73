"""Compressed pixels: each frame is the concatenation of its fragments."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from dicom_listener.admission import admit
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.syntaxes import SYNTAXES
from streams.contracts.series import RefusalReason
from tests.support.fuzzing import fuzz, spoiled
from tests.unit.dicom_listener.ct_objects import a_ct, a_request, an_encapsulated_request, encapsulated, encoded


def frames(request: IncomingObject) -> list[bytes]:
    return [bytes(frame.pixels) for frame in admit(request.whole()).frames]


def reason(request: IncomingObject) -> RefusalReason:
    with pytest.raises(Unacceptable) as caught:
        frames(request)
    return caught.value.reason


COMPRESSED = [uid for uid, syntax in SYNTAXES.items() if syntax.encapsulated]


@pytest.mark.parametrize("syntax", COMPRESSED)
def test_a_single_frame_in_one_fragment(syntax: str) -> None:
    assert frames(an_encapsulated_request(syntax, encapsulated([b"abcd"]))) == [b"abcd"]


def test_a_single_frame_in_several_fragments() -> None:
    assert frames(an_encapsulated_request(JPEGLSLossless, encapsulated([b"ab", b"cd", b"ef"]))) == [b"abcdef"]


def test_one_fragment_per_frame_needs_no_table() -> None:
    request = an_encapsulated_request(JPEGLSLossless, encapsulated([b"ab", b"cd"]), NumberOfFrames=2)
    assert frames(request) == [b"ab", b"cd"]


def test_the_basic_offset_table_tells_frames_apart() -> None:
    element = encapsulated([b"ab", b"cdef", b"gh"], table=[0, 10])
    assert frames(an_encapsulated_request(JPEG2000Lossless, element, NumberOfFrames=2)) == [b"ab", b"cdefgh"]


def test_the_extended_offset_table_tells_frames_apart() -> None:
    ds = a_ct(PixelData=None, NumberOfFrames=2)
    head = encoded(ds, JPEG2000Lossless)
    table = struct.pack("<2Q", 0, 22)
    head += struct.pack("<HH2sHL", 0x7FE0, 0x0001, b"OV", 0, len(table)) + table
    request = a_request(ds, JPEG2000Lossless, data_set=head + encapsulated([b"ab", b"cdef", b"gh"]))
    assert frames(request) == [b"abcdef", b"gh"]


@pytest.mark.parametrize(
    "table", [None, [0], [0, 3], [10, 0], [0, 0]], ids=["none", "short", "between", "backwards", "twice"]
)
def test_frames_that_cannot_be_told_apart(table: list[int] | None) -> None:
    element = encapsulated([b"ab", b"cdef", b"gh"], table=table)
    assert reason(an_encapsulated_request(JPEGLSLossless, element, NumberOfFrames=2)) is RefusalReason.NOT_UNDERSTOOD


@pytest.mark.parametrize(
    "element",
    [
        encapsulated([b"abcd"], end=False),
        encapsulated([]),
        encapsulated([b""]),
        encapsulated([b"abcd"])[:-10],
        encapsulated([b"abcd"])[:30],
        encapsulated([b"abcd"]).replace(b"\xfe\xff\x00\xe0", b"\xfe\xff\x01\xe0"),
        encapsulated([])[:12],
    ],
    ids=["no end", "no fragment", "empty", "cut", "cut fragment", "alien item", "nothing"],
)
def test_malformed_fragments(element: bytes) -> None:
    assert reason(an_encapsulated_request(JPEGLSLossless, element)) is RefusalReason.TRUNCATED_PIXEL_DATA


def test_a_fragment_that_announces_more_than_there_is() -> None:
    element = bytearray(encapsulated([b"abcd"]))
    element[24:28] = struct.pack("<L", 0xFFFFFFF0)
    assert reason(an_encapsulated_request(JPEGLSLossless, bytes(element))) is RefusalReason.TRUNCATED_PIXEL_DATA


def test_another_group_in_place_of_pixels() -> None:
    ds = Dataset()
    ds.update(a_ct(PixelData=None))
    ds.FloatPixelData = b"\0" * 1024
    assert reason(a_request(ds)) is RefusalReason.NO_PIXEL_DATA


TWO_FRAMES = encapsulated([b"ab", b"cdef", b"gh"], table=[0, 10])


@fuzz(150)
@given(
    st.lists(st.tuples(st.integers(0, len(TWO_FRAMES)), st.integers(0, 255)), min_size=1, max_size=6),
    st.none() | st.integers(0, len(TWO_FRAMES)),
)
def test_spoiled_fragments_are_frames_or_a_reason(spoils: list[tuple[int, int]], cut: int | None) -> None:
    element = spoiled(TWO_FRAMES, spoils, cut)
    try:
        found = frames(an_encapsulated_request(JPEGLSLossless, element, NumberOfFrames=2))
    except Unacceptable:
        return
    assert len(found) == 2
    assert sum(map(len, found)) <= len(element)
