"""A distinct hue survives before two similar shades do.

The squared error of a small blue square is less than that of a broad stripe whose black becomes
dark brown. So k-means gives the blue up; but a person misses it at once, and not the black. After a
fit, where a hue is lost altogether, two similar entries are merged, and their place is given to it.
No photograph of benchmarks/photographs.py loses a hue so far from 8 colors on.
"""

import numpy as np

from ..histogram import color_key
from ..nearest import nearest
from ..spaces import SPACES

_LOST = 0.18
"""A color's hue is lost if its entry is so far away in OKLab's plane of a and b."""
_AROUND = 0.1
"""Lost colors so near to the heaviest one, in OKLab, get an entry together."""
_RARE = 5e-4
"""The least share of the pixels that is worth an entry."""
_SIMILAR, _SIMILAR_HUE = 0.7, 0.1
"""Entries are merged if they are at most this share of the lost colors' distance apart, and so far
in the plane of a and b."""
_MANY = 4096
"""More colors than this are counted in cells of 8 bytes a side."""


def keep_rare_hues(colors: np.ndarray, counts: np.ndarray, entries: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Merge similar entries in favor of hues that are lost.

    Args:
        colors: distinct colors in the order of `histogram`, sRGB uint8 ``[N, 3]``.
        counts: how often each occurs, ``[N]``.
        entries: what was fitted to them, sRGB uint8 ``[K, 3]``.
        fixed: the palette's other entries, which stay, sRGB uint8 ``[F, 3]``.

    Returns:
        sRGB uint8 ``[K, 3]``.
    """
    from_bytes = SPACES["oklab"].from_bytes
    colors, counts = _in_cells(colors, counts) if len(colors) > _MANY else (colors, counts)
    points = from_bytes(colors)
    for _ in range(len(entries) - 1):
        centers = from_bytes(np.concatenate([fixed, entries]))
        labels, squares = nearest(points, centers)
        far = np.flatnonzero(squares > _LOST**2)
        far = far[np.linalg.norm((points[far] - centers[labels[far]])[:, 1:], axis=1) > _LOST]
        if len(far) == 0:
            break
        heaviest = points[far[np.argmax(counts[far] * squares[far])]]
        lost = far[np.linalg.norm(points[far] - heaviest, axis=1) < _AROUND]
        masses = np.bincount(labels, counts, len(centers))
        pair = _similar_pair(
            centers, masses, len(fixed), _SIMILAR * np.sqrt(np.average(squares[lost], weights=counts[lost]))
        )
        if pair is None or counts[lost].sum() < _RARE * counts.sum():
            break
        giver, partner = pair
        entries = entries.copy()
        if partner >= len(fixed):
            share = masses[[giver, partner]] / max(masses[giver] + masses[partner], 1e-9)
            entries[partner - len(fixed)] = SPACES["oklab"].to_bytes((share @ centers[[giver, partner]])[None])[0]
        mean = np.average(points[lost], axis=0, weights=counts[lost])
        entries[giver - len(fixed)] = SPACES["oklab"].to_bytes(mean[None])[0]
    return entries


def _similar_pair(centers: np.ndarray, masses: np.ndarray, fixed: int, apart: float) -> tuple[int, int] | None:
    """The two alike entries that cost least to merge (Ward 1963); the first one isn't fixed."""
    ways = centers[fixed:, None] - centers  # [K, F + K, 3]
    squares = (ways**2).sum(axis=2)
    others = np.where(np.arange(len(centers)) < fixed, np.inf, masses)  # a fixed entry can't move
    mass = masses[fixed:, None]
    costs = squares * mass / (1 + mass / np.maximum(others, 1e-9))
    hue = (ways[..., 1:] ** 2).sum(axis=2)
    unlike = (squares > apart**2) | (hue > _SIMILAR_HUE**2)
    unlike[np.arange(len(costs)), fixed + np.arange(len(costs))] = True
    costs[unlike] = np.inf
    giver, partner = np.unravel_index(costs.argmin(), costs.shape)
    return (fixed + int(giver), int(partner)) if np.isfinite(costs[giver, partner]) else None


def _in_cells(colors: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean colors of cells, uint8 ``[cells, 3]``, and how many pixels each has."""
    cells = color_key.plain(*colors.T) >> np.uint32(9)  # the colors of a cell stand together in a histogram
    starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
    masses = np.add.reduceat(counts, starts)
    means = [np.add.reduceat(counts * channel, starts) / masses for channel in colors.T]
    return np.stack(means, axis=1).round().astype(np.uint8), masses
