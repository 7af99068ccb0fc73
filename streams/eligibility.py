"""May this slice be read? A reason when not; never silence.

Two looks: at the header, before anything is decoded, and at the voxels. Both are pure. What is turned away here is
what the reader was not made for. Where in doubt a slice is read: a bleed that is seen in a doubtful slice is worth a
look, while a negative also needs coverage (see :mod:`streams.verdict`).
"""

import re

import numpy as np

from streams import geometry
from streams.contracts.findings import SliceReason
from streams.contracts.slices import SliceAccepted
from streams.voxels import Voxels
from triage_models.kernels import is_bone_kernel

NOT_A_SLICE = frozenset(
    {"MIP", "MINIP", "MAX_IP", "MIN_IP", "VRT", "3D", "VOLUME", "SCREEN SAVE", "SCREENSHOT", "PROJECTION IMAGE"}
)
"""ImageType values of pictures made from slices: their voxels are no Hounsfield units of one plane."""

OTHER_BODY_PARTS = re.compile(
    r"CHEST|THORAX|ABDOMEN|PELVIS|SPINE|^[CTL]SPINE|LIVER|KIDNEY|LUNG|KNEE|HIP|ANKLE|FOOT|HAND"
)

GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
"""Both are CT (PS3.3 C.8.2.1.1.2): the first is shown inverted, its Hounsfield units are the same."""

MIN_SIDE_PIXELS = 64
"""Below this a slice is a thumbnail."""

MAX_HEAD_MM = 300.0
"""Longest extent of a head with scalp in an axial plane is about 230 mm; a trunk is wider than 300 mm."""

BODY_HU = -300.0
"""Between air and everything that is a patient."""

AIR_PRESENT_HU = -500.0

SOFT_TISSUE_HU = (5.0, 90.0)
"""Brain, blood and muscle."""

MIN_SOFT_TISSUE_FRACTION = 0.01

GREY_BITS = 8

WINDOWED_MAXIMUM = 100.0
"""Eight bits without a rescale hold Hounsfield units only of the brain window (0 to 80, some margin); beyond this they
are grey values of a picture, and bone, brain and blood would all be taken for blood."""

UNSIGNED_CT_MAXIMUM = 500.0
"""Without a rescale, values from 0 to beyond this are stored values with an offset, not Hounsfield units."""


def header_reason(header: SliceAccepted) -> SliceReason | None:
    """Why the slice is not to be read, by its header; None when it may be."""
    types = {value.strip() for value in header.ImageType}
    direction = geometry.normal(header)
    checks: tuple[tuple[bool, SliceReason], ...] = (
        (header.Modality != "CT", SliceReason.NOT_CT),
        (header.SamplesPerPixel != 1 or header.PhotometricInterpretation not in GREY, SliceReason.COLOUR),
        ("LOCALIZER" in types or "SCOUT" in types, SliceReason.LOCALIZER),
        (bool(types & NOT_A_SLICE), SliceReason.DERIVED),
        (direction is not None and not geometry.is_axial(direction), SliceReason.NOT_AXIAL),
        (bool(header.BodyPartExamined and OTHER_BODY_PARTS.search(header.BodyPartExamined)), SliceReason.NOT_HEAD),
        (any(is_bone_kernel(kernel) for kernel in header.ConvolutionKernel[:1]), SliceReason.BONE_KERNEL),
        (min(header.Rows, header.Columns) < MIN_SIDE_PIXELS, SliceReason.TOO_SMALL),
    )
    return next((reason for failed, reason in checks if failed), None)


def voxel_reason(header: SliceAccepted, voxels_hu: Voxels, rescaled: bool) -> SliceReason | None:
    """Why the slice is not to be read, by its voxels; None when it may be.

    Args:
        voxels_hu: float32 [Rows, Columns], HU.
        rescaled: the header carried RescaleSlope and RescaleIntercept.
    """
    if not rescaled and voxels_hu.min() >= 0 and voxels_hu.max() > UNSIGNED_CT_MAXIMUM:
        return SliceReason.NO_RESCALE
    if not rescaled and header.BitsStored <= GREY_BITS and voxels_hu.max() > WINDOWED_MAXIMUM:
        return SliceReason.NO_RESCALE
    low, high = SOFT_TISSUE_HU
    soft = float(np.mean((voxels_hu > low) & (voxels_hu < high)))
    if soft < MIN_SOFT_TISSUE_FRACTION or voxels_hu.min() == voxels_hu.max():
        return SliceReason.IMPLAUSIBLE_HU
    if header.PixelSpacing is not None and float(voxels_hu.min()) < AIR_PRESENT_HU:
        body = voxels_hu > BODY_HU
        height = _extent(body.mean(axis=1)) * header.PixelSpacing[0]
        width = _extent(body.mean(axis=0)) * header.PixelSpacing[1]
        if min(height, width) > MAX_HEAD_MM or max(height, width) > 1.4 * MAX_HEAD_MM:
            return SliceReason.NOT_HEAD
    return None


MIN_FILLED_FRACTION = 0.1
"""A row or column counts as body when this much of it does: a table's edge does not."""


def _extent(filled: np.ndarray) -> int:
    places = np.flatnonzero(filled > MIN_FILLED_FRACTION)
    return int(places[-1] - places[0] + 1) if places.size else 0
