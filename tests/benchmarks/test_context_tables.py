from itertools import product

import numpy as np
import pytest

from tincture.benchmarks.context_tables import ContextTables


@pytest.mark.parametrize("clear", [None, 1])
def test_the_shares_of_all_pictures_of_a_small_world_add_up_to_one(rng, clear):
    colors = np.array([[9, 9, 9, 255], [90, 0, 0, 255], [200, 255, 0, 255]], np.uint8)
    if clear is not None:
        colors[clear, 3] = 0
    tables = ContextTables([(rng.integers(0, 3, (6, 6)).astype(np.uint8), colors) for _ in range(5)])
    world = (np.array(pixels, np.uint8).reshape(2, 2) for pixels in product(range(3), repeat=4))
    assert sum(2 ** -tables.bits(picture, colors) for picture in world) == pytest.approx(1)


def test_what_was_seen_often_takes_few_bits():
    colors = np.array([[9, 9, 9, 255], [90, 0, 0, 255]], np.uint8)
    stripes = np.tile(np.array([0, 1], np.uint8), (6, 3))
    tables = ContextTables([(stripes, colors)] * 50)
    assert tables.bits(stripes, colors) < 4 < tables.bits(stripes.T.copy(), colors)
