from itertools import permutations

import numpy as np
import pytest
import torch

from tincture.common.errors import InputError
from tincture.quantization.color import srgb_to_oklab
from tincture.quantization.palettes.distance import palette_distance
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.tests.palettes import random_palette


def oklab(palette):
    return srgb_to_oklab(torch.tensor(palette.colors[:, :3])).numpy().astype(np.float64)


def best_assignment(first, second):
    """The least mean distance over all ways to pair as many points with each other."""
    costs = np.linalg.norm(first[:, None] - second, axis=2)
    return min(costs[range(len(first)), order].mean() for order in permutations(range(len(second))))


@pytest.mark.parametrize("entries", [1, 2, 5, 7])
def test_equal_sizes_give_the_best_assignment(rng, entries):
    first, second = random_palette(entries, rng), random_palette(entries, rng)
    expected = best_assignment(oklab(first), oklab(second))
    assert palette_distance(first, second) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("small", "large"), [(1, 6), (2, 3), (3, 6), (2, 6)])
def test_different_sizes_give_the_best_assignment_of_equal_parts(rng, small, large):
    first, second = random_palette(small, rng), random_palette(large, rng)
    parts = np.lcm(small, large)
    expected = best_assignment(np.repeat(oklab(first), parts // small, 0), np.repeat(oklab(second), parts // large, 0))
    assert palette_distance(first, second) == pytest.approx(expected, abs=1e-6)


def test_it_is_a_metric_that_no_order_changes(rng):
    a, b, c = random_palette(12, rng), random_palette(31, rng), random_palette(8, rng)
    shuffled = Palette(b.colors[rng.permutation(31)])
    assert palette_distance(a, a) == 0
    assert palette_distance(b, shuffled) == pytest.approx(0, abs=1e-12)
    assert palette_distance(a, b) == pytest.approx(palette_distance(b, a))
    assert palette_distance(a, b) == pytest.approx(palette_distance(a, shuffled))
    assert palette_distance(a, c) <= palette_distance(a, b) + palette_distance(b, c)
    assert palette_distance(a, b) >= np.linalg.norm(oklab(a).mean(0) - oklab(b).mean(0)) - 1e-6


def test_black_and_white_are_1_apart_and_transparency_plays_no_part():
    black, white = Palette.from_hex(["000000"]), Palette.from_hex(["ffffff", "00000000"])
    assert palette_distance(black, white) == pytest.approx(1, abs=1e-4)
    with pytest.raises(InputError, match="without an opaque entry"):
        palette_distance(black, Palette.from_hex(["00000000"]))


def test_relatives_are_nearer_than_strangers():
    colodore, commodore = read_palette("colodore"), read_palette("commodore64")
    assert palette_distance(colodore, commodore) < palette_distance(colodore, read_palette("nintendo-gameboy-bgb"))
