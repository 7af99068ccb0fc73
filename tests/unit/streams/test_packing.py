"""Pictures keep their Hounsfield units."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.contracts.pictures import HU_CEILING, HU_FLOOR
from streams.packing import pack, reduced, to_int16
from tests.support.pictures import unpack
from tests.support.slices import soft_tissue

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(max_examples=60, deadline=None)
@given(arrays(np.int16, SHAPES, elements=st.integers(HU_FLOOR, HU_CEILING)))
def test_packing_loses_nothing(hu: np.ndarray) -> None:
    assert np.array_equal(unpack(pack(hu), *hu.shape), hu)


def test_equal_voxels_give_equal_bytes_and_far_fewer_of_them() -> None:
    hu = soft_tissue(40)
    assert pack(hu) == pack(hu.copy())
    assert len(pack(hu)) < hu.nbytes / 10


def test_what_is_beyond_a_twelve_bit_ct_is_clipped() -> None:
    assert to_int16(np.array([[-32000.0, 0.5001, 9000.0]], np.float32)).tolist() == [[HU_FLOOR, 1, HU_CEILING]]


def test_large_slices_are_reduced_by_whole_factors_and_small_ones_left_alone() -> None:
    large = np.arange(10 * 7, dtype=np.float32).reshape(10, 7)
    small, factor = reduced(large, 5)
    assert (small.shape, factor) == ((5, 3), 2)
    assert small[0, 0] == large[:2, :2].mean()
    same, factor = reduced(large, 10)
    assert same is large
    assert factor == 1
