"""Raw access to the elements of a data set's header.

pydicom's own conversions warn about odd values by quoting them, and a quoted value may be a patient's; so values are
taken as bytes and read here. A value that does not fit its representation is noted by keyword, never by content.
"""

import math
import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

from pydicom import charset
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

T = TypeVar("T")

SEPARATOR = b"\\"
PADDING = " \0"


@cache
def tag(keyword: str) -> BaseTag:
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return BaseTag(found)


def raw(dataset: Dataset, keyword: str) -> bytes | None:
    """The value's bytes, or None where the element is absent or empty."""
    if tag(keyword) not in dataset:
        return None
    value = dataset.get_item(tag(keyword)).value
    return (value if isinstance(value, bytes) else _encoded(value)) or None


def _encoded(value: object) -> bytes:
    """Bytes of a value that pydicom has converted already."""
    if value is None or (isinstance(value, Sequence) and not isinstance(value, str | MultiValue)):
        return b""
    parts = value if isinstance(value, MultiValue) else [value]
    return "\\".join(str(part) for part in parts).encode("utf-8", "replace")


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; empty where it is absent or not a sequence."""
    if tag(keyword) not in dataset:
        return []
    value = dataset[tag(keyword)].value
    return [item for item in value if isinstance(item, Dataset)] if isinstance(value, Sequence) else []


def texts(value: bytes) -> list[str]:
    """The values of an element in the default repertoire (CS, DS, IS, SH, UI; PS3.5 6.2), without padding.

    Raises:
        ValueError: a character is not ASCII.
    """
    return [part.decode("ascii").strip(PADDING) for part in value.split(SEPARATOR)]


def uid(dataset: Dataset, keyword: str) -> str:
    """A UID's text as it stands, which may be no UID at all; empty where it is absent."""
    value = raw(dataset, keyword)
    return "" if value is None else value.decode("ascii", "replace").strip(PADDING)


def decimals(value: bytes, count: int) -> tuple[float, ...]:
    """Exactly ``count`` decimal strings (DS), all finite.

    Raises:
        ValueError: another number of values, not a number, or not finite.
    """
    numbers = tuple(float(text) for text in texts(value))
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError("not the decimals that are expected")
    return numbers


def integer_string(value: bytes) -> int:
    """One IS. Raises ValueError."""
    (text,) = texts(value)
    return int(text)


def short(little_endian: bool, signed: bool = False) -> Callable[[bytes], int]:
    """Reader of one US or SS. Raises ValueError where there are not exactly two bytes."""
    code = ("<" if little_endian else ">") + ("h" if signed else "H")

    def read(value: bytes) -> int:
        if len(value) != 2:
            raise ValueError("not one 16-bit value")
        return int(struct.unpack(code, value)[0])

    return read


def decoded(dataset: Dataset, keyword: str) -> str:
    """Text of an element in the data set's character set; undecodable characters are replaced."""
    value = raw(dataset, keyword)
    if value is None:
        return ""
    try:
        encodings = charset.convert_encodings(raw(dataset, "SpecificCharacterSet").decode("ascii").split("\\"))  # type: ignore[union-attr] # the AttributeError of an absent element is caught
        text = charset.decode_bytes(value, encodings, {0x0A, 0x0C, 0x0D, 0x5E, 0x3D, 0x5C})
    except (ValueError, LookupError, AttributeError):
        text = value.decode("latin-1")
    return text.strip(PADDING)
