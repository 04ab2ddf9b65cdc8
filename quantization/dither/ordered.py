"""Ordered dithering: two entries mix to a color, and a matrix of thresholds says which one shows.

The pair is chosen as in Yliluoma 2011, "Arbitrary-palette positional dithering algorithm". Its
mixture looks like the color from afar, and its two entries are no farther apart than they need to
be: the more they differ, the more grain is seen. So the amplitude follows the palette's own
spacing, place by place.

The matrices are those of Bayer 1973, and blue noise by the void-and-cluster method (Ulichney 1993).
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numba import njit

from tincture.common.threads import over_slices

from ..fit.mixtures import GRAIN
from ..histogram import color_key, distinct_colors
from ..nearest import nearest
from ..spaces import SPACES, linear_to_oklab_pixel, mixing_coordinates

BLUE_NOISE_SIZE = 64
_SIGMA = 1.5
"""The width of the Gaussian that measures how clustered points are: Ulichney's choice."""


def ordered(
    matrix: Callable[[], np.ndarray],
    image: np.ndarray,
    colors: np.ndarray,
    strength: float,
    space: str,
) -> np.ndarray:
    """Dither by the thresholds of ``matrix()``; all else is as for a `Ditherer`."""
    # Choose a pair of entries once for each color that occurs.
    keys, distinct = distinct_colors(image)
    points, centers = SPACES["oklab"].from_bytes(distinct), SPACES["oklab"].from_bytes(colors)
    mixing, entries = mixing_coordinates(distinct, space), mixing_coordinates(colors, space)
    firsts = nearest(points, centers)[0]
    parts = over_slices(
        lambda a, b: _mixtures(points[a:b], mixing[a:b], firsts[a:b], centers, entries, space == "linear", strength),
        len(points),
        4096,
    )
    pairs, shares = (np.concatenate(column) for column in zip(*parts, strict=True))

    # Show one of its color's two entries in each pixel.
    places = np.zeros(1 << 24, np.int32)
    places[keys] = np.arange(len(keys))
    out = np.empty(image.shape[:2], np.uint8)
    rows = max(1, (1 << 16) // out.shape[1])
    over_slices(lambda a, b: _show(image[a:b], a, places, pairs, shares, matrix(), out[a:b]), len(out), rows)
    return out


@njit(cache=True, nogil=True)
def _mixtures(
    points: np.ndarray,  # the colors in OKLab, where nearness is judged, [N, 3]
    mixing: np.ndarray,  # the colors in the space of mixing, [N, 3]
    firsts: np.ndarray,  # the position of each color's nearest entry, [N]
    centers: np.ndarray,  # the entries in OKLab, [K, 3]
    entries: np.ndarray,  # the entries in the space of mixing, [K, 3]
    is_linear: bool,  # whether that space is linear light; else it is OKLab
    strength: float,  # what the share of the entry that isn't the nearest one is multiplied by
) -> tuple[np.ndarray, np.ndarray]:
    """Each color's two entries, int16 ``[N, 2]``, the darker first; the second's share, ``[N]``."""
    pairs, shares = np.empty((len(points), 2), np.int16), np.empty(len(points), np.float32)
    for i in range(len(points)):
        first = firsts[i]
        second, share = _partner(points[i], mixing[i], centers, entries, is_linear, first)
        share *= np.float32(strength)
        # The darker entry comes first, so that neighbors that mix the same two agree on which
        # threshold shows which.
        if centers[first, 0] > centers[second, 0] or (centers[first, 0] == centers[second, 0] and first > second):
            first, second, share = second, first, np.float32(1) - share
        pairs[i, 0], pairs[i, 1], shares[i] = first, second, share
    return pairs, shares


@njit(cache=True, nogil=True)
def _partner(
    point: np.ndarray, mixed: np.ndarray, centers: np.ndarray, entries: np.ndarray, is_linear: bool, first: int
) -> tuple[int, np.float32]:
    """The entry that ``first`` is mixed with, and its share; ``first`` itself if none helps.

    The entry alone doesn't compete with mixtures. It has no grain, so it would win wherever it is
    near, and the mean would be its color.
    """
    second, share, least = first, np.float32(0), np.float32(np.inf)
    mixture = np.empty(3, np.float32)
    for k in range(len(centers)):
        # Project the color on the line from `first` to k, in both spaces.
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
        # The price of the grain. The share in OKLab counts, not the one in light: one bright dot
        # among dark ones is a small share of the light, and is seen.
        u = min(max(seen / apart, np.float32(0)), np.float32(1))
        off = np.float32(GRAIN) * apart * u * (1 - u)
        if off >= least:
            continue
        # The price of the mixture's own error, as it looks from afar.
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
def _show(
    pixels: np.ndarray,
    row: int,
    places: np.ndarray,
    pairs: np.ndarray,
    shares: np.ndarray,
    thresholds: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write the entries of some rows of the picture, from ``row`` on, into ``out``."""
    n = len(thresholds)
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            i = places[color_key(pixels[y, x, 0], pixels[y, x, 1], pixels[y, x, 2])]
            out[y, x] = pairs[i, 1 if shares[i] > thresholds[(row + y) % n, x % n] else 0]


@lru_cache
def bayer(n: int) -> np.ndarray:
    """Bayer's matrix of thresholds ``(rank + ½) / n²``, float32 ``[n, n]``; n is a power of 2."""
    ranks = np.zeros((1, 1))
    while len(ranks) < n:
        ranks = np.block([[4 * ranks, 4 * ranks + 2], [4 * ranks + 3, 4 * ranks + 1]])
    return ((ranks + 0.5) / n**2).astype(np.float32)


@lru_cache
def blue_noise(size: int = BLUE_NOISE_SIZE) -> np.ndarray:
    """A void-and-cluster matrix of thresholds ``(rank + ½) / size²``, always the same; float32."""
    offset = np.minimum(np.arange(size), size - np.arange(size))  # the matrix repeats, so distances wrap around
    bell = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * _SIGMA**2))
    pattern = np.random.default_rng(0).permutation(size * size) < size * size // 10
    return ((_void_and_cluster(pattern, bell).reshape(size, size) + 0.5) / size**2).astype(np.float32)


