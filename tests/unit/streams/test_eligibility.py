"""Which slices may be read, and the reason when not."""

import numpy as np
import pytest

from streams.contracts.findings import SliceReason
from streams.eligibility import header_reason, is_bone_kernel, voxel_reason
from tests.support.slices import a_slice, soft_tissue


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"ImageType": ()}, None),
        ({"ImageType": ("DERIVED", "SECONDARY", "AXIAL")}, None),
        ({"ImageOrientationPatient": None, "ImagePositionPatient": None}, None),
        ({"Modality": "MR"}, SliceReason.NOT_CT),
        ({"ImageType": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, SliceReason.LOCALIZER),
        ({"ImageType": ("DERIVED", "SECONDARY", "MIP")}, SliceReason.DERIVED),
        ({"ImageOrientationPatient": (1, 0, 0, 0, 0, -1)}, SliceReason.NOT_AXIAL),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, SliceReason.COLOUR),
        ({"ConvolutionKernel": ("H60s",)}, SliceReason.BONE_KERNEL),
        ({"BodyPartExamined": "CHEST"}, SliceReason.NOT_HEAD),
        ({"BodyPartExamined": "HEAD"}, None),
        ({"Rows": 32}, SliceReason.TOO_SMALL),
    ],
)
def test_header(changes: dict[str, object], reason: SliceReason | None) -> None:
    assert header_reason(a_slice(**changes)) is reason


@pytest.mark.parametrize("kernel", ["B60f", "H70h", "J70h", "BONE", "BONEPLUS", "EDGE", "FC30", "FC81", "YC"])
def test_bone_kernels(kernel: str) -> None:
    assert is_bone_kernel(kernel)


@pytest.mark.parametrize("kernel", ["H30s", "J40s", "Hr38h", "SOFT", "STANDARD", "UB", "FC21", "FC64", "B31s", ""])
def test_kernels_for_brain(kernel: str) -> None:
    assert not is_bone_kernel(kernel)


def test_voxels() -> None:
    head = soft_tissue().astype(np.float32)
    assert voxel_reason(a_slice(), head, rescaled=True) is None
    assert voxel_reason(a_slice(), np.full((64, 64), -1000, np.float32), rescaled=True) is SliceReason.IMPLAUSIBLE_HU
    assert voxel_reason(a_slice(), np.full((64, 64), 80, np.float32), rescaled=True) is SliceReason.IMPLAUSIBLE_HU
    assert voxel_reason(a_slice(), head + 1024, rescaled=False) is SliceReason.NO_RESCALE
    assert voxel_reason(a_slice(PixelSpacing=(7.0, 7.0)), head, rescaled=True) is SliceReason.NOT_HEAD


def test_a_brain_windowed_crop_without_air_is_read() -> None:
    crop = np.clip(soft_tissue().astype(np.float32), 0, 80)
    assert voxel_reason(a_slice(PixelSpacing=(7.0, 7.0)), crop, rescaled=True) is None
