"""Palettes made for dithering: mixtures of entries come near the picture's colors.

A dithered patch that should look like the color c shows entry e_k at a share p_k of its pixels. Its
mean is off by |c - Σ p_k e_k|², and the eye sees a grain that grows with Σ p_k |e_k - c|². So the
fit minimizes the sum over the picture of

    |c - Σ p_k e_k|² + g Σ p_k |e_k - c|²

over the shares of every color and over the entries. With a large g each color takes its nearest
entry alone, which is k-means. With g = 0 only the hull of the entries matters, which is archetypal
analysis (Cutler and Breiman 1994). Shares and entries are improved in turns.
"""

import numpy as np

from tincture.common.kernels import kernel
from tincture.common.threads import over_slices

from ..nearest import sort_into_cells
from ..spaces import Space
from .kmeans import kmeans

GRAIN = 0.1
"""g above: smaller values reach more of the picture's colors, and show more grain."""

_LEAST_ROUNDS, _MOST_ROUNDS = 5, 30
_ROUND_ENTRIES = 240
"""Rounds times entries: small palettes need more rounds, which take less time."""
_NEAR = 8
"""A color is mixed of so many entries at most: the nearest."""
_STEPS = 40
"""Steps of a color's shares, at most; a few are enough for most colors."""
_SLOPE = 1e-7
"""A step that gains less than this for each unit of share isn't worth taking."""
_STAY = 1e-9
"""The pull of an entry's old place, as a share of all pixels: an entry that no color uses stays."""
_PER_AXIS = (20, 40, 80)
"""Cells along the longest side of the colors' box. Their means stand for the colors."""
_CELLS_PER_ENTRY = 64
"""The coarsest grid that gives so many is enough."""


