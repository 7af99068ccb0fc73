"""What the node speaks: the SOP classes and transfer syntaxes that it accepts, in two tables.

Every syntax here is lossless. Lossy and near-lossless syntaxes are not offered: a faint bleed is a difference of a
few Hounsfield units.
"""

from dataclasses import dataclass

from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from pydicom.uid import JPEGLossless as JPEGLosslessProcess14


@dataclass(frozen=True)
class Syntax:
    """How a data set is encoded (PS3.5 10)."""

    uid: str
    published_as: str
    """Keyword under which the pixels travel on; the deflated syntax is inflated at the door."""
    implicit: bool = False
    little_endian: bool = True
    deflated: bool = False
    encapsulated: bool = False


def _encapsulated(uid: str, keyword: str) -> Syntax:
    return Syntax(uid, keyword, encapsulated=True)


SYNTAXES: dict[str, Syntax] = {
    syntax.uid: syntax
    for syntax in (
        Syntax(ExplicitVRLittleEndian, "ExplicitVRLittleEndian"),
        Syntax(ImplicitVRLittleEndian, "ImplicitVRLittleEndian", implicit=True),
        Syntax(ExplicitVRBigEndian, "ExplicitVRBigEndian", little_endian=False),
        Syntax(DeflatedExplicitVRLittleEndian, "ExplicitVRLittleEndian", deflated=True),
        _encapsulated(RLELossless, "RLELossless"),
        _encapsulated(JPEGLosslessProcess14, "JPEGLossless"),
        _encapsulated(JPEGLosslessSV1, "JPEGLosslessSV1"),
        _encapsulated(JPEGLSLossless, "JPEGLSLossless"),
        _encapsulated(JPEG2000Lossless, "JPEG2000Lossless"),
        _encapsulated(HTJ2KLossless, "HTJ2KLossless"),
        _encapsulated(HTJ2KLosslessRPCL, "HTJ2KLosslessRPCL"),
    )
}
"""By transfer syntax UID (PS3.6 A)."""

SOP_CLASSES: dict[str, str] = {
    str(CTImageStorage): "CTImageStorage",
    str(EnhancedCTImageStorage): "EnhancedCTImageStorage",
    str(LegacyConvertedEnhancedCTImageStorage): "LegacyConvertedEnhancedCTImageStorage",
}
"""Keyword by SOP class UID (PS3.4 B.5)."""

ENHANCED = frozenset({"EnhancedCTImageStorage", "LegacyConvertedEnhancedCTImageStorage"})
"""Classes whose frames are described by functional groups (PS3.3 C.7.6.16)."""
