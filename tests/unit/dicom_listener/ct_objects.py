"""Builders for the listener's tests: CT data sets with sensible defaults, encoded as they travel."""

import struct
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from dicom_listener.admission import StoreCommand
from dicom_listener.incoming import IncomingObject
from dicom_listener.syntaxes import SYNTAXES

STUDY, SERIES = "1.2.3.4", "1.2.3.4.5"
SIDE = 16


def pixels(frames: int = 1, seed: int = 0) -> bytes:
    """Little-endian 12-bit stored values, different for each seed."""
    return b"".join(struct.pack("<H", (seed * 7919 + i * 31) % 4096) for i in range(SIDE * SIDE * frames))


def a_ct(number: int = 1, **changes: object) -> Dataset:
    """An axial CT slice; a change to None removes the attribute."""
    ds = Dataset()
    values: dict[str, object] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{SERIES}.{number}",
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "InstanceNumber": number,
        "PatientName": "Doe^Jane",
        "PatientID": "MRN-1",
        "StudyDate": "20260102",
        "Rows": SIDE,
        "Columns": SIDE,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PixelSpacing": [0.5, 0.5],
        "SliceThickness": 5,
        "ImagePositionPatient": [0, 0, 5 * number],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ConvolutionKernel": "H30s",
        "KVP": 120,
        "PixelData": pixels(seed=number),
    }
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(ds, keyword, value)
    return ds


def _item(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def an_enhanced_ct(frames: int = 3, **changes: object) -> Dataset:
    """An Enhanced CT whose geometry is in its functional groups only."""
    ds = a_ct(
        SOPClassUID=EnhancedCTImageStorage,
        NumberOfFrames=frames,
        PixelData=pixels(frames),
        **dict.fromkeys(
            (
                "RescaleSlope",
                "RescaleIntercept",
                "PixelSpacing",
                "SliceThickness",
                "ImagePositionPatient",
                "ImageOrientationPatient",
                "ConvolutionKernel",
                "KVP",
            )
        ),
    )
    shared = _item(
        PixelMeasuresSequence=Sequence([_item(PixelSpacing=[0.5, 0.6], SliceThickness=2.5)]),
        PlaneOrientationSequence=Sequence([_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
        PixelValueTransformationSequence=Sequence([_item(RescaleSlope=1, RescaleIntercept=-1000, RescaleType="HU")]),
        CTReconstructionSequence=Sequence([_item(ConvolutionKernel="Hr38")]),
        CTXRayDetailsSequence=Sequence([_item(KVP=100)]),
    )
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(
        [
            _item(
                PlanePositionSequence=Sequence([_item(ImagePositionPatient=[0, 0, 2.5 * i])]),
                CTImageFrameTypeSequence=Sequence([_item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])]),
            )
            for i in range(frames)
        ]
    )
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def encoded(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set as it travels in a C-STORE."""
    known = SYNTAXES[syntax]
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = known.implicit, known.little_endian
    write_dataset(stream, ds)
    data = stream.getvalue()
    return _deflated(data) if known.deflated else data


def _deflated(data: bytes) -> bytes:
    import zlib

    deflater = zlib.compressobj(wbits=-15)
    out = deflater.compress(data) + deflater.flush()
    return out + b"\0" * (len(out) % 2)


MAX_OBJECT_BYTES = 1 << 22


def arriving(command: StoreCommand, data: bytes, fragment_bytes: int = 1 << 30) -> IncomingObject:
    """An object that has arrived, in fragments of so many bytes."""
    incoming = IncomingObject(command, MAX_OBJECT_BYTES)
    for start in range(0, len(data), fragment_bytes):
        incoming.write(data[start : start + fragment_bytes])
    return incoming


def a_request(
    ds: Dataset,
    syntax: str = ExplicitVRLittleEndian,
    data_set: bytes | None = None,
    fragment_bytes: int = 1 << 30,
    **changes: str,
) -> IncomingObject:
    """A C-STORE of a data set, with a command that fits it unless changed."""
    fields = {
        "sop_class_uid": str(ds.get("SOPClassUID", "")),
        "sop_instance_uid": str(ds.get("SOPInstanceUID", "")),
        "transfer_syntax_uid": str(syntax),
    }
    data = encoded(ds, syntax) if data_set is None else data_set
    return arriving(StoreCommand(**(fields | changes)), data, fragment_bytes)


def encapsulated(fragments: list[bytes], table: list[int] | None = None, end: bool = True) -> bytes:
    """An encapsulated pixel data element (explicit VR), from raw fragments (PS3.5 A.4)."""
    out = BytesIO()
    out.write(struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF))
    offsets = struct.pack(f"<{len(table)}L", *table) if table else b""
    for data in (offsets, *fragments):
        out.write(struct.pack("<HHL", 0xFFFE, 0xE000, len(data)) + data)
    if end:
        out.write(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))
    return out.getvalue()


def an_encapsulated_request(syntax: str, pixel_element: bytes, **changes: object) -> IncomingObject:
    ds = a_ct(PixelData=None, **changes)
    return a_request(ds, syntax, data_set=encoded(ds, syntax) + pixel_element)


UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)

__all__ = [
    "MAX_OBJECT_BYTES",
    "SERIES",
    "SIDE",
    "STUDY",
    "UNCOMPRESSED",
    "a_ct",
    "a_request",
    "an_encapsulated_request",
    "an_enhanced_ct",
    "encapsulated",
    "encoded",
    "generate_uid",
    "pixels",
]