@njit(cache=True)
def _void_and_cluster(pattern: np.ndarray, bell: np.ndarray) -> np.ndarray:
    """Rank all places, int64 ``[n²]``, from a pattern of few ones and the Gaussian, ``[n, n]``."""
    energy = np.zeros(len(pattern))
    for place in np.flatnonzero(pattern):
        _toggle(energy, bell, place, 1.0)

    # Spread the ones out: move the tightest cluster to the largest void until it would come back.
    while True:
        cluster = _extreme(energy, pattern, True)
        pattern[cluster] = False
        _toggle(energy, bell, cluster, -1.0)
        void = _extreme(energy, pattern, False)
        pattern[void] = True
        _toggle(energy, bell, void, 1.0)
        if void == cluster:
            break

    # Rank the ones downward by taking the tightest cluster away, again and again.
    ranks = np.zeros(len(pattern), np.int64)
    ones = np.count_nonzero(pattern)
    kept_pattern, kept_energy = pattern.copy(), energy.copy()
    for rank in range(ones - 1, -1, -1):
        cluster = _extreme(energy, pattern, True)
        pattern[cluster] = False
        _toggle(energy, bell, cluster, -1.0)
        ranks[cluster] = rank

    # Rank the other places upward by filling the largest void, again and again.
    pattern, energy = kept_pattern, kept_energy
    for rank in range(ones, len(pattern)):
        void = _extreme(energy, pattern, False)
        pattern[void] = True
        _toggle(energy, bell, void, 1.0)
        ranks[void] = rank
    return ranks


@njit(cache=True)
def _toggle(energy: np.ndarray, bell: np.ndarray, place: int, sign: float) -> None:
    """Add a one's bell to the energy of all places, or take it away."""
    size = len(bell)
    row, column = place // size, place % size
    for i in range(size):
        for j in range(size):
            energy[i * size + j] += sign * bell[(i - row) % size, (j - column) % size]


@njit(cache=True)
def _extreme(energy: np.ndarray, pattern: np.ndarray, cluster: bool) -> int:
    """The tightest cluster (the one of most energy) or the largest void (the zero of least)."""
    best = -1
    for place in range(len(energy)):
        if pattern[place] == cluster and (
            best < 0 or (energy[place] > energy[best] if cluster else energy[place] < energy[best])
        ):
            best = place
    return best
