"""Pictures of slices (PNG, JPEG, BMP, TIFF) as frames: a teaching file, a key image, somebody's export.

A picture says nothing of Hounsfield units: its grey values are taken to run linearly through the brain window, 0 to 80
HU, unless another window is named. It says nothing of its neighbours either: each picture is a series of its own, and a
series of one slice is never negative.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from streams.contracts.ids import SiteSecret
from streams.contracts.slices import SliceAccepted
from streams.pictures import BRAIN_WINDOW_HU

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")

MOST_PIXELS = 4096 * 4096
"""As for a DICOM frame; a larger picture is a bomb or a mistake."""

MOST_COLOUR = 12.0
"""Mean difference between the colour channels, of 255, up to which a picture is grey: JPEG shifts them a little."""

Grey = npt.NDArray[np.uint8]


class NotAPicture(Exception):
    """Why a file is no picture of a slice. ``recognised``: it is a picture, but not one that can be read."""

    def __init__(self, comment: str, *, recognised: bool) -> None:
        super().__init__(comment)
        self.recognised = recognised


def grey_values(path: Path) -> Grey:
    """uint8 [rows, columns] of a grey picture, whatever its mode. Raises NotAPicture."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise NotAPicture(f"{image.width} × {image.height} pixels are too many", recognised=True)
            if getattr(image, "n_frames", 1) > 1:
                raise NotAPicture("several pictures in one file", recognised=True)
            return _grey(image)
    except UnidentifiedImageError:
        raise NotAPicture("neither DICOM nor a picture", recognised=False) from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise NotAPicture(f"a damaged picture ({type(error).__name__})", recognised=True) from error


def _grey(image: Image.Image) -> Grey:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        return _reduced(np.asarray(image, np.float64))
    colours = np.asarray(image.convert("RGB"), np.float32)
    if float(np.ptp(colours, axis=2).mean()) > MOST_COLOUR:
        raise NotAPicture("a colour picture", recognised=True)
    return np.asarray(np.rint(colours.mean(axis=2)), np.uint8)


def _reduced(values: npt.NDArray[np.float64]) -> Grey:
    """Deeper grey values: of 16 bits where they use them, else of the 8 bits that somebody stored in 16."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise NotAPicture("grey values outside 0 to 65535", recognised=True)
    full = 255.0 if values.max() <= 255 else 65535.0
    return np.asarray(np.rint(values * 255.0 / full), np.uint8)


def picture_frame(
    path: Path, keys: SiteSecret, association: str, window_hu: tuple[float, float] = BRAIN_WINDOW_HU
) -> tuple[SliceAccepted, bytes]:
    """A picture as the header and pixels of a frame without geometry. Raises NotAPicture."""
    grey = grey_values(path)
    content, place = grey.tobytes(), str(path.resolve())
    header = SliceAccepted(
        study_key=keys.study_key(place),
        series_key=keys.series_key(place, place),
        sop_digest=keys.sop_digest(place),
        association=association,
        accepted_at=datetime.now(UTC),
        pixel_sha256=hashlib.sha256(content).hexdigest(),
        SOPClass="SecondaryCaptureImageStorage",
        TransferSyntax="ExplicitVRLittleEndian",
        Modality="CT",
        Rows=grey.shape[0],
        Columns=grey.shape[1],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        RescaleSlope=(window_hu[1] - window_hu[0]) / 255.0,
        RescaleIntercept=window_hu[0],
    )
    return header, content
