"""``ct.pictures.v1``: slices for people to look at, small, with their Hounsfield units. Key: ``series_key``.

The event below travels in the Kafka header named by :data:`PICTURE_HEADER`; the value is the voxels, packed::

    HU, int16 [Rows, Columns], clipped to HU_FLOOR … HU_CEILING
    → each value less its prediction from the left (a), upper (b) and upper left (c) neighbour, 0 outside the picture:
      min(a, b) where c ≥ max(a, b); max(a, b) where c ≤ min(a, b); a + b - c otherwise   (ISO/IEC 14495-1, A.4.1)
    → (d << 1) ^ (d >> 15): small numbers whatever their sign
    → all low bytes, then all high bytes
    → gzip (RFC 1952), so that a browser unpacks it by ``Content-Encoding: gzip``

It is lossless, and read back without a canvas: browsers that guard against fingerprinting alter what a canvas gives.
No identity, no text and no UID is here; what a scanner has burnt into its pixels would be.
"""

from typing import Annotated

from pydantic import AwareDatetime, Field, FiniteFloat, PositiveFloat, PositiveInt, StringConstraints

from streams.contracts.event import Event
from streams.contracts.ids import Key

PICTURE_HEADER = "picture"
"""Name of the Kafka header that carries :class:`SlicePictured`."""

HEAT_MAP_HEADER = "heat_map"
"""Name of the Kafka header that carries the heat map: a PNG whose alpha is the heat, covering the whole picture;
absent where it is no longer known where the reader looked."""

HU_FLOOR, HU_CEILING = -1024, 3071
"""The range of a 12-bit CT with the usual intercept."""

Unit = Annotated[str, StringConstraints(pattern=r"^[0-9a-z:-]{1,80}$")]
Direction = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class SlicePictured(Event):
    """A slice, or the mean of the thin slices that were read together, can be looked at.

    Emitted by streams, consumed by alerts. Key: ``series_key``. Idempotency key: (``series_key``, ``unit``): a later
    picture of the same unit, made of more slices, takes the place of the earlier one.
    """

    study_key: Key
    series_key: Key
    unit: Unit
    sop_digest: Key
    """Of the first slice in it; what a finding's key slice names."""
    frame_number: PositiveInt = 1
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Of the packed voxels: SHA-256, cut to 128 bits."""
    slices: PositiveInt = 1
    """How many slices it is the mean of."""
    InstanceNumber: int | None = None
    position_mm: FiniteFloat | None = None
    """Along the slice normal, rising towards the head's vertex."""
    thickness_mm: PositiveFloat | None = None
    Rows: Annotated[int, Field(gt=0, le=4096)]
    Columns: Annotated[int, Field(gt=0, le=4096)]
    PixelSpacing: tuple[PositiveFloat, PositiveFloat] | None = None
    """(between rows, between columns) of the picture, mm."""
    ImagePositionPatient: tuple[FiniteFloat, FiniteFloat, FiniteFloat] | None = None
    ImageOrientationPatient: Direction | None = None
    at: AwareDatetime
