"""Ordered dithering with any palette: each color is mixed of two entries, and a threshold matrix says which one shows.

The pair is chosen as in Yliluoma 2011, "Arbitrary-palette positional dithering algorithm": its mixture comes near the
color, as the eye sees it from afar, and the two are not farther apart than need be: the weight of their distance is that
of the grain in mixtures.py.
So the amplitude is the palette's own spacing, place by place.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from tincture.common.threads import over_slices

from ..fit.mixtures import GRAIN
from ..histogram import color_key, empty_table, mark_colors, read_table
from ..spaces import LINEAR_OF_BYTE, SPACES, linear_to_oklab_pixel


@njit(cache=True, nogil=True)
def _nearest_entry(point: np.ndarray, centers: np.ndarray) -> int:
    """The first of the entries that are nearest in OKLab."""
    first, least = 0, np.float32(np.inf)
    for k in range(len(centers)):
        square = np.float32(0)
        for axis in range(3):
            square += (point[axis] - centers[k, axis]) ** 2
        if square < least:
            first, least = k, square
    return first


@njit(cache=True, nogil=True)
def _partner(
    point: np.ndarray, mixed: np.ndarray, centers: np.ndarray, entries: np.ndarray, is_linear: bool, first: int
) -> tuple[int, np.float32]:
    """The entry that ``first`` is mixed with, and its share; ``first`` itself where it is the color, or no other brings it nearer.

    An entry alone doesn't compete: it has no grain and would win wherever it is near, and the mean would be its color. The grain is
    that of the color's place between the two in OKLab: of linear light, one bright dot among dark ones is a small share, and is seen.
    """
    second, share, least = first, np.float32(0), np.float32(np.inf)
    mixture = np.empty(3, np.float32)
    for k in range(len(centers)):
        along, length, seen, apart = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for axis in range(3):
            way = entries[k, axis] - entries[first, axis]
            along += (mixed[axis] - entries[first, axis]) * way
            length += way * way
            way = centers[k, axis] - centers[first, axis]
            seen += (point[axis] - centers[first, axis]) * way
            apart += way * way
        if along <= 0 or length <= 0:
            continue
        t = min(along / length, np.float32(1))
        u = min(max(seen / apart, np.float32(0)), np.float32(1))
        off = np.float32(GRAIN) * apart * u * (1 - u)
        if off >= least:
            continue
        for axis in range(3):
            mixture[axis] = entries[first, axis] + t * (entries[k, axis] - entries[first, axis])
        if is_linear:
            mixture[0], mixture[1], mixture[2] = linear_to_oklab_pixel(mixture[0], mixture[1], mixture[2])
        for axis in range(3):
            off += (mixture[axis] - point[axis]) ** 2
        if off < least:
            second, share, least = k, t, off
    return second, share


@njit(cache=True, nogil=True)
def _mixtures(
    points: np.ndarray, mixing: np.ndarray, centers: np.ndarray, entries: np.ndarray, is_linear: bool, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pair of each color, the darker first, int16 ``[N, 2]``, and the second one's share, float32 ``[N]``.

    Args:
        points: the colors in OKLab, where nearness is judged, float32 ``[N, 3]``.
        mixing: the colors in the space of mixing, float32 ``[N, 3]``.
        centers: the entries in OKLab, float32 ``[K, 3]``.
        entries: the entries in the space of mixing, float32 ``[K, 3]``.
        is_linear: whether that space is linear light; else it is OKLab.
        strength: by what the share of the entry that isn't the nearest one is multiplied.
    """
    pairs, shares = np.empty((len(points), 2), np.int16), np.empty(len(points), np.float32)
    for i in range(len(points)):
        first = _nearest_entry(points[i], centers)
        second, share = _partner(points[i], mixing[i], centers, entries, is_linear, first)
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
    is_linear = space == "linear"
    mixing, entries = (LINEAR_OF_BYTE[distinct], LINEAR_OF_BYTE[colors]) if is_linear else (points, centers)
    parts = over_slices(
        lambda a, b: _mixtures(points[a:b], mixing[a:b], centers, entries, is_linear, strength),
        len(points),
        4096,
    )
    pairs, shares = (np.concatenate(column) for column in zip(*parts, strict=True))
    places = np.zeros(1 << 24, np.int32)
    places[keys] = np.arange(len(keys))
    out = np.empty((height, width), np.uint8)
    rows = max(1, (1 << 16) // width)
    over_slices(lambda a, b: _show(pixels[a:b], a, places, pairs, shares, matrix(), out[a:b]), height, rows)
    return out
