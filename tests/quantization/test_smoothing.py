import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.common.errors import InputError
from tincture.quantization.smoothing import mode_filter, remove_isolated


def speckled():
    indices = np.zeros((7, 7), np.uint8)
    indices[:, 4:] = 1
    indices[2, 1], indices[5, 5] = 3, 0
    return indices


def test_isolated_pixels_vanish_and_edges_stay():
    cleaned = remove_isolated(speckled())
    assert (cleaned[:, :4] == 0).all()
    assert (cleaned[:, 4:] == 1).all()


def test_the_mode_filter_removes_pairs_too():
    indices = np.zeros((9, 9), np.uint8)
    indices[4, 4:6] = 7
    assert np.array_equal(remove_isolated(indices), indices)
    assert (mode_filter(indices) == 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 20), st.integers(1, 20), st.integers(1, 3))
def test_laws_of_smoothing(seed, height, width, radius):
    indices = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)
    for smoothed in (remove_isolated(indices, transparent=0), mode_filter(indices, radius, transparent=0)):
        assert np.isin(smoothed, indices).all()
        assert np.array_equal(smoothed == 0, indices == 0)
    flat = np.full((height, width), 2, np.uint8)
    assert np.array_equal(mode_filter(flat, radius), flat)


def test_wrong_index_maps_are_refused():
    with pytest.raises(InputError, match="uint8"):
        remove_isolated(np.zeros((3, 3), np.int64))
    with pytest.raises(InputError, match="at least 1"):
        mode_filter(np.zeros((3, 3), np.uint8), 0)
