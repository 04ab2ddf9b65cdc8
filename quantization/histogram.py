"""The distinct colors of pictures and how often each occurs."""

from collections.abc import Sequence

import numpy as np
from numba import njit

OPAQUE_ALPHA = 128
"""Pixels of at least this alpha are opaque; the others go to the transparent entry."""

_FEW_PIXELS = 1 << 14  # up to here, sorting is faster than a table of all 2²⁴ colors


@njit(cache=True, nogil=True, inline="always")
def _key(red: np.uint8, green: np.uint8, blue: np.uint8) -> np.uint32:
    return np.uint32(red) << 16 | np.uint32(green) << 8 | np.uint32(blue)


@njit(cache=True, nogil=True)
def _sorted_keys(pixels: np.ndarray) -> np.ndarray:
    """The opaque pixels' colors as numbers, sorted."""
    keys = np.empty(len(pixels), np.uint32)
    size = 0
    for i in range(len(pixels)):
        if pixels[i, 3] >= OPAQUE_ALPHA:
            keys[size] = _key(pixels[i, 0], pixels[i, 1], pixels[i, 2])
            size += 1
    keys = keys[:size]
    keys.sort()
    return keys


@njit(cache=True, nogil=True)
def histogram_by_sorting(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The histogram of few pixels, uint8 ``[N, 4]``; returns what `histogram` does."""
    keys = _sorted_keys(pixels)
    colors = np.empty((len(keys), 3), np.uint8)
    counts = np.zeros(len(keys), np.int64)
    size = 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            colors[size, 0], colors[size, 1], colors[size, 2] = keys[i] >> 16, keys[i] >> 8 & 255, keys[i] & 255
            size += 1
        counts[size - 1] += 1
    return colors[:size].copy(), counts[:size].copy()


@njit(cache=True, nogil=True)
def _add_to_table(pixels: np.ndarray, table: np.ndarray, occupied: np.ndarray) -> None:
    for i in range(len(pixels)):
        if pixels[i, 3] >= OPAQUE_ALPHA:
            key = _key(pixels[i, 0], pixels[i, 1], pixels[i, 2])
            table[key] += np.uint32(1)
            occupied[key >> 8] = True


@njit(cache=True, nogil=True)
def _read_table(table: np.ndarray, occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = 0
    for row in np.flatnonzero(occupied):
        for key in range(row << 8, (row + 1) << 8):
            size += table[key] > 0
    colors, counts = np.empty((size, 3), np.uint8), np.empty(size, np.int64)
    size = 0
    for row in np.flatnonzero(occupied):
        for key in range(row << 8, (row + 1) << 8):
            if table[key] > 0:
                colors[size, 0], colors[size, 1], colors[size, 2] = key >> 16, key >> 8 & 255, key & 255
                counts[size] = table[key]
                size += 1
    return colors, counts


def histogram(images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Count the colors of the opaque pixels of pictures.

    Args:
        images: sRGB RGBA, uint8 ``[H, W, 4]`` each, fewer than 2³² pixels in all.

    Returns:
        The distinct colors, uint8 ``[N, 3]``, sorted by red, green, blue; and how often each occurs, int64 ``[N]``.
    """
    pixels = [np.ascontiguousarray(image).reshape(-1, 4) for image in images]
    if sum(map(len, pixels)) <= _FEW_PIXELS:
        return histogram_by_sorting(np.concatenate(pixels) if len(pixels) != 1 else pixels[0])
    # 64 MiB of address space; only the pages of colors that occur are ever touched.
    table, occupied = np.zeros(1 << 24, np.uint32), np.zeros(1 << 16, np.bool_)
    for part in pixels:
        _add_to_table(part, table, occupied)
    return _read_table(table, occupied)
