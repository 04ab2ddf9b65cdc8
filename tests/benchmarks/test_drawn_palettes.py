"""What drawn and real palettes are compared by."""

import numpy as np
import pytest

from tincture.benchmarks.drawn_palettes import (
    STATISTICS,
    difference_tables,
    differences_bytes,
    distances_to_nearest,
    oklab,
    sheet,
)
from tincture.quantization.palettes.palette import Palette
from tincture.tests.palettes import random_palette

GRAYS = Palette.from_hex([f"{level:02x}" * 3 for level in range(10, 250, 20)])


def test_grays_are_a_ramp_and_random_colors_are_not():
    gray, mixed = (
        {name: each(oklab(palette)) for name, each in STATISTICS.items()} for palette in (GRAYS, random_palette(12))
    )
    assert gray["distance from a ramp"] < 1e-4 < 0.05 < mixed["distance from a ramp"]
    assert gray["largest chroma"] < 1e-3 < 0.1 < mixed["largest chroma"]
    black_and_white = oklab(Palette.from_hex(["000", "808080", "fff", "00000000"]))
    assert len(black_and_white) == 3
    assert STATISTICS["contrast (lightest less darkest)"](black_and_white) == pytest.approx(1, abs=1e-3)
    middle = black_and_white[1, 0]
    assert STATISTICS["shortest distance"](black_and_white) == pytest.approx(min(middle, 1 - middle))


def test_a_palette_is_as_near_to_itself_as_can_be_whatever_its_order(rng):
    palettes = [random_palette(count, count) for count in (3, 7, 12)]
    turned = Palette(palettes[1].colors[rng.permutation(7)])
    near = Palette(np.clip(palettes[2].colors.astype(int) + 1, 0, 255).astype(np.uint8))
    distances = distances_to_nearest([turned, near, GRAYS], palettes)
    assert distances[0] == 0
    assert 0 < distances[1] < 0.01 < distances[2]


def test_differences_that_are_often_there_take_few_bytes():
    tables = difference_tables([GRAYS] * 200)
    assert differences_bytes(GRAYS, tables) < 0.3 * differences_bytes(random_palette(12), tables)
    assert np.exp2(-tables).sum(axis=1) == pytest.approx(1)


def test_drawn_palettes_stand_on_the_left_and_real_ones_on_the_right():
    red, blue = (Palette.from_hex([color]) for color in ("ff0000", "0000ff"))
    picture = np.array(sheet([red] * 4, [blue] * 4))
    left, right = np.array_split(picture, 2, axis=1)
    assert (left == (255, 0, 0)).all(axis=2).any() and not (left == (0, 0, 255)).all(axis=2).any()
    assert (right == (0, 0, 255)).all(axis=2).any() and not (right == (255, 0, 0)).all(axis=2).any()
