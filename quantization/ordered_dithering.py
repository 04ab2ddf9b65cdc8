"""Ordered dithering with any palette: each color is mixed of two entries, and a threshold matrix says which one shows.

The pair is chosen as in Yliluoma 2011, "Arbitrary-palette positional dithering algorithm": its mixture comes near the
color, and the two are not farther apart than need be: the weight of their distance is that of the grain in mixtures.py.
So the amplitude is the palette's own spacing, place by place.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from .histogram import color_key, empty_table, mark_colors, read_table
from .mixtures import GRAIN
from .spaces import LINEAR_OF_BYTE, SPACES
from .threads import over_slices


@njit(cache=True, nogil=True)
def _mixtures(
    points: np.ndarray, mixing: np.ndarray, centers: np.ndarray, entries: np.ndarray, apart: float, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pair of each color, the darker first, int16 ``[N, 2]``, and the second one's share, float32 ``[N]``.

    Args:
        points: the colors in OKLab, where nearness is judged, float32 ``[N, 3]``.
        mixing: the colors in the space of mixing, float32 ``[N, 3]``.
        centers: the entries in OKLab, float32 ``[K, 3]``.
        entries: the entries in the space of mixing, float32 ``[K, 3]``.
        apart: the penalty of a pair's distance.
        strength: by what the share of the entry that isn't the nearest one is multiplied.
    """
    pairs, shares = np.empty((len(points), 2), np.int16), np.empty(len(points), np.float32)
    for i in range(len(points)):
        first, least = 0, np.float32(np.inf)
        for k in range(len(centers)):
            d = np.float32(0)
            for axis in range(3):
                d += (points[i, axis] - centers[k, axis]) ** 2
            if d < least:
                first, least = k, d
        second = first
        if least > 0:  # an entry alone pays no penalty: it would win wherever it is near, and the mean be its color
            least = np.float32(np.inf)
        px, py, pz = (
            points[i, 0] - centers[first, 0],
            points[i, 1] - centers[first, 1],
            points[i, 2] - centers[first, 2],
        )
        for k in range(len(centers)):
            x = centers[k, 0] - centers[first, 0]
            y = centers[k, 1] - centers[first, 1]
            z = centers[k, 2] - centers[first, 2]
            length = x * x + y * y + z * z
            if length > 0:
                t = (px * x + py * y + pz * z) / length
                t = min(max(t, 0.0), 1.0)
                off = (px - t * x) ** 2 + (py - t * y) ** 2 + (pz - t * z) ** 2
                off += apart * length * t * (1 - t)
                if t > 0 and off < least:
                    second, least = k, off
        along, length = np.float32(0), np.float32(0)
        for axis in range(3):
            way = entries[second, axis] - entries[first, axis]
            along += (mixing[i, axis] - entries[first, axis]) * way
            length += way * way
        share = min(max(along / length, np.float32(0)), np.float32(1)) if length > 0 else np.float32(0)
        share *= np.float32(strength)
        # The darker one first: neighbors that mix the same two entries then agree on which threshold shows which.
        if centers[first, 0] > centers[second, 0] or (centers[first, 0] == centers[second, 0] and first > second):
            first, second, share = second, first, np.float32(1) - share
        pairs[i, 0], pairs[i, 1], shares[i] = first, second, share
    return pairs, shares


@njit(cache=True, nogil=True)
def _show(
    pixels: np.ndarray,
    row: int,
    places: np.ndarray,
    pairs: np.ndarray,
    shares: np.ndarray,
    thresholds: np.ndarray,
    out: np.ndarray,
) -> None:
    n = len(thresholds)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            i = places[color_key(pixels[y, x, 0], pixels[y, x, 1], pixels[y, x, 2])]
            out[y, x] = pairs[i, 1 if shares[i] > thresholds[(row + y) % n, x % n] else 0]


def ordered(
    matrix: Callable[[], np.ndarray],
    pixels: np.ndarray,
    opaque: np.ndarray,
    colors: np.ndarray,
    strength: float,
    space: str,
) -> np.ndarray:
    """Dither by the thresholds of ``matrix()``; the other arguments, and the result, as for `dithering.Dither`."""
    height, width = opaque.shape
    flat = np.dstack([pixels, np.where(opaque, 255, 0).astype(np.uint8)]).reshape(-1, 4)
    table, used = empty_table()
    mark_colors(flat, table, used)
    keys, distinct = read_table(table, used)
    points, centers = SPACES["oklab"].from_bytes(distinct), SPACES["oklab"].from_bytes(colors)
    mixing, entries = (LINEAR_OF_BYTE[distinct], LINEAR_OF_BYTE[colors]) if space == "linear" else (points, centers)
    parts = over_slices(
        lambda a, b: _mixtures(points[a:b], mixing[a:b], centers, entries, GRAIN, strength), len(points), 4096
    )
    pairs, shares = (np.concatenate(column) for column in zip(*parts, strict=True))
    places = np.zeros(1 << 24, np.int32)
    places[keys] = np.arange(len(keys))
    out = np.empty((height, width), np.uint8)
    rows = max(1, (1 << 16) // width)
    over_slices(lambda a, b: _show(pixels[a:b], a, places, pairs, shares, matrix(), out[a:b]), height, rows)
    return out
