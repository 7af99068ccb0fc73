"""Every lossless syntax decodes to the same Hounsfield units; broken bytes are a value, not a crash."""

import numpy as np
import numpy.typing as npt
import pydicom.uid
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames

from streams.errors import PixelsUnreadable
from streams.voxels import AIR_HU, decode
from tests.support.slices import a_slice, soft_tissue, stored

VOXELS = soft_tissue()


def encoded(syntax: str, values: npt.NDArray[np.uint16]) -> bytes:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.CTImageStorage, "1.2.3"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = values.astype("<u2").tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.compress(getattr(pydicom.uid, syntax))
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


def test_little_and_big_endian() -> None:
    values = (VOXELS + 1024).astype(np.uint16)
    little = decode(a_slice(), stored(VOXELS))
    big = decode(a_slice(TransferSyntax="ExplicitVRBigEndian"), values.astype(">u2").tobytes())
    assert np.array_equal(little.voxels_hu, VOXELS)
    assert np.array_equal(big.voxels_hu, VOXELS)
    assert little.voxels_hu.dtype == np.float32


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEGLSLossless", "JPEG2000Lossless"])
def test_encapsulated(syntax: str) -> None:
    values = (VOXELS + 1024).astype(np.uint16)
    assert np.array_equal(decode(a_slice(TransferSyntax=syntax), encoded(syntax, values)).voxels_hu, VOXELS)


def test_rescale_padding_and_overlay_bits() -> None:
    values = np.full((64, 64), 100, np.uint16)
    values[0, 0] = 0
    values[1, 1] = 100 | 0xF000
    header = a_slice(RescaleSlope=2.0, RescaleIntercept=-10.0, PixelPaddingValue=0)
    decoded = decode(header, values.astype("<u2").tobytes())
    assert decoded.voxels_hu[0, 0] == AIR_HU
    assert decoded.voxels_hu[1, 1] == 190
    assert decoded.rescaled


def test_signed_values() -> None:
    header = a_slice(PixelRepresentation=1, BitsStored=16, HighBit=15, RescaleIntercept=0.0)
    assert np.array_equal(decode(header, VOXELS.astype("<i2").tobytes()).voxels_hu, VOXELS)


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({}, b""),
        ({}, b"\0" * 100),
        ({"TransferSyntax": "JPEG2000Lossless"}, b"not a codestream"),
        ({"TransferSyntax": "JPEGLSLossless"}, b"\xff\xd8\xff"),
        ({"TransferSyntax": "JPEGLosslessSV1"}, b"\xff\xd8\xff\xd9"),
        ({"TransferSyntax": "RLELossless"}, b"\x01\x00"),
        ({"TransferSyntax": "NoSuchSyntax"}, b"\0" * 8192),
        ({"Rows": 60000, "Columns": 60000}, b"\0" * 8192),
    ],
)
def test_broken_pixels_are_unreadable(changes: dict[str, object], data: bytes) -> None:
    with pytest.raises(PixelsUnreadable):
        decode(a_slice(**changes), data)


def test_an_absurd_rescale_stays_finite() -> None:
    decoded = decode(a_slice(RescaleSlope=1e30), stored(VOXELS))
    assert np.isfinite(decoded.voxels_hu).all()
