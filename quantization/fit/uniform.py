"""A palette for any picture: a regular lattice in sRGB, like the 216 web-safe colors."""

import numpy as np


def lattice_levels(k: int) -> tuple[int, int, int]:
    """How many levels of red, green and blue fill ``k`` ≥ 8 entries.

    Green gets one more first, since eyes see it best.
    """
    levels = [round(k ** (1 / 3) - 0.5 + 1e-9)] * 3
    for channel in (1, 0, 2):
        grown = levels.copy()
        grown[channel] += 1
        if np.prod(grown) <= k:
            levels = grown
    return tuple(levels)


def uniform_colors(k: int) -> np.ndarray:
    """A lattice of at most ``k`` colors, or a ramp of grays where ``k`` < 8.

    Args:
        k: at least 1.

    Returns:
        sRGB, uint8 ``[≤ k, 3]``.
    """
    if k < 8:
        ramp = np.linspace(0, 255, k).round() if k > 1 else np.array([128.0])
        return np.repeat(ramp[:, None], 3, axis=1).astype(np.uint8)
    axes = [np.linspace(0, 255, levels).round() for levels in lattice_levels(k)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3).astype(np.uint8)
