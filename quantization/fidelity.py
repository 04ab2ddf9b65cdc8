"""How near an indexed picture is to its original: PSNR, mean ΔE in OKLab, and colors used."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit

from .histogram import OPAQUE_ALPHA
from .palettes.palette import Palette
from .spaces import LINEAR_OF_BYTE, SPACES, linear_to_oklab_pixel


class Fidelity(NamedTuple):
    """How near index maps are to their originals: means over the opaque pixels of all frames.

    They are none where no pixel is opaque. A difference of alpha counts like one of lightness: an
    opaque pixel and a clear one are 1 apart.
    """

    psnr: float | None
    """Peak signal-to-noise ratio of sRGB bytes, in decibels; infinite for equal pixels."""
    delta_e: float | None
    """Mean Euclidean distance in OKLab, where black and white are 1 apart."""
    colors_used: int
    """Entries that some pixel holds, the transparent one included."""


def fidelity(originals: Sequence[np.ndarray], indices: Sequence[np.ndarray], palette: Palette) -> Fidelity:
    """Compare frames with their index maps.

    Args:
        originals: sRGB RGBA, uint8 ``[H, W, 4]`` each; pixels of alpha below 128 are left out.
        indices: uint8 ``[H, W]`` each, as many as originals.
        palette: of all index maps.
    """
    oklab = SPACES["oklab"].from_bytes(palette.colors)
    used = np.zeros(256, np.bool_)
    squares, distances, count = 0, 0.0, 0
    for original, index_map in zip(originals, indices, strict=True):
        pixels, labels = np.ascontiguousarray(original).reshape(-1, 4), np.ascontiguousarray(index_map).reshape(-1)
        sums = _sums(pixels, labels, palette.colors, oklab, LINEAR_OF_BYTE, used)
        squares, distances, count = squares + sums[0], distances + sums[1], count + sums[2]
    if count == 0:
        return Fidelity(None, None, int(used.sum()))
    mean_square = squares / (3 * count)
    psnr = float(10 * np.log10(255**2 / mean_square)) if mean_square else float("inf")
    return Fidelity(psnr, distances / count, int(used.sum()))


@njit(cache=True, nogil=True)
def _sums(
    pixels: np.ndarray, labels: np.ndarray, colors: np.ndarray, oklab: np.ndarray, table: np.ndarray, used: np.ndarray
) -> tuple[int, float, int]:
    """Sum squared differences of bytes and distances in OKLab and alpha; count opaque pixels.

    Every entry that a pixel holds is marked in ``used``.
    """
    squares, distances, count = 0, 0.0, 0
    for i in range(len(pixels)):
        k = labels[i]
        used[k] = True
        if pixels[i, 3] < OPAQUE_ALPHA:
            continue
        count += 1
        for axis in range(4):
            gap = np.int64(pixels[i, axis]) - np.int64(colors[k, axis])
            squares += gap * gap
        lightness, a, b = linear_to_oklab_pixel(table[pixels[i, 0]], table[pixels[i, 1]], table[pixels[i, 2]])
        alpha_gap = (np.float64(pixels[i, 3]) - np.float64(colors[k, 3])) / 255
        color_square = (lightness - oklab[k, 0]) ** 2 + (a - oklab[k, 1]) ** 2 + (b - oklab[k, 2]) ** 2
        distances += np.sqrt(color_square + alpha_gap**2)
    return squares, distances, count
