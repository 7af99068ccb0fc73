"""How each attribute of the whitelist is read."""

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_listener.admission import admit
from dicom_listener.outgoing import SeriesReference, slices
from streams.contracts.slices import SliceAccepted
from tests.unit.dicom_listener.ct_objects import a_ct, a_request, an_enhanced_ct, pixels


def accepted(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> list[SliceAccepted]:
    from datetime import UTC, datetime

    request = a_request(ds, syntax)
    admitted = admit(request.whole())
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = slices(admitted, SeriesReference("a" * 32, "b" * 32), "c" * 32, "d" * 32, at, conflicting=False)
    return [event for event, _ in found]


def raw_value(ds: Dataset, keyword: str, value: bytes) -> Dataset:
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement

    tag = Tag(tag_for_keyword(keyword) or 0)
    ds[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
    return ds


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_plain_slice(syntax: str) -> None:
    (event,) = accepted(a_ct(3, PixelPaddingValue=0), syntax)
    assert event.ImageType == ("ORIGINAL", "PRIMARY", "AXIAL")
    assert event.ImagePositionPatient == (0, 0, 15)
    assert event.ImageOrientationPatient == (1, 0, 0, 0, 1, 0)
    assert event.PixelSpacing == (0.5, 0.5)
    assert (event.RescaleSlope, event.RescaleIntercept) == (1, -1024)
    assert (event.ConvolutionKernel, event.KVP, event.InstanceNumber) == (("H30s",), 120, 3)
    assert event.PixelPaddingValue == 0
    assert event.unreadable == ()


def test_padding_is_signed_where_pixels_are() -> None:
    ds = raw_value(a_ct(PixelRepresentation=1), "PixelPaddingValue", b"\x30\xf8")
    assert accepted(ds)[0].PixelPaddingValue == -2000
    ds = raw_value(a_ct(PixelRepresentation=0), "PixelPaddingValue", b"\x30\xf8")
    assert accepted(ds)[0].PixelPaddingValue == 63536


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", b"0\\0 "),
        ("ImagePositionPatient", b"a\\b\\c "),
        ("ImageOrientationPatient", b"1\\0\\0\\0\\1\\nan "),
        ("PixelSpacing", b"0.5\\-1"),
        ("SliceThickness", b"0 "),
        ("RescaleSlope", b"1,0 "),
        ("RescaleIntercept", b"inf "),
        ("GantryDetectorTilt", b"\xe9\xe9"),
        ("KVP", b"Doe^Jane"),
        ("InstanceNumber", b"x1"),
        ("ImagesInAcquisition", b"-3"),
        ("BodyPartExamined", b"h\xe4d "),
        ("BodyPartExamined", b"DOE JANE"),
        ("RescaleType", b"hounsfield"),
    ],
)
def test_what_does_not_fit_is_absent_and_named(keyword: str, value: bytes) -> None:
    (event,) = accepted(raw_value(a_ct(), keyword, value))
    assert getattr(event, keyword) is None
    assert event.unreadable == (keyword,)


def test_one_odd_image_type_leaves_the_others_in_their_places() -> None:
    (event,) = accepted(raw_value(a_ct(), "ImageType", b"ORIGINAL\\primary!\\LOCALIZER "))
    assert event.ImageType == ("ORIGINAL", "", "LOCALIZER")
    assert event.unreadable == ("ImageType",)


def test_an_enhanced_object_is_split_and_each_frame_described() -> None:
    events = accepted(an_enhanced_ct(frames=3))
    assert [event.frame_number for event in events] == [1, 2, 3]
    assert {event.number_of_frames for event in events} == {3}
    assert [event.ImagePositionPatient for event in events] == [(0, 0, 0), (0, 0, 2.5), (0, 0, 5)]
    first = events[0]
    assert first.SOPClass == "EnhancedCTImageStorage"
    assert (first.PixelSpacing, first.SliceThickness) == ((0.5, 0.6), 2.5)
    assert (first.RescaleSlope, first.RescaleIntercept, first.RescaleType) == (1, -1000, "HU")
    assert first.ImageType == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    assert (first.ConvolutionKernel, first.KVP) == (("Hr38",), 100)
    assert len({event.pixel_sha256 for event in events}) == 3


def test_a_frame_s_own_macro_goes_before_the_shared_one() -> None:
    ds = an_enhanced_ct(frames=2)
    own = Dataset()
    own.PixelSpacing, own.SliceThickness = [0.7, 0.7], 1
    ds.PerFrameFunctionalGroupsSequence[1].PixelMeasuresSequence = Sequence([own])
    assert [event.SliceThickness for event in accepted(ds)] == [2.5, 1]


def test_a_converted_object_keeps_its_unassigned_attributes() -> None:
    ds = an_enhanced_ct(frames=2)
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.2"
    bag = Dataset()
    bag.BodyPartExamined = "HEAD"
    ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = Sequence([bag])
    events = accepted(ds)
    assert {event.BodyPartExamined for event in events} == {"HEAD"}
    assert {event.SOPClass for event in events} == {"LegacyConvertedEnhancedCTImageStorage"}


def test_fewer_functional_groups_than_frames_is_no_crash() -> None:
    ds = an_enhanced_ct(frames=2)
    del ds.PerFrameFunctionalGroupsSequence[1]
    assert accepted(ds)[1].ImagePositionPatient is None


def test_colour_is_carried_for_the_streams_to_judge() -> None:
    ds = a_ct(
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=pixels(2)[: 16 * 16 * 3],
    )
    assert accepted(ds)[0].SamplesPerPixel == 3
