"""The search for the nearest center."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincture.quantization import nearest as module
from tincture.quantization.nearest import nearest, nearest_of


def test_nearest_equals_the_full_table_of_distances(rng):
    points, centers = rng.random((500, 3), np.float32), rng.random((17, 3), np.float32)
    table = ((points[:, None] - centers) ** 2).sum(-1)
    labels, distances = nearest(points, centers)
    assert np.array_equal(labels, table.argmin(1))
    np.testing.assert_allclose(distances, table.min(1), rtol=1e-5)


def test_nearest_takes_the_first_of_equal_centers():
    centers = np.ones((3, 3), np.float32)
    assert nearest(np.zeros((1, 3), np.float32), centers)[0].tolist() == [0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4000), st.integers(1, 256), st.booleans())
def test_the_search_by_cells_equals_the_plain_one(seed, count, k, on_a_lattice):
    rng = np.random.default_rng(seed)
    points, centers = rng.random((count, 3), np.float32), rng.random((k, 3), np.float32)
    if on_a_lattice:  # many ties and equal points
        points, centers = np.round(points * 4) / 4, np.round(centers * 4) / 4
    plain = nearest(points, centers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FEW_POINTS", 0)
        by_cells = nearest(points, centers)
    assert np.array_equal(by_cells[0], plain[0])
    assert np.array_equal(by_cells[1], plain[1])


def test_one_point_has_the_nearest_of_the_chosen_centers(rng):
    points, centers = rng.random((50, 3), np.float32), rng.random((17, 3), np.float32)
    chosen = np.array([2, 3, 7, 11])
    one_by_one = [nearest_of(*point, centers, chosen) for point in points]
    assert np.array_equal(one_by_one, chosen[nearest(points, centers[chosen])[0]])
