import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from tincture.common.errors import InputError
from tincture.evaluation.colors import (
    cheapest_transport,
    color_distance,
    color_fidelity,
    effective_entries,
    equal_neighbors,
)
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage

BLACK_WHITE = Palette.from_hex(["000000", "ffffff"])
MANY = Palette.from_hex(["000000", "ffffff", "ff0000", "2040a0", "88c070", "00000000"])


def image(palette, *pixels):
    return IndexedImage(np.array([pixels], np.uint8), palette)


def counts(*pixels):
    return np.array(pixels, np.int64)


def test_half_of_black_turned_white_is_a_distance_of_one_half():
    assert color_distance(BLACK_WHITE, counts(4, 0), counts(2, 2)) == pytest.approx(0.5, abs=1e-4)
    assert color_distance(BLACK_WHITE, counts(3, 0), counts(4, 4)) == pytest.approx(0.5, abs=1e-4)


def test_colors_and_nothing_are_as_far_apart_as_black_and_white():
    assert color_distance(MANY, counts(0, 0, 9, 0, 0, 0), counts(0, 0, 0, 0, 0, 9)) == 1


def test_it_is_a_metric(rng):
    first, second, third = rng.multinomial(256, np.ones(6) / 6, size=3)
    assert color_distance(MANY, first, first) == 0
    assert color_distance(MANY, first, second) == pytest.approx(color_distance(MANY, second, first))
    direct = color_distance(MANY, first, third)
    assert 0 < direct <= color_distance(MANY, first, second) + color_distance(MANY, second, third)


def test_where_pixels_stand_changes_nothing_but_how_many_does(rng):
    reference = [image(MANY, *rng.integers(0, 6, 64)) for _ in range(4)]
    shuffled = [IndexedImage(rng.permutation(each.indices[0])[None], MANY) for each in reference]
    result = color_fidelity(shuffled, reference)
    assert result.color_distance.value == 0
    assert result.drawn_entries_used == result.reference_entries_used
    assert color_fidelity([image(MANY, 0, 0)] * 4, reference).color_distance.value > 0.1


def test_entries_count_as_many_as_are_used_equally_often():
    assert effective_entries(image(MANY, 2, 2, 2)) == 1
    assert effective_entries(image(MANY, 0, 1, 3, 5, 5, 3, 0, 1)) == pytest.approx(4)
    assert effective_entries(image(MANY, *[0] * 9, 1)) == pytest.approx(np.exp(-0.9 * np.log(0.9) - 0.1 * np.log(0.1)))


def test_neighbors_are_counted_across_and_down():
    checkers = np.indices((4, 6)).sum(axis=0) % 2
    halves = np.indices((4, 6))[0] // 2
    assert equal_neighbors(IndexedImage(checkers.astype(np.uint8), BLACK_WHITE)) == 0
    assert equal_neighbors(IndexedImage(halves.astype(np.uint8), BLACK_WHITE)) == pytest.approx((20 + 12) / (20 + 18))
    assert equal_neighbors(image(MANY, 3)) == equal_neighbors(image(MANY, 3, 3, 3)) == 1


def test_a_drawing_that_uses_up_its_palette_is_told_from_a_flat_one(rng):
    flat = [image(MANY, *[0] * 30, *[2] * 30) for _ in range(4)]
    confetti = [image(MANY, *rng.integers(0, 6, 60)) for _ in range(4)]
    result = color_fidelity(confetti, flat)
    assert result.drawn_effective_entries.value > 5 > 2 == pytest.approx(result.reference_effective_entries.value)
    assert result.drawn_equal_neighbors.value < 0.4 < 0.9 < result.reference_equal_neighbors.value


def test_images_of_one_palette_are_pooled_and_palettes_averaged():
    drawn = [image(BLACK_WHITE, 0, 0), image(BLACK_WHITE, 1, 1), image(MANY, 5, 5)]
    result = color_fidelity(drawn, [image(BLACK_WHITE, 0, 1), image(MANY, 0, 0)])
    assert result.color_distance == pytest.approx((0.5, 0.5))
    assert result.drawn_entries_used.value == pytest.approx((1 / 2 + 1 / 2 + 1 / 6) / 3)


def test_sets_without_a_common_palette_are_refused():
    with pytest.raises(InputError, match="reference images' palettes"):
        color_fidelity([image(MANY, 0)], [image(BLACK_WHITE, 0)])
    with pytest.raises(InputError, match="at least one"):
        color_fidelity([], [image(BLACK_WHITE, 0)])


@pytest.mark.parametrize("shape", [(1, 4), (6, 6), (5, 9)])
def test_no_assignment_of_single_units_is_cheaper(rng, shape):
    n, m = shape
    supply, demand = rng.multinomial(200, np.ones(n) / n), rng.multinomial(200, np.ones(m) / m)
    demand[0] += demand[-1]
    demand[-1] = 0
    costs = rng.random(shape)
    units = costs[np.repeat(np.arange(n), supply)][:, np.repeat(np.arange(m), demand)]  # [200, 200]
    least = units[linear_sum_assignment(units)].sum()
    assert cheapest_transport(costs, supply, demand) == pytest.approx(least, rel=1e-9)
