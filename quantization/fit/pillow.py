"""Pillow's own methods: median cut (Heckbert 1982), octree (Gervautz and Purgathofer 1988)."""

import numpy as np
from PIL import Image

_MOST_PIXELS = 1 << 22


def median_cut_colors(colors: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """Pillow's median cut.

    Args:
        colors: distinct colors, sRGB uint8 ``[N, 3]``.
        counts: how often each occurs, ``[N]``.
        k: the number of colors wanted.

    Returns:
        sRGB, uint8 ``[≤ k, 3]``.
    """
    return _pillow_colors(colors, counts, k, Image.Quantize.MEDIANCUT)


def octree_colors(colors: np.ndarray, counts: np.ndarray, k: int) -> np.ndarray:
    """Pillow's fast octree; arguments and result as for `median_cut_colors`."""
    return _pillow_colors(colors, counts, k, Image.Quantize.FASTOCTREE)


def _pillow_colors(colors: np.ndarray, counts: np.ndarray, k: int, method: Image.Quantize) -> np.ndarray:
    # Pillow takes no weights, so each color is repeated as often as it occurs, or in proportion.
    repeats = counts if counts.sum() <= _MOST_PIXELS else np.maximum(1, counts * _MOST_PIXELS // counts.sum())
    pixels = np.repeat(colors, repeats, axis=0)
    palette = Image.fromarray(pixels[None]).quantize(k, method=method, dither=Image.Dither.NONE).getpalette("RGB")
    return np.array(palette, np.uint8).reshape(-1, 3)[:k]
