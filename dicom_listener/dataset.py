"""The data set of a C-STORE as it came over the wire: its header parsed, its pixels only located.

Law: bounded. What is inflated, nested or announced beyond its limit is refused, not attempted.
"""

import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from dicom_listener.errors import Unacceptable
from dicom_listener.messages import Buffer
from dicom_listener.syntaxes import Syntax
from streams.contracts.series import RefusalReason

FIRST_PIXEL_TAG = 0x7FE00008
"""Float, double and integer pixel data follow each other from here (PS3.6)."""
RAW_DEFLATE = -15
"""zlib window bits of a stream without header (PS3.5 A.5; RFC 1951)."""


@dataclass(frozen=True, slots=True)
class ParsedHeader:
    """The header of a data set, and how the set is encoded."""

    syntax: Syntax
    elements: Dataset
    """Every element before the pixel data."""
    pixel_element_offset: int | None
    """Where the pixel data element starts in the data set; None where there is none."""
    implicit: bool
    little_endian: bool


def parse(body: Buffer, syntax: Syntax) -> ParsedHeader:
    """Read the header of a data set that is not deflated (any more); what follows the header may be missing.

    Raises:
        Unacceptable: not a data set in this syntax.
    """
    stream, stopped = BytesIO(body), []

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if tag >= FIRST_PIXEL_TAG:
            stopped.append(tag)
        return bool(stopped)

    try:
        header = read_dataset(stream, syntax.implicit, syntax.little_endian, stop_when=at_pixels)
    except Exception as error:
        raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the data set cannot be parsed") from error
    if not len(header):
        raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the data set is empty")
    implicit, little_endian = header.original_encoding
    return ParsedHeader(
        syntax,
        header,
        stream.tell() if stopped else None,
        syntax.implicit if implicit is None else implicit,
        syntax.little_endian if little_endian is None else little_endian,
    )


def inflate(data: Buffer, max_bytes: int) -> bytes:
    """The inflated data set of a deflated one.

    Raises:
        Unacceptable: damaged, or it inflates beyond ``max_bytes``.
    """
    inflater = zlib.decompressobj(RAW_DEFLATE)
    try:
        body = inflater.decompress(data, max_bytes)
    except zlib.error as error:
        raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the deflated data set is damaged") from error
    if inflater.unconsumed_tail:
        raise Unacceptable(RefusalReason.TOO_LARGE, "the data set inflates beyond the limit")
    return body
