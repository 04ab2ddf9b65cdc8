"""Palettes for tests."""

import numpy as np

from tincture.quantization.palettes.palette import Palette


def random_palette(entries, seed=0, transparent=None):
    """Random opaque colors, by a seed or a generator; the entry ``transparent`` has alpha 0 and
    keeps no color.
    """
    colors = np.random.default_rng(seed).integers(0, 256, (entries, 4), np.uint8)
    colors[:, 3] = 255
    if transparent is not None:
        colors[transparent] = 0
    return Palette(colors)
