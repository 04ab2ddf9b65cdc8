"""The distance between two palettes: how far their colors must be moved in OKLab, at least, to become each other.

The earth mover's distance (Rubner, Tomasi and Guibas 2000).
"""

import numpy as np

from tincture.common.errors import InputError

from ..spaces import SPACES
from ..transport import cheapest_transport
from .palette import Palette


def palette_distance(first: Palette, second: Palette) -> float:
    """The earth mover's distance of two palettes whose opaque entries weigh the same each, in OKLab.

    It doesn't depend on the order of entries, and the palettes may differ in size. 0 for the same colors, 1 between
    black and white.

    Raises:
        InputError: one of the palettes has no opaque entry.
    """
    points = []
    for palette in (first, second):
        opaque = palette.colors[palette.colors[:, 3] > 0, :3]
        if len(opaque) == 0:
            raise InputError("a palette without an opaque entry has no distance to another one")
        points.append(SPACES["oklab"].from_bytes(opaque).astype(np.float64))
    costs = np.linalg.norm(points[0][:, None] - points[1], axis=2)  # [K, L]
    supply, demand = np.full(costs.shape[0], costs.shape[1]), np.full(costs.shape[1], costs.shape[0])
    return float(cheapest_transport(costs, supply, demand)) / costs.size