def fit_mixtures(
    colors: np.ndarray, counts: np.ndarray, k: int, space: Space, seed: int, fixed: np.ndarray
) -> np.ndarray:
    """Fit a palette for dithering, from one of k-means; arguments as for `fit.Fit`."""
    points, kept = space.from_bytes(colors), space.from_bytes(fixed)
    entries = kmeans(points, counts, k, seed, kept)
    means, weights = _cell_means(points, counts, k)
    free = len(kept)
    for _ in range(min(max(_LEAST_ROUNDS, _ROUND_ENTRIES // k), _MOST_ROUNDS)):
        # The best shares for these entries, then the best entries for these shares.
        parts = over_slices(
            lambda a, b, now=entries: _normal_equations(means[a:b], weights[a:b], now, GRAIN), len(means), 1024
        )
        matrix, right = (np.sum(column, axis=0) for column in zip(*parts, strict=True))
        matrix, right = matrix + _STAY * np.eye(len(entries)), right + _STAY * entries
        solved = np.linalg.solve(matrix[free:, free:], right[free:] - matrix[free:, :free] @ entries[:free])
        # Through bytes: the best place may lie outside of what a screen can show.
        entries = np.concatenate([kept, space.from_bytes(space.to_bytes(solved.astype(np.float32)))])
    return space.to_bytes(entries[free:])


def _cell_means(points: np.ndarray, counts: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The means of cells, float32 ``[cells, 3]``, and their shares of the pixels, ``[cells]``."""
    for per_axis in _PER_AXIS:
        cells = sort_into_cells(points, per_axis)
        if len(cells.starts) > _CELLS_PER_ENTRY * k:
            break
    weights = counts[cells.order] / counts.sum()
    mass = np.add.reduceat(weights, cells.starts[:-1])
    sums = np.add.reduceat(points[cells.order] * weights[:, None], cells.starts[:-1])
    return (sums / mass[:, None]).astype(np.float32), mass


@kernel
def _normal_equations(
    points: np.ndarray, weights: np.ndarray, entries: np.ndarray, grain: float
) -> tuple[np.ndarray, np.ndarray]:
    """The equations whose solution is the entries that are best for these shares.

    The matrix ``[K, K]`` is Σ w p pᵀ + g diag(Σ w p), the right side ``[K, 3]`` (1 + g) Σ w p cᵀ.
    """
    near, shares = mix(points, entries, grain, np.eye(3, dtype=np.float32))
    matrix, right = np.zeros((len(entries), len(entries))), np.zeros((len(entries), 3))
    for i in range(len(points)):
        for m in range(near.shape[1]):
            k, mass = near[i, m], weights[i] * shares[i, m]
            if mass > 0:
                matrix[k, k] += grain * mass
                for axis in range(3):
                    right[k, axis] += (1 + grain) * mass * points[i, axis]
                for n in range(near.shape[1]):
                    matrix[k, near[i, n]] += mass * shares[i, n]
    return matrix, right


@kernel
def mix(points: np.ndarray, entries: np.ndarray, grain: float, stretch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best shares of the nearest entries in every color: the p of this module's formula.

    In each step one entry gives to another as much of its share as lowers the sum most: the two
    whose derivatives differ most (Platt 1998, "Sequential minimal optimization").

    Args:
        points: the colors, float32 ``[N, 3]``.
        entries: float32 ``[K, 3]``.
        grain: the weight g of the scatter.
        stretch: the mean's error is multiplied by it before it is squared, float32 ``[3, 3]``.

    Returns:
        The entries' positions, int64 ``[N, min(K, 8)]``, and their shares, float32 of the same
        shape; rows sum to 1.
    """
    size = min(len(entries), _NEAR)
    near, shares = np.empty((len(points), size), np.int64), np.zeros((len(points), size), np.float32)
    squares, off = np.empty(size, np.float32), np.empty(3, np.float32)
    goals, means = _stretched(points, stretch), _stretched(entries, stretch)
    for i in range(len(points)):
        # Begin with the nearest entry alone.
        _nearest_entries(points[i], entries, near[i], squares)
        shares[i, 0] = 1
        for axis in range(3):
            off[axis] = means[near[i, 0], axis] - goals[i, axis]  # Σ p_k e_k - c
        for _ in range(_STEPS):
            # Who should get a share, and who, of those that have one, should give it.
            taker = giver = 0
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for m in range(size):
                e = means[near[i, m]]
                slope = 2 * (off[0] * e[0] + off[1] * e[1] + off[2] * e[2]) + np.float32(grain) * squares[m]
                if slope < low:
                    taker, low = m, slope
                if shares[i, m] > 0 and slope > high:
                    giver, high = m, slope
            if high - low < _SLOPE:
                break

            # How much: to the minimum along this way, or all that there is.
            way = means[near[i, taker]] - means[near[i, giver]]
            length = way[0] * way[0] + way[1] * way[1] + way[2] * way[2]
            share = shares[i, giver]
            if 2 * length * share > high - low:
                share = (high - low) / (2 * length)
            shares[i, giver] -= share
            shares[i, taker] += share
            for axis in range(3):
                off[axis] += share * way[axis]
    return near, shares


@kernel
def _stretched(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points ``[N, 3]`` times a symmetric matrix; numba's own product would need SciPy."""
    out = np.zeros_like(points)
    for i in range(len(points)):
        for axis in range(3):
            for other in range(3):
                out[i, axis] += points[i, other] * matrix[other, axis]
    return out


@kernel
def _nearest_entries(color: np.ndarray, entries: np.ndarray, near: np.ndarray, squares: np.ndarray) -> None:
    """Fill in the nearest entries, ``[M]``, the nearest first, and their squared distances."""
    # By insertion: nearest.py finds only the very nearest one.
    count = 0
    for k in range(len(entries)):
        square = np.float32(0)
        for axis in range(3):
            square += (color[axis] - entries[k, axis]) ** 2
        if count == len(near) and square >= squares[count - 1]:
            continue
        place = min(count, len(near) - 1)
        while place > 0 and squares[place - 1] > square:
            near[place], squares[place] = near[place - 1], squares[place - 1]
            place -= 1
        near[place], squares[place] = k, square
        count = min(count + 1, len(near))
