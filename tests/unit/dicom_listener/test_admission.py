"""What may enter, and why the rest may not."""

import json
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
)

from dicom_listener.admission import AdmittedObject, admit
from dicom_listener.errors import Unacceptable
from dicom_listener.incoming import IncomingObject
from dicom_listener.outgoing import SeriesReference, slices
from streams.contracts.series import RefusalReason
from tests.unit.dicom_listener.ct_objects import (
    MAX_OBJECT_BYTES,
    SERIES,
    SIDE,
    STUDY,
    UNCOMPRESSED,
    a_ct,
    a_request,
    an_encapsulated_request,
    an_enhanced_ct,
    encapsulated,
    encoded,
    pixels,
)


def admitted(request: IncomingObject) -> AdmittedObject:
    return admit(request.whole())


def refusal(request: IncomingObject) -> RefusalReason:
    with pytest.raises(Unacceptable) as caught:
        admitted(request)
    return caught.value.reason


@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_a_slice_enters_as_it_came(syntax: str) -> None:
    found = admitted(a_request(a_ct(), syntax))
    assert found.sop_class == "CTImageStorage"
    assert [bytes(frame.pixels) for frame in found.frames] == [pixels(seed=1)]


def test_deflated_pixels_travel_on_inflated() -> None:
    (frame,) = admitted(a_request(a_ct(), DeflatedExplicitVRLittleEndian)).frames
    assert frame.attributes["TransferSyntax"] == "ExplicitVRLittleEndian"


def test_big_endian_pixels_keep_their_bytes_and_say_so() -> None:
    ds = a_ct()
    (frame,) = admitted(a_request(ds, ExplicitVRBigEndian)).frames
    assert bytes(frame.pixels) == ds.PixelData
    assert frame.attributes["TransferSyntax"] == "ExplicitVRBigEndian"
    assert frame.attributes["Rows"] == SIDE


def test_study_and_series_are_known_before_the_object_is_judged() -> None:
    placed = a_request(a_ct(Modality="MR")).whole().judged.placed
    assert placed is not None
    assert (placed.study_uid, placed.series_uid) == (STUDY, SERIES)


REFUSED: dict[str, tuple[Callable[[], IncomingObject], RefusalReason]] = {
    "not DICOM": (lambda: a_request(a_ct(), data_set=b"\xff" * 500), RefusalReason.NOT_UNDERSTOOD),
    "empty": (lambda: a_request(a_ct(), data_set=b""), RefusalReason.NOT_UNDERSTOOD),
    "no study": (lambda: a_request(a_ct(StudyInstanceUID=None)), RefusalReason.NOT_UNDERSTOOD),
    "MR in a CT class": (lambda: a_request(a_ct(Modality="MR")), RefusalReason.NOT_CT),
    "another class": (lambda: a_request(a_ct(SOPClassUID=MRImageStorage)), RefusalReason.NOT_CT),
    "class of the command": (lambda: a_request(a_ct(), sop_class_uid="1.2.3"), RefusalReason.UID_MISMATCH),
    "instance of the command": (lambda: a_request(a_ct(), sop_instance_uid="1.2.9"), RefusalReason.UID_MISMATCH),
    "path as UID": (lambda: a_request(a_ct(SOPInstanceUID="../../etc/x")), RefusalReason.INVALID_UID),
    "path as series": (lambda: a_request(a_ct(SeriesInstanceUID="1..2/../x")), RefusalReason.INVALID_UID),
    "long UID": (lambda: a_request(a_ct(StudyInstanceUID="1." + "2" * 70)), RefusalReason.INVALID_UID),
    "no pixel data": (lambda: a_request(a_ct(PixelData=None)), RefusalReason.NO_PIXEL_DATA),
    "truncated pixels": (lambda: a_request(a_ct(PixelData=pixels()[:-2])), RefusalReason.TRUNCATED_PIXEL_DATA),
    "cut data set": (
        lambda: a_request(a_ct(), data_set=encoded(a_ct())[:-40]),
        RefusalReason.TRUNCATED_PIXEL_DATA,
    ),
    "a frame too many": (lambda: a_request(a_ct(PixelData=pixels() * 2)), RefusalReason.ABSURD_GEOMETRY),
    "a frame too few": (lambda: a_request(a_ct(NumberOfFrames=2)), RefusalReason.TRUNCATED_PIXEL_DATA),
    "no rows": (lambda: a_request(a_ct(Rows=None)), RefusalReason.ABSURD_GEOMETRY),
    "zero rows": (lambda: a_request(a_ct(Rows=0)), RefusalReason.ABSURD_GEOMETRY),
    "a bomb": (lambda: a_request(a_ct(Rows=65535, Columns=65535)), RefusalReason.ABSURD_GEOMETRY),
    "many frames": (lambda: a_request(a_ct(NumberOfFrames=10**9)), RefusalReason.ABSURD_GEOMETRY),
    "odd bits": (lambda: a_request(a_ct(BitsAllocated=12)), RefusalReason.ABSURD_GEOMETRY),
    "more bits stored than there are": (lambda: a_request(a_ct(BitsStored=17)), RefusalReason.ABSURD_GEOMETRY),
    "a frame beyond the limit": (lambda: a_request(a_ct(Rows=4096, Columns=4096)), RefusalReason.TOO_LARGE),
    "near-lossless": (
        lambda: a_request(a_ct(), transfer_syntax_uid=JPEGLSNearLossless),
        RefusalReason.UNSUPPORTED_TRANSFER_SYNTAX,
    ),
    "private syntax": (
        lambda: a_request(a_ct(), transfer_syntax_uid="1.2.3.4.5"),
        RefusalReason.UNSUPPORTED_TRANSFER_SYNTAX,
    ),
    "deflate bomb": (
        lambda: a_request(a_ct(PixelData=bytes(MAX_OBJECT_BYTES)), DeflatedExplicitVRLittleEndian),
        RefusalReason.TOO_LARGE,
    ),
    "not deflated": (
        lambda: a_request(a_ct(), DeflatedExplicitVRLittleEndian, data_set=b"\xff" * 90),
        RefusalReason.NOT_UNDERSTOOD,
    ),
    "fragments in a native syntax": (
        lambda: an_encapsulated_request(ExplicitVRLittleEndian, encapsulated([b"ab"])),
        RefusalReason.TRUNCATED_PIXEL_DATA,
    ),
    "native pixels in a compressed syntax": (
        lambda: a_request(a_ct(), JPEGLSLossless),
        RefusalReason.TRUNCATED_PIXEL_DATA,
    ),
}


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_is_refused_with_its_reason(build: Callable[[], IncomingObject], reason: RefusalReason) -> None:
    assert refusal(build()) is reason


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"])
def test_missing_geometry_is_no_reason_to_refuse(keyword: str) -> None:
    (frame,) = admitted(a_request(a_ct(**{keyword: None}))).frames
    assert keyword not in frame.attributes
    assert frame.attributes["unreadable"] == ()


