"""Palettes for tests, and what holds for all of their files."""

import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.tests.mutations import MUTATIONS, damaged


def random_palette(entries, seed=0, transparent=None):
    """Random opaque colors, by a seed or a generator; the entry ``transparent`` has alpha 0 and
    keeps no color.
    """
    colors = np.random.default_rng(seed).integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = 255
    if transparent is not None:
        colors[transparent] = 0
    return Palette(colors)


def check_damaged_palettes(path, content, chance):
    """Damaged copies of a palette's file are read or refused in one line, some of them refused."""
    outcomes = set()
    for _ in range(MUTATIONS):
        path.write_bytes(damaged(content, chance))
        try:
            assert 1 <= len(read_palette(path)) <= 256
            outcomes.add("read")
        except InputError as error:
            assert len(str(error)) < 500, error
            outcomes.add("refused")
    assert "refused" in outcomes
