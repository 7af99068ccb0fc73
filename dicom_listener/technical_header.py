"""The whitelist: which attributes of an object leave the door, and how each is read.

Pure. What is not in :data:`FIELDS` does not exist for the rest of the system; no name, no identifier, no date, no
free text is in it. An attribute that is absent stays absent; one that is there but does not fit its representation is
absent too, and its keyword is listed in ``unreadable``.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_listener import elements
from dicom_listener.dataset import ParsedHeader
from dicom_listener.pixels import CODE_STRING, PixelDescription

KERNEL_NAME = re.compile(r"[A-Za-z0-9_ .+/^\-]{0,16}")

Value = object
Reader = Callable[[bytes], Value]


class PartlyReadable(ValueError):
    """Some of the values fit."""

    def __init__(self, value: Value) -> None:
        super().__init__("some values do not fit")
        self.value = value


def _codes(pattern: re.Pattern[str]) -> Reader:
    """Reader of several codes; one that does not fit becomes empty, so that the others keep their places."""

    def read(value: bytes) -> Value:
        parts = [part.decode("ascii", "replace").strip(elements.PADDING) for part in value.split(elements.SEPARATOR)]
        fitting = tuple(part if pattern.fullmatch(part) else "" for part in parts)
        if fitting != tuple(parts):
            raise PartlyReadable(fitting)
        return fitting

    return read


def _code(value: bytes) -> Value:
    (text,) = elements.texts(value)
    if not CODE_STRING.fullmatch(text):
        raise ValueError("not a code string")
    return text or None


BODY_PARTS = frozenset(
    [
        "ABDOMEN",
        "ABDOMENPELVIS",
        "ANKLE",
        "ARM",
        "BRAIN",
        "CHEST",
        "CHESTABDOMEN",
        "CHESTABDPELVIS",
        "CSPINE",
        "ELBOW",
        "EXTREMITY",
        "EYE",
        "FACE",
        "FOOT",
        "HAND",
        "HEAD",
        "HEADNECK",
        "HEART",
        "HIP",
        "IAC",
        "JAW",
        "KIDNEY",
        "KNEE",
        "LEG",
        "LIVER",
        "LSPINE",
        "LUNG",
        "NECK",
        "NECKCHEST",
        "ORBIT",
        "PELVIS",
        "SHOULDER",
        "SINUS",
        "SKULL",
        "SPINE",
        "TEMPORALBONE",
        "THORAX",
        "TLSPINE",
        "TSPINE",
        "WHOLEBODY",
        "WRIST",
    ]
)
"""Defined terms of PS3.16 Annex L as they are in use. Any other text is not passed on: it may be typed by hand."""


def _body_part(value: bytes) -> Value:
    text = _code(value)
    if text is not None and str(text).replace(" ", "") not in BODY_PARTS:
        raise ValueError("not a defined term")
    return text


def _number(value: bytes) -> Value:
    return elements.decimals(value, 1)[0]


def _positive(value: bytes) -> Value:
    return _above_zero(elements.decimals(value, 1))[0]


def _spacing(value: bytes) -> Value:
    return _above_zero(elements.decimals(value, 2))


def _above_zero(numbers: tuple[float, ...]) -> tuple[float, ...]:
    if not all(number > 0 for number in numbers):
        raise ValueError("not positive")
    return numbers


def _vector(count: int) -> Reader:
    return lambda value: elements.decimals(value, count)


def _positive_integer(value: bytes) -> Value:
    number = elements.integer_string(value)
    if number < 1:
        raise ValueError("not positive")
    return number


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of the whitelist.

    ``group`` names the functional group that holds it in an enhanced object (PS3.3 C.7.6.16.2, C.8.15.3), and
    ``grouped_as`` its keyword there where that differs.
    """

    keyword: str
    read: Reader
    group: str | None = None
    grouped_as: str | None = None


