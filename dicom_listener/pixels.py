"""The pixel data of an object: is it plausible, is it all there, and where does each frame lie.

Nothing is decoded here. Sources: PS3.3 C.7.6.3 (image pixel module), PS3.5 A.4 (encapsulation), PS3.3 C.7.6.3.1.8
(extended offset table).
"""

import re
import struct
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_listener import elements
from dicom_listener.dataset import ParsedHeader
from dicom_listener.errors import Unacceptable
from dicom_listener.messages import Buffer
from streams.contracts.series import RefusalReason
from streams.contracts.topics import MAX_FRAME_BYTES

MAX_ROWS = MAX_COLUMNS = 4096
"""Pixels. The largest CT matrix on the market is 2048."""
MAX_FRAMES = 4096
"""Per object. A whole-body Enhanced CT has about 2000."""
ALLOCATIONS = (8, 16, 32)
"""Bits Allocated that the contract carries."""
SAMPLES = (1, 3)

PIXEL_DATA = 0x7FE00010
ITEM = 0xFFFEE000
SEQUENCE_DELIMITER = 0xFFFEE0DD
UNDEFINED_LENGTH = 0xFFFFFFFF
CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")
"""Value representation CS (PS3.5 6.2)."""
LONG_VRS = frozenset({b"OB", b"OW", b"UN", b"OD", b"OF", b"OL", b"OV"})


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """The image pixel module, checked. Sizes in pixels and bits."""

    Rows: int
    Columns: int
    SamplesPerPixel: int
    PhotometricInterpretation: str
    BitsAllocated: int
    BitsStored: int
    HighBit: int
    PixelRepresentation: int
    NumberOfFrames: int

    @property
    def frame_bytes(self) -> int:
        """Of one frame, uncompressed."""
        return self.Rows * self.Columns * self.SamplesPerPixel * self.BitsAllocated // 8


def describe(header: Dataset, little_endian: bool) -> PixelDescription:
    """Read and check the image pixel module.

    Raises:
        Unacceptable: an attribute without which pixels cannot be decoded is missing, malformed or beyond its limit.
    """
    read = elements.short(little_endian)

    def required(keyword: str) -> int:
        value = elements.raw(header, keyword)
        if value is None:
            raise _absurd(f"{keyword} is missing")
        try:
            return read(value)
        except ValueError:
            raise _absurd(f"{keyword} is malformed") from None

    description = PixelDescription(
        Rows=required("Rows"),
        Columns=required("Columns"),
        SamplesPerPixel=required("SamplesPerPixel"),
        PhotometricInterpretation=_photometric(header),
        BitsAllocated=required("BitsAllocated"),
        BitsStored=required("BitsStored"),
        HighBit=required("HighBit"),
        PixelRepresentation=required("PixelRepresentation"),
        NumberOfFrames=_number_of_frames(header),
    )
    _check(description)
    return description


def _photometric(header: Dataset) -> str:
    """As it stands where it is a code string, otherwise empty: the streams say what they cannot read."""
    value = elements.raw(header, "PhotometricInterpretation") or b""
    text = value.decode("ascii", "replace").strip(elements.PADDING)
    return text if CODE_STRING.fullmatch(text) else ""


def _number_of_frames(header: Dataset) -> int:
    value = elements.raw(header, "NumberOfFrames")
    try:
        return 1 if value is None else elements.integer_string(value)
    except ValueError:
        raise _absurd("NumberOfFrames is malformed") from None


def _check(d: PixelDescription) -> None:
    plausible = {
        "Rows": 1 <= d.Rows <= MAX_ROWS,
        "Columns": 1 <= d.Columns <= MAX_COLUMNS,
        "NumberOfFrames": 1 <= d.NumberOfFrames <= MAX_FRAMES,
        "SamplesPerPixel": d.SamplesPerPixel in SAMPLES,
        "BitsAllocated": d.BitsAllocated in ALLOCATIONS,
        "BitsStored": 1 <= d.BitsStored <= d.BitsAllocated,
        "HighBit": d.BitsStored - 1 <= d.HighBit < d.BitsAllocated,
        "PixelRepresentation": d.PixelRepresentation in (0, 1),
    }
    for keyword, fits in plausible.items():
        if not fits:
            raise _absurd(f"{keyword} is out of range")
    if d.frame_bytes > MAX_FRAME_BYTES:
        raise Unacceptable(RefusalReason.TOO_LARGE, f"a frame has more than {MAX_FRAME_BYTES} bytes")


def _absurd(comment: str) -> Unacceptable:
    return Unacceptable(RefusalReason.ABSURD_GEOMETRY, comment)