def test_a_missing_modality_is_for_the_streams_to_judge() -> None:
    (frame,) = admitted(a_request(a_ct(Modality=None))).frames
    assert frame.attributes["Modality"] == ""


def test_leading_zeros_in_a_uid_are_tolerated() -> None:
    assert admitted(a_request(a_ct(SOPInstanceUID="1.02.003"))).sop_instance_uid == "1.02.003"


def test_the_fingerprint_is_of_what_would_be_published() -> None:
    same = admitted(a_request(a_ct())).fingerprint()
    assert admitted(a_request(a_ct(PatientName="Doe^Jane^Corrected"), ImplicitVRLittleEndian)).fingerprint() != same
    assert admitted(a_request(a_ct(PatientName="Doe^Jane^Corrected"))).fingerprint() == same
    assert admitted(a_request(a_ct(RescaleIntercept=0))).fingerprint() != same
    assert admitted(a_request(a_ct(PixelData=pixels(seed=9)))).fingerprint() != same


# -- privacy -------------------------------------------------------------------------------------------------------

SECRET = "zebedee"  # in lower case: no code string, no number, no kernel, no UID
TEXT_VRS = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
PLACING = {"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "NumberOfFrames"}
IN_THE_DOOR = {"TransferSyntaxUID", "SpecificCharacterSet", "PhotometricInterpretation", "ConvolutionKernel"}


def with_secrets_everywhere(ds: Dataset) -> Dataset:
    """Every text attribute of the dictionary below the pixel data, and a private one, says the secret."""
    from pydicom.datadict import DicomDictionary
    from pydicom.dataelem import RawDataElement

    for number, (vr, _vm, _name, _retired, keyword) in DicomDictionary.items():
        if vr in TEXT_VRS and keyword and 0x00080000 <= number < 0x7FE00000 and keyword not in PLACING | IN_THE_DOOR:
            value = SECRET.encode() + b" " * (len(SECRET) % 2)
            ds[Tag(number)] = RawDataElement(Tag(number), vr, len(value), value, 0, False, True)
    ds.private_block(0x0029, "ACME", create=True).add_new(0x10, "LO", SECRET)
    return ds


@pytest.mark.parametrize("build", [a_ct, an_enhanced_ct], ids=["classic", "enhanced"])
def test_nothing_but_the_whitelist_leaves(build: Callable[[], Dataset]) -> None:
    found = admitted(a_request(with_secrets_everywhere(build())))
    series = SeriesReference("a" * 32, "b" * 32)
    from datetime import UTC, datetime

    published = slices(found, series, "c" * 32, "d" * 32, datetime(2026, 1, 1, tzinfo=UTC), conflicting=False)
    assert published
    for event, message in published:
        assert SECRET not in event.encode().decode()
        assert SECRET not in json.dumps([message.key, message.headers])
        assert STUDY not in json.dumps(message.headers)


def test_a_refusal_says_nothing_of_the_object() -> None:
    for build, _reason in REFUSED.values():
        with pytest.raises(Unacceptable) as caught:
            admitted(build())
        assert len(caught.value.comment) <= 64
        assert "etc" not in caught.value.comment
        assert "Doe" not in caught.value.comment
