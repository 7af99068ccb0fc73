"""An object is judged the same, however it arrives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless

from dicom_listener.admission import StoreCommand, admit
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from streams.contracts.series import RefusalReason
from tests.support.fuzzing import fuzz
from tests.unit.dicom_listener.ct_objects import (
    MAX_OBJECT_BYTES,
    a_ct,
    a_request,
    an_enhanced_ct,
    arriving,
    encapsulated,
    encoded,
)

PRIVATE = "x" * 5000
BIG = {"Rows": 256, "Columns": 256, "PixelData": bytes(range(256)) * 512}


def outcome(incoming: IncomingObject) -> Any:
    try:
        admitted = admit(incoming.whole())
    except Unacceptable as refusal:
        return refusal.reason, refusal.comment
    return admitted.fingerprint(), [bytes(frame.pixels) for frame in admitted.frames]


OBJECTS = {
    "small": (a_ct(), ExplicitVRLittleEndian),
    "big": (a_ct(**BIG), ExplicitVRLittleEndian),
    "implicit": (a_ct(**BIG), ImplicitVRLittleEndian),
    "deflated": (a_ct(**BIG), DeflatedExplicitVRLittleEndian),
    "long header": (a_ct(**BIG, ImageComments=PRIVATE), ExplicitVRLittleEndian),
    "enhanced": (an_enhanced_ct(frames=40), ExplicitVRLittleEndian),
    "MR": (a_ct(**BIG, Modality="MR"), ExplicitVRLittleEndian),
    "no study": (a_ct(**BIG, StudyInstanceUID=None), ExplicitVRLittleEndian),
    "truncated": (a_ct(**(BIG | {"Rows": 257})), ExplicitVRLittleEndian),
    "padded": (a_ct(**(BIG | {"Rows": 255})), ExplicitVRLittleEndian),
    "absurd": (a_ct(**(BIG | {"BitsStored": 40})), ExplicitVRLittleEndian),
}


@pytest.mark.parametrize(("ds", "syntax"), OBJECTS.values(), ids=OBJECTS.keys())
@pytest.mark.parametrize("fragment_bytes", [100, 4096, 5001, 16_378, 70_000, 131_066])
def test_fragments_make_no_difference(ds: Any, syntax: str, fragment_bytes: int) -> None:
    assert outcome(a_request(ds, syntax, fragment_bytes=fragment_bytes)) == outcome(a_request(ds, syntax))


def test_compressed_pixels_make_no_difference() -> None:
    ds = a_ct(PixelData=None)
    data = encoded(ds, JPEGLSLossless) + encapsulated([bytes(9000), bytes(7000)])
    whole = a_request(ds, JPEGLSLossless, data_set=data)
    assert outcome(a_request(ds, JPEGLSLossless, data_set=data, fragment_bytes=5000)) == outcome(whole)


def test_a_big_slice_is_hashed_on_the_way() -> None:
    assert a_request(a_ct(**BIG), fragment_bytes=16_378).whole().hashed is not None


def test_beyond_the_limit_nothing_is_kept() -> None:
    incoming = arriving(StoreCommand("1.2", "1.3", str(ExplicitVRLittleEndian)), b"x" * (MAX_OBJECT_BYTES + 1), 100_000)
    assert len(incoming.getvalue()) == 0
    assert outcome(incoming)[0] is RefusalReason.TOO_LARGE


def test_what_is_refused_on_the_way_keeps_its_place() -> None:
    ds = a_ct(**BIG)
    incoming = a_request(ds, data_set=encoded(ds) + bytes(MAX_OBJECT_BYTES), fragment_bytes=16_378)
    assert outcome(incoming)[0] is RefusalReason.TOO_LARGE
    assert incoming.placed is not None
    assert (incoming.placed.study_uid, incoming.placed.series_uid) == (ds.StudyInstanceUID, ds.SeriesInstanceUID)


COMMAND = StoreCommand("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4.5.1", "")


@fuzz(150)
@given(
    st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]),
    st.binary(max_size=600),
    st.integers(1, 700),
)
def test_arbitrary_bytes_are_refused_and_never_crash(syntax: str, noise: bytes, fragment_bytes: int) -> None:
    command = StoreCommand(COMMAND.sop_class_uid, COMMAND.sop_instance_uid, str(syntax))
    with pytest.raises(Unacceptable):
        admit(arriving(command, noise, fragment_bytes).whole())


SEED = encoded(a_ct(ImageComments=PRIVATE))


@fuzz(300)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_spoiled_objects_never_crash(spoils: list[tuple[int, int]], cut: bool) -> None:
    data = bytearray(SEED)
    for position, value in spoils:
        data[position] = value
    data = data[: spoils[0][0]] if cut else data
    command = StoreCommand(COMMAND.sop_class_uid, COMMAND.sop_instance_uid, str(ExplicitVRLittleEndian))
    assert outcome(arriving(command, bytes(data), 1000)) == outcome(arriving(command, bytes(data)))
