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

from tincture.common.kernels import kernel
from tincture.common.threads import over_slices

from ..fit.mixtures import GRAIN
from ..histogram import color_key, distinct_colors
from ..metric import NEAR, hue_weight, neutrals
from ..nearest import nearest
from ..spaces import SPACES, linear_to_oklab_pixel, mixing_coordinates

BLUE_NOISE_SIZE = 64
_SIGMA = 1.5
"""The width of the Gaussian that measures how clustered points are: Ulichney's choice."""
_GRAY = (0.01, 0.03)
"""A color of at most the first chroma in OKLab is a gray; of the second one and more it is none."""


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
    firsts, squares = nearest(points, centers)
    grays, weights = neutrals(colors), _hue_weights(points, squares, colors)
    parts = over_slices(
        lambda a, b: _mixtures(
            points[a:b], mixing[a:b], firsts[a:b], weights[a:b], centers, entries, grays, space == "linear", strength
        ),
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


def _hue_weights(points: np.ndarray, squares: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """How many times hue counts for each color in OKLab, float32 ``[N]``.

    As often as in `nearest_entries`: ``squares`` are the distances to the nearest entries. For
    grays it counts twice as often, since dots of a strong color are seen in them.
    """
    weight = hue_weight(colors)
    if len(neutrals(colors)) < 2:
        return np.ones(len(points), np.float32)
    weights = np.where(squares > NEAR**2, weight, 1)
    gray, colored = _GRAY
    share = np.clip((colored - np.hypot(points[:, 1], points[:, 2])) / (colored - gray), 0, 1)
    return (weights + share * (2 * weight - weights)).astype(np.float32)


@kernel
def _mixtures(
    points: np.ndarray,  # the colors in OKLab, where nearness is judged, [N, 3]
    mixing: np.ndarray,  # the colors in the space of mixing, [N, 3]
    firsts: np.ndarray,  # the position of each color's nearest entry, [N]
    weights: np.ndarray,  # how many times hue counts for each color, [N]
    centers: np.ndarray,  # the entries in OKLab, [K, 3]
    entries: np.ndarray,  # the entries in the space of mixing, [K, 3]
    grays: np.ndarray,  # which entries are neutral, [G]
    is_linear: bool,  # whether that space is linear light; else it is OKLab
    strength: float,  # what the share of the entry that isn't the nearest one is multiplied by
) -> tuple[np.ndarray, np.ndarray]:
    """Each color's two entries, int16 ``[N, 2]``, the darker first; the second's share, ``[N]``."""
    pairs, shares = np.empty((len(points), 2), np.int16), np.empty(len(points), np.float32)
    ends = np.empty(2, np.int64)
    for i in range(len(points)):
        # Pairs with the nearest entry; for a gray, also those with the nearest neutral.
        square = weights[i] ** 2
        ends[0] = firsts[i] if square == 1 else _nearest(points[i], centers, square)
        ends[1] = ends[0]
        if len(grays) > 1 and np.hypot(points[i, 1], points[i, 2]) < _GRAY[1]:
            ends[1] = grays[np.argmin(np.abs(centers[grays, 0] - points[i, 0]))]
        count = 1 if ends[0] == ends[1] else 2
        first, second, share = _best_pair(points[i], mixing[i], ends[:count], centers, entries, is_linear, square)
        share *= np.float32(strength)
        # The darker entry comes first, so that neighbors that mix the same two agree on which
        # threshold shows which.
        if centers[first, 0] > centers[second, 0] or (centers[first, 0] == centers[second, 0] and first > second):
            first, second, share = second, first, np.float32(1) - share
        pairs[i, 0], pairs[i, 1], shares[i] = first, second, share
    return pairs, shares


@kernel(inline="always")
def _length(lightness: np.float32, a: np.float32, b: np.float32, square: np.float32) -> np.float32:
    """The squared length of a difference in OKLab, with hue counting ``square`` times."""
    return lightness * lightness + square * (a * a + b * b)


@kernel
def _nearest(point: np.ndarray, centers: np.ndarray, square: np.float32) -> int:
    best, least = 0, np.float32(np.inf)
    for k in range(len(centers)):
        d = _length(point[0] - centers[k, 0], point[1] - centers[k, 1], point[2] - centers[k, 2], square)
        if d < least:
            best, least = k, d
    return best


@kernel
def _best_pair(
    point: np.ndarray,
    mixed: np.ndarray,
    firsts: np.ndarray,
    centers: np.ndarray,
    entries: np.ndarray,
    is_linear: bool,
    square: np.float32,
) -> tuple[int, int, np.float32]:
    """One of ``firsts``, the entry that it is mixed with, and that one's share.

    It is the nearest entry twice if none helps. That entry alone doesn't compete with mixtures. It
    has no grain, so it would win wherever it is near, and the mean would be its color.
    """
    pair, share, least = (firsts[0], firsts[0]), np.float32(0), np.float32(np.inf)
    mixture = np.empty(3, np.float32)
    for first in firsts:
        for k in range(len(centers)):
            # Project the color on the line from `first` to k, in the space of mixing.
            along, length = np.float32(0), np.float32(0)
            for axis in range(3):
                way = entries[k, axis] - entries[first, axis]
                along += (mixed[axis] - entries[first, axis]) * way
                length += way * way
            if along <= 0 or length <= 0 or (first != firsts[0] and along >= length):
                continue
            t = min(along / length, np.float32(1))
            # The price of the grain. The share in OKLab counts, not the one in light: one bright
            # dot among dark ones is a small share of the light, and is seen.
            d0, d1, d2 = (
                centers[k, 0] - centers[first, 0],
                centers[k, 1] - centers[first, 1],
                centers[k, 2] - centers[first, 2],
            )
            seen = (point[0] - centers[first, 0]) * d0 + square * (
                (point[1] - centers[first, 1]) * d1 + (point[2] - centers[first, 2]) * d2
            )
            apart = _length(d0, d1, d2, square)
            u = min(max(seen / apart, np.float32(0)), np.float32(1))
            off = np.float32(GRAIN) * apart * u * (1 - u)
            if off >= least:
                continue
            # The price of the mixture's own error, as it looks from afar.
            for axis in range(3):
                mixture[axis] = entries[first, axis] + t * (entries[k, axis] - entries[first, axis])
            if is_linear:
                mixture[0], mixture[1], mixture[2] = linear_to_oklab_pixel(mixture[0], mixture[1], mixture[2])
            off += _length(mixture[0] - point[0], mixture[1] - point[1], mixture[2] - point[2], square)
            if off < least:
                pair, share, least = (first, k), t, off
    return pair[0], pair[1], share


@kernel
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


@kernel
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


@kernel
def _toggle(energy: np.ndarray, bell: np.ndarray, place: int, sign: float) -> None:
    """Add a one's bell to the energy of all places, or take it away."""
    size = len(bell)
    row, column = place // size, place % size
    for i in range(size):
        for j in range(size):
            energy[i * size + j] += sign * bell[(i - row) % size, (j - column) % size]


@kernel
def _extreme(energy: np.ndarray, pattern: np.ndarray, cluster: bool) -> int:
    """The tightest cluster (the one of most energy) or the largest void (the zero of least)."""
    best = -1
    for place in range(len(energy)):
        if pattern[place] == cluster and (
            best < 0 or (energy[place] > energy[best] if cluster else energy[place] < energy[best])
        ):
            best = place
    return best
