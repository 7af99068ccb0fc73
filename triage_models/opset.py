"""The opset that an ONNX file asks for, read without the `onnx` package.

Of the format only what is needed: `ModelProto.opset_import` is field 8; in an `OperatorSetIdProto` the domain is field
1 and the version field 2 (onnx.proto; wire format: https://protobuf.dev/programming-guides/encoding/).
"""

from collections.abc import Iterator

from triage_models.errors import ManifestError

_VARINT, _FIXED_64, _COUNTED, _FIXED_32 = 0, 1, 2, 5
_OPSET_IMPORT, _DOMAIN, _VERSION = 8, 1, 2
_ONNX_DOMAINS = (b"", b"ai.onnx")
"""Both name ONNX's own operators."""


def opset_of(network: bytes) -> int:
    """The version of ONNX's own operators. Raises ManifestError where the bytes do not name one."""
    try:
        own = [value for number, value in _fields(network) if number == _OPSET_IMPORT]
        imports = [dict(_fields(value)) for value in own if isinstance(value, bytes)]
    except (IndexError, ValueError) as error:
        raise ManifestError(f"the network is no ONNX file: {error}") from error
    versions = [one.get(_VERSION) for one in imports if one.get(_DOMAIN, b"") in _ONNX_DOMAINS]
    if not versions or not isinstance(versions[0], int):
        raise ManifestError("the network is no ONNX file: it names no opset")
    return versions[0]


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message's own fields. Raises IndexError where it is cut off, ValueError for others."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _COUNTED:
            size, at = _varint(message, at)
        elif kind in (_FIXED_32, _FIXED_64):
            size = 4 if kind == _FIXED_32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if at + size > len(message):
            raise IndexError(f"field {number} is cut off")
        yield number, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """(value, where the next byte is): seven bits a byte, the lowest first."""
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1