FIELDS: tuple[Field, ...] = (
    Field("Modality", _code),
    Field("ImageType", _codes(CODE_STRING), "CTImageFrameTypeSequence", "FrameType"),
    Field("BodyPartExamined", _body_part),
    Field("RescaleSlope", _number, "PixelValueTransformationSequence"),
    Field("RescaleIntercept", _number, "PixelValueTransformationSequence"),
    Field("RescaleType", _code, "PixelValueTransformationSequence"),
    Field("PixelSpacing", _spacing, "PixelMeasuresSequence"),
    Field("SliceThickness", _positive, "PixelMeasuresSequence"),
    Field("ImagePositionPatient", _vector(3), "PlanePositionSequence"),
    Field("ImageOrientationPatient", _vector(6), "PlaneOrientationSequence"),
    Field("GantryDetectorTilt", _number, "CTAcquisitionDetailsSequence"),
    Field("ConvolutionKernel", _codes(KERNEL_NAME), "CTReconstructionSequence"),
    Field("KVP", _positive, "CTXRayDetailsSequence"),
    Field("InstanceNumber", elements.integer_string),
    Field("ImagesInAcquisition", _positive_integer),
)

SHARED = "SharedFunctionalGroupsSequence"
PER_FRAME = "PerFrameFunctionalGroupsSequence"
UNASSIGNED = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")
"""Within a functional group: what a converter could not sort (PS3.3 C.7.6.16.2.25 and .26)."""


def describe_frames(parsed: ParsedHeader, pixel: PixelDescription, enhanced: bool) -> Iterator[dict[str, Value]]:
    """The whitelisted attributes of each frame, ready for :class:`streams.contracts.slices.SliceAccepted`."""
    fixed = _fixed(parsed, pixel)
    if not enhanced:
        attributes = _attributes(parsed, pixel, lambda field: elements.raw(parsed.elements, field.keyword))
        for _ in range(pixel.NumberOfFrames):
            yield fixed | attributes
        return
    groups = FunctionalGroups(parsed.elements)
    for index in range(pixel.NumberOfFrames):
        yield fixed | _attributes(parsed, pixel, groups.of_frame(index))


def _fixed(parsed: ParsedHeader, pixel: PixelDescription) -> dict[str, Value]:
    names = (
        "Rows",
        "Columns",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
    )
    return {"TransferSyntax": parsed.syntax.published_as} | {name: getattr(pixel, name) for name in names}


Lookup = Callable[[Field], "bytes | None"]


def _attributes(parsed: ParsedHeader, pixel: PixelDescription, lookup: Lookup) -> dict[str, Value]:
    padding = elements.short(parsed.little_endian, signed=pixel.PixelRepresentation == 1)
    found: dict[str, Value] = {"Modality": ""}
    unreadable: list[str] = []
    for field in (*FIELDS, Field("PixelPaddingValue", padding)):
        value = lookup(field)
        if value is None:
            continue
        try:
            read = field.read(value)
        except PartlyReadable as error:
            read = error.value
            unreadable.append(field.keyword)
        except ValueError:
            unreadable.append(field.keyword)
            continue
        if read is not None:
            found[field.keyword] = read
    return found | {"unreadable": tuple(unreadable)}


class FunctionalGroups:
    """The macros of an enhanced object: per frame, then shared, then the object's top level."""

    def __init__(self, header: Dataset) -> None:
        self._header = header
        self._shared = elements.items(header, SHARED)[:1]
        self._per_frame = elements.items(header, PER_FRAME)

    def of_frame(self, index: int) -> Lookup:
        scopes = [*self._per_frame[index : index + 1], *self._shared]

        def lookup(field: Field) -> bytes | None:
            for scope in scopes:
                value = _in_scope(scope, field)
                if value is not None:
                    return value
            return elements.raw(self._header, field.keyword)

        return lookup


def _in_scope(scope: Dataset, field: Field) -> bytes | None:
    """From the field's own macro, or from a bag of unassigned attributes."""
    places = [(field.group, field.grouped_as or field.keyword)] if field.group else []
    places += [(bag, field.keyword) for bag in UNASSIGNED]
    for sequence, keyword in places:
        for item in elements.items(scope, sequence)[:1]:
            value = elements.raw(item, keyword)
            if value is not None:
                return value
    return None
