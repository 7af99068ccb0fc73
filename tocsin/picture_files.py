"""Pictures of slices (PNG, JPEG, BMP, TIFF) as frames: a teaching file, a key image, somebody's export.

A picture says nothing of Hounsfield units: its grey values are taken to run linearly through the brain window, 0 to 80
HU, unless another window is named. It says nothing of its neighbours either: each picture is a series of its own, and a
series of one slice is never negative.
"""

import hashlib
import warnings
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from streams.contracts.ids import SiteSecret
from streams.contracts.slices import SliceAccepted
from streams.pictures import BRAIN_WINDOW_HU
from tocsin.picture_ground import Grey, OnBlack, on_black

FORMATS = ("PNG", "JPEG", "BMP", "TIFF")

MOST_PIXELS = 4096 * 4096
"""As for a DICOM frame; a larger picture is a bomb or a mistake."""

MOST_COLOUR = 12.0
"""Mean difference between the colour channels, of 255, up to which a picture is grey: JPEG shifts them a little."""

DEEPEST = 65535
"""White of 16 bits."""

DEPTHS = (255, 1023, 4095, 16383)
"""White of 8, 10, 12 and 14 bits."""

LEAST_SATURATED = 0.002
"""Share of a brain-windowed slice that is white at least: bone."""

INVERTED = "black on white: read with black and white exchanged"


class NotAPicture(Exception):
    """Why a file is no picture of a slice. ``recognised``: it is a picture, but not one that can be read."""

    def __init__(self, comment: str, *, recognised: bool) -> None:
        super().__init__(comment)
        self.recognised = recognised


def grey_values(path: Path) -> OnBlack:
    """The grey values of a picture, whatever its mode, upright and on black. Raises NotAPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return _grey_of(image)
    except UnidentifiedImageError:
        raise _unknown(path) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NotAPicture(f"too many pixels, more than {MOST_PIXELS:,}", recognised=True) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise NotAPicture(f"a damaged picture ({error})", recognised=True) from error


def _unknown(path: Path) -> NotAPicture:
    if path.stat().st_size == 0:
        return NotAPicture("the file is empty", recognised=False)
    return NotAPicture(f"neither DICOM nor a picture that is read ({', '.join(FORMATS)})", recognised=False)


def _grey_of(image: Image.Image) -> OnBlack:
    if image.width * image.height > MOST_PIXELS:
        raise NotAPicture(f"{image.width} × {image.height} pixels are too many", recognised=True)
    if getattr(image, "n_frames", 1) > 1:
        raise NotAPicture("several pictures in one file", recognised=True)
    return on_black(_grey(ImageOps.exif_transpose(image)))


def _grey(image: Image.Image) -> Grey:
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        return _reduced(np.asarray(image, np.float64))
    colours = np.asarray(image.convert("RGB"), np.float32)
    if float(np.ptp(colours, axis=2).mean()) > MOST_COLOUR:
        raise NotAPicture("a colour picture", recognised=True)
    return np.asarray(np.rint(colours.mean(axis=2)), np.uint8)


def _reduced(values: npt.NDArray[np.float64]) -> Grey:
    """Deeper grey values as 8 bits, by the depth that their white has."""
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > DEEPEST:
        raise NotAPicture(f"grey values outside 0 to {DEEPEST}", recognised=True)
    return np.asarray(np.rint(values * 255.0 / _white(values)), np.uint8)


def _white(values: npt.NDArray[np.float64]) -> float:
    """The grey value that is white: of 16 bits where they use them, else of the fewer that somebody stored in 16.

    White is known by its place at the end of a depth and by bone, which saturates in a brain window. Where it cannot be
    known, the values are no window's: Hounsfield units with an offset, say, and would be misread.
    """
    most = float(values.max())
    if most > DEEPEST / 2 or most <= 1.0:
        return float(DEEPEST) if most > 1.0 else 1.0
    depth = next(white for white in DEPTHS if most <= white)
    if depth > DEPTHS[0] and (most != depth or (values == most).mean() < LEAST_SATURATED):
        raise NotAPicture(f"grey values to {most:.0f} are of no depth that is known: save 8 bits", recognised=True)
    return float(depth)


def picture_frame(
    path: Path, keys: SiteSecret, association: str, window_hu: tuple[float, float] = BRAIN_WINDOW_HU
) -> tuple[SliceAccepted, bytes, str | None]:
    """A picture as the header and pixels of a frame without geometry, and a remark. Raises NotAPicture."""
    picture = grey_values(path)
    grey = picture.grey
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
    return header, content, INVERTED if picture.inverted else None
