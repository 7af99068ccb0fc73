"""From a frame's encoded bytes to Hounsfield units.

Rescale is PS3.3 C.11.1 (``HU = stored × RescaleSlope + RescaleIntercept``); padding (PS3.3 C.7.5.1.1.2) becomes air.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pydicom.uid
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder

from streams.contracts.slices import SliceAccepted
from streams.errors import PixelsUnreadable

AIR_HU = -1000.0
"""Hounsfield's scale: air. Padding is shown as air."""

HU_CEILING = 32_000.0
"""Far above any material; keeps absurd rescale values finite."""

MAX_PIXELS = 4096 * 4096
"""Largest frame that is decoded; CT matrices end at 2048 × 2048."""

NATIVE_SYNTAXES = frozenset({"ImplicitVRLittleEndian", "ExplicitVRLittleEndian", "ExplicitVRBigEndian"})
"""Pixels lie there as they are: nothing is decoded, numpy alone looks at them."""

Voxels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DecodedSlice:
    """One frame in Hounsfield units.

    Attributes:
        voxels_hu: float32 [Rows, Columns].
        rescaled: False where the header carried no rescale and stored values were taken as they are.
    """

    voxels_hu: Voxels
    rescaled: bool


class Decoder(Protocol):
    """What decodes compressed frames."""

    def stored_values(self, header: SliceAccepted, encoded: bytes) -> npt.NDArray[np.integer]:
        """As :func:`stored_values`."""
        ...


def decode(header: SliceAccepted, encoded: bytes, compressed: Decoder | None = None) -> DecodedSlice:
    """Decode one frame.

    Args:
        compressed: decodes frames of encapsulated syntaxes; in this process when absent.

    Raises:
        PixelsUnreadable: the bytes do not decode, or decode to another shape.
    """
    foreign = compressed is not None and header.TransferSyntax not in NATIVE_SYNTAXES
    stored = (compressed.stored_values if compressed and foreign else stored_values)(header, encoded)
    slope = 1.0 if header.RescaleSlope is None else header.RescaleSlope
    intercept = 0.0 if header.RescaleIntercept is None else header.RescaleIntercept
    voxels = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    if header.PixelPaddingValue is not None:
        voxels[stored == header.PixelPaddingValue] = AIR_HU
    np.clip(voxels, -HU_CEILING, HU_CEILING, out=voxels)
    return DecodedSlice(voxels, header.RescaleSlope is not None and header.RescaleIntercept is not None)


def stored_values(header: SliceAccepted, encoded: bytes) -> npt.NDArray[np.integer]:
    """The frame's stored values, integer [Rows, Columns].

    Raises:
        PixelsUnreadable: as :func:`decode`.
    """
    if header.Rows * header.Columns > MAX_PIXELS:
        raise PixelsUnreadable(f"{header.Rows} × {header.Columns} pixels are more than a CT slice has")
    syntax = getattr(pydicom.uid, header.TransferSyntax, None)
    if not isinstance(syntax, pydicom.uid.UID):
        raise PixelsUnreadable(f"unknown transfer syntax {header.TransferSyntax}")
    try:
        decoder = get_decoder(syntax)
        source = encapsulate([encoded], has_bot=False) if syntax.is_encapsulated else encoded
        values, _ = decoder.as_array(source, raw=True, **_options(header))
    except Exception as error:  # codecs raise what they like; all of it means the same to the series
        raise PixelsUnreadable(f"{header.TransferSyntax}: {type(error).__name__}") from error
    if values.shape != (header.Rows, header.Columns):
        raise PixelsUnreadable(f"decoded to {values.shape}, the header says {(header.Rows, header.Columns)}")
    return _within_stored_bits(values, header)


def _options(header: SliceAccepted) -> dict[str, Any]:
    return {
        "rows": header.Rows,
        "columns": header.Columns,
        "number_of_frames": 1,
        "samples_per_pixel": header.SamplesPerPixel,
        "photometric_interpretation": header.PhotometricInterpretation,
        "bits_allocated": header.BitsAllocated,
        "bits_stored": header.BitsStored,
        "pixel_representation": header.PixelRepresentation,
        "pixel_keyword": "PixelData",
    }


def _within_stored_bits(values: npt.NDArray[np.integer], header: SliceAccepted) -> npt.NDArray[np.integer]:
    """Overlays of old lived in the bits above BitsStored (retired in PS3.5 8.1.1): shift them out."""
    spare = header.BitsAllocated - header.BitsStored
    if spare <= 0 or header.HighBit != header.BitsStored - 1:
        return values
    wide = np.int32 if header.PixelRepresentation else np.uint32
    up = 8 * np.dtype(wide).itemsize - header.BitsStored
    return (values.astype(wide) << up) >> up