def frames(parsed: ParsedHeader, body: Buffer, description: PixelDescription) -> list[Buffer]:
    """The bytes of each frame, as received, in order; views into the object's bytes where possible.

    Raises:
        Unacceptable: no pixel data, not all of it, frames that cannot be told apart, or a frame beyond its limit.
    """
    view = memoryview(body)
    offset, length = value_of_pixels(parsed, view)
    if parsed.syntax.encapsulated:
        found = _encapsulated_frames(view, offset, parsed.elements, description.NumberOfFrames)
    else:
        found = _native_frames(view, offset, length, description)
    if any(len(frame) > MAX_FRAME_BYTES for frame in found):
        raise Unacceptable(RefusalReason.TOO_LARGE, f"a frame has more than {MAX_FRAME_BYTES} bytes")
    return found


def value_of_pixels(parsed: ParsedHeader, view: memoryview) -> tuple[int, int]:
    """Offset and length of the pixel data element's value (PS3.5 7.1).

    Raises:
        Unacceptable: there is no such element, or it does not fit the transfer syntax.
    """
    if parsed.pixel_element_offset is None:
        raise Unacceptable(RefusalReason.NO_PIXEL_DATA, "there is no pixel data")
    order = "<" if parsed.little_endian else ">"
    position = parsed.pixel_element_offset
    try:
        group, element = struct.unpack_from(order + "HH", view, position)
        if parsed.implicit:
            start, length = position + 8, struct.unpack_from(order + "L", view, position + 4)[0]
        elif bytes(view[position + 4 : position + 6]) in LONG_VRS:
            start, length = position + 12, struct.unpack_from(order + "L", view, position + 8)[0]
        else:
            raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the pixel data have no pixel representation")
    except struct.error:
        raise _truncated("the pixel data element is cut") from None
    if group << 16 | element != PIXEL_DATA:
        raise Unacceptable(RefusalReason.NO_PIXEL_DATA, "there is no integer pixel data")
    if parsed.syntax.encapsulated != (length == UNDEFINED_LENGTH):
        raise _truncated("the pixel data do not fit the transfer syntax")
    return start, length


def _native_frames(view: memoryview, offset: int, length: int, description: PixelDescription) -> list[Buffer]:
    size = description.frame_bytes
    total = size * description.NumberOfFrames
    if length < total or view.nbytes - offset < total:
        raise _truncated("there are fewer pixel bytes than the header says")
    if length - total >= size:  # padding is shorter: these are frames that nobody would read
        raise _absurd("there are more frames in the pixel data than the header says")
    return [view[offset + i * size : offset + (i + 1) * size] for i in range(description.NumberOfFrames)]


def _encapsulated_frames(view: memoryview, offset: int, header: Dataset, count: int) -> list[Buffer]:
    table, fragments = _fragments(view, offset)
    if count == 1:
        groups = [[data for _, data in fragments]]
    elif len(fragments) == count:
        groups = [[data] for _, data in fragments]
    else:
        groups = _by_offset(fragments, _offsets(table, header, count))
    joined = [_joined(group) for group in groups]
    if not all(len(frame) for frame in joined):
        raise _truncated("a frame is empty")
    return joined


def _fragments(view: memoryview, offset: int) -> tuple[memoryview, list[tuple[int, memoryview]]]:
    """Basic offset table, and each fragment with its offset as the table counts (PS3.5 A.4)."""
    items: list[tuple[int, memoryview]] = []
    start = 0
    while True:
        try:
            group, element, length = struct.unpack_from("<HHL", view, offset)
        except struct.error:
            raise _truncated("the encapsulated pixel data have no end") from None
        marker = group << 16 | element
        if marker == SEQUENCE_DELIMITER:
            break
        if marker != ITEM or offset + 8 + length > view.nbytes:
            raise _truncated("a fragment is cut or malformed")
        items.append((offset - start, view[offset + 8 : offset + 8 + length]))
        offset += 8 + length
        if len(items) == 1:
            start = offset
    if len(items) < 2:
        raise _truncated("there are no fragments")
    return items[0][1], items[1:]


def _offsets(table: memoryview, header: Dataset, count: int) -> list[int]:
    extended = elements.raw(header, "ExtendedOffsetTable")
    if extended is not None and len(extended) == 8 * count:
        return list(struct.unpack(f"<{count}Q", extended))
    if table.nbytes == 4 * count:
        return list(struct.unpack(f"<{count}L", table))
    raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the frames cannot be told apart")


def _by_offset(fragments: list[tuple[int, memoryview]], offsets: list[int]) -> list[list[memoryview]]:
    groups: list[list[memoryview]] = []
    starts = set(offsets)
    if offsets != sorted(starts):
        raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the offset table is not in order")
    for position, data in fragments:
        if position in starts:
            groups.append([])
        if not groups:
            raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the offset table does not fit the fragments")
        groups[-1].append(data)
    if len(groups) != len(offsets):
        raise Unacceptable(RefusalReason.NOT_UNDERSTOOD, "the offset table does not fit the fragments")
    return groups


def _joined(parts: list[memoryview]) -> Buffer:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _truncated(comment: str) -> Unacceptable:
    return Unacceptable(RefusalReason.TRUNCATED_PIXEL_DATA, comment)
