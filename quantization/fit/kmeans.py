"""Weighted k-means on distinct colors, from a palette made by splitting.

Lloyd's iteration (1982) stops in the first local minimum. A move then takes the centers that cost
least to remove and puts them where they gain most, as in Fritzke 2020, "The breathing k-means
algorithm" (arXiv 2006.15666). It is kept if the error fell. Large inputs do all this on the means
of small cells, and end with Lloyd on the means of a few colors each, then on every color.
"""

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

import numpy as np

from tincture.common.kernels import is_compiled, kernel, load_kernels
from tincture.common.threads import over_slices

from ..nearest import Cells, nearest_in_cells, nearest_two, sort_into_cells
from .splitting import split

MAX_ITERATIONS = 100
_COARSE_ITERATIONS = 30
_TRIAL_ITERATIONS = 8
_MAX_MOVES = 12
_MANY_POINTS = 8192
"""From here on, all but the last iterations are done on the means of cells."""
_MANY_DISTANCES = 1 << 24
"""From here on, NumPy takes longer to compare points with centers than numba does to load."""
_PER_AXIS = 40
"""Cells along the longest side of the points' box."""
_CELLS_PER_COLOR = 12
"""So many cells for each color are enough; pictures of few tones get a finer grid."""
_RUN, _RUNS_PER_COLOR = 8, 4 * _CELLS_PER_COLOR
"""So many points in sequence stand for all of them at first, if there are enough runs of them."""
_FINAL_ITERATIONS = 20
_SMALL_IMPROVEMENT = 2e-4
_ROUNDING = 1e-6
"""More than what rounding does to a distance."""
STEP = 1.8
"""A step beyond the mean halves the iterations (Lee, Baek and Sung 1997 found 1.8 best)."""
SPLIT_GAIN = 0.64
"""Cutting a normal distribution in the middle removes 2/π of its variance along that axis."""


def kmeans(
    points: np.ndarray, weights: np.ndarray, k: int, seed: int = 0, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Place ``k`` centers so that the points' weighted squared distances to them are small.

    Args:
        points: distinct points, float32 ``[N, 3]``, N ≥ 1. Near ones shall follow each other where
            there are many, as in a histogram.
        weights: how often each occurs, ``[N]``, positive.
        k: the number of centers wanted, 1 to 256.
        seed: some of the moves are drawn from it; the same seed gives the same centers.
        fixed: centers that are there already and don't move, float32 ``[F, 3]``.

    Returns:
        The fixed centers, then the new ones, float32 ``[F + min(k, distinct points), 3]``.
    """
    fixed = np.empty((0, 3), np.float32) if fixed is None else np.ascontiguousarray(fixed, np.float32)
    points, weights = np.ascontiguousarray(points, np.float32), weights.astype(np.float64)
    # A small palette can afford more drawn moves, and needs them more.
    random = Random(seed).random  # NumPy's generators take 0.01 s to import
    draws = np.array([[random(), random()] for _ in range(min(12, 512 // k, 1 + len(points) // 1024))])
    if len(points) <= _MANY_POINTS:
        return kmeans_of_few(points, weights, k, fixed, draws, 0.0)

    if len(points) * k > _MANY_DISTANCES:
        load_kernels()
    # Many points: find the centers on the means of cells, which stand for their points.
    run = min(_RUN, max(1, len(points) // (_RUNS_PER_COLOR * k)))
    runs = _means_of_runs(points, weights, run)
    for per_axis in (_PER_AXIS, 2 * _PER_AXIS):
        sums = _cloud(*runs, per_axis).sums
        if len(sums) > _CELLS_PER_COLOR * k:
            break
    if len(sums) <= 4 * k:  # the points crowd in a few cells of a wide range
        return kmeans_of_few(points, weights, k, fixed, draws, 1e-4)
    means = (sums[:, 1:4] / sums[:, :1]).astype(np.float32)
    centers = kmeans_of_few(means, sums[:, 0].copy(), k, fixed, draws, 1e-3)

    # Then let every run and at last every point take part.
    refine = _lloyd_in_threads if is_compiled() else _lloyd_by_bounds
    if run > 1:
        refine(*runs, centers, len(fixed))
    refine(points, weights, centers, len(fixed))
    return centers


def _means_of_runs(points: np.ndarray, weights: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each run of so many points in sequence, float32 ``[runs, 3]``, and its weight."""
    if length == 1:
        return points, weights
    starts = np.arange(0, len(points), length)
    masses = np.add.reduceat(weights, starts)
    means = [np.add.reduceat(weights * column, starts) / masses for column in points.T]
    return np.stack(means, axis=1).astype(np.float32), masses


def _lloyd_in_threads(points: np.ndarray, weights: np.ndarray, centers: np.ndarray, fixed: int) -> None:
    """The last iterations of `kmeans`, in place.

    Each slice of cells is summed apart, so that rounding doesn't depend on the number of threads.
    """
    cloud, error = _cloud(points, weights, _PER_AXIS), np.inf
    for _ in range(_FINAL_ITERATIONS):
        parts = over_slices(lambda first, last: _assign(cloud, first, last, centers), len(cloud.sums), 1024)
        before, error = error, _update(np.sum(parts, axis=0), centers, fixed, STEP)
        if before - error <= _SMALL_IMPROVEMENT * error:
            break


def _lloyd_by_bounds(points: np.ndarray, weights: np.ndarray, centers: np.ndarray, fixed: int) -> None:
    """`_lloyd_in_threads` by NumPy.

    A point is looked at again only where another center may have become the nearest one, by the
    bounds of Hamerly 2010, "Making k-means even faster".
    """
    columns = np.ascontiguousarray(points.T)
    terms = np.concatenate([weights[None], weights * columns.astype(np.float64)])  # [4, N]
    labels, squares = nearest_two(columns, centers.T)
    nearest, next_one = np.sqrt(squares)
    sums = np.zeros((len(centers), 7))
    sums[:, :4] = _summed(terms, labels, len(centers))
    sums[0, 4:] = (terms[1:] * columns).sum(axis=1)  # the error is a sum over all centers
    error = np.inf
    for _ in range(_FINAL_ITERATIONS):
        start = centers.copy()
        before, error = error, _update(sums, centers, fixed, STEP)
        if before - error <= _SMALL_IMPROVEMENT * error:
            break
        moves = np.linalg.norm(centers - start, axis=1) + np.float32(_ROUNDING)
        nearest += moves[labels]
        next_one -= moves.max()
        places = np.flatnonzero(nearest >= next_one)
        found, squares = nearest_two(columns[:, places], centers.T)
        nearest[places], next_one[places] = np.sqrt(squares)
        changed = found != labels[places]
        places, found = places[changed], found[changed]
        sums[:, :4] += _summed(terms[:, places], found, len(centers))
        sums[:, :4] -= _summed(terms[:, places], labels[places], len(centers))
        labels[places] = found


@kernel(plain=True)
def kmeans_of_few(
    points: np.ndarray, weights: np.ndarray, k: int, fixed: np.ndarray, draws: np.ndarray, improvement: float
) -> np.ndarray:
    """K-means in one thread.

    Args:
        points, weights, k, fixed: as for `kmeans`, with weights in float64.
        draws: random numbers in [0, 1), one drawn move for each row, ``[moves, 2]``.
        improvement: Lloyd's last iteration is the one that lowers the error by at most this share.
    """
    if len(points) <= k:
        return np.concatenate((fixed, points))
    centers = np.concatenate((fixed, split(points, weights, k)))
    cloud = _cloud(points, weights, min(16, 4 + 4 * int((len(points) / 256) ** (1 / 3))))
    centers = _improve(cloud, centers, len(fixed), draws)
    _lloyd(cloud, centers, len(fixed), MAX_ITERATIONS, improvement, 1.0)
    return centers


@kernel(plain=True)
def _improve(cloud: "Cloud", centers: np.ndarray, fixed: int, draws: np.ndarray) -> np.ndarray:
    """Lloyd's iteration, moves while they help, then a drawn move for each row of ``draws``."""
    error, sums = _lloyd(cloud, centers, fixed, _COARSE_ITERATIONS, 1e-3, STEP)

    # Move many centers at once. Where that doesn't help, half as many may.
    most = max(1, len(centers) // 4)
    for _ in range(_MAX_MOVES):
        trial = centers.copy()
        moved = move_centers(trial, sums, fixed, most)
        if moved == 0:
            break
        trial_error, trial_sums = _lloyd(cloud, trial, fixed, _TRIAL_ITERATIONS, 1e-3, STEP)
        if trial_error < error * (1 - 1e-4):
            centers, error, sums = trial, trial_error, trial_sums
        elif moved == 1:
            break
        else:
            most = moved // 2

    # The best move by estimate isn't always the best one: draw some others.
    for draw in draws:
        trial = centers.copy()
        _draw_move(trial, sums, fixed, draw)
        trial_error, trial_sums = _lloyd(cloud, trial, fixed, _TRIAL_ITERATIONS, 1e-3, STEP)
        if trial_error < error:
            centers, error, sums = trial, trial_error, trial_sums
    return centers


class Cloud(NamedTuple):
    """Weighted points, sorted into cells."""

    cells: Cells
    weights: np.ndarray
    """In the cells' order, float64 ``[N]``."""
    sums: np.ndarray
    """What `_add` sums, over each cell's points, float64 ``[cells, 7]``."""


class _CloudOfColumns(NamedTuple):
    """A `Cloud` for NumPy."""

    cells: Cells
    weights: np.ndarray
    sums: np.ndarray
    terms: np.ndarray
    """What `_add` adds for each point, float64 ``[7, N]``."""


def _cloud_of_columns(points: np.ndarray, weights: np.ndarray, per_axis: int) -> _CloudOfColumns:
    """`_cloud` by NumPy."""
    cells = sort_into_cells(points, per_axis)
    weights, sizes = weights[cells.order], np.diff(cells.starts)
    columns = cells.columns.astype(np.float64)
    terms = np.concatenate([weights[None], weights * columns, weights * columns * columns])
    return _CloudOfColumns(cells, weights, _summed(terms, np.repeat(np.arange(len(sizes)), sizes), len(sizes)), terms)


def _summed(terms: Iterable[np.ndarray], labels: np.ndarray, count: int) -> np.ndarray:
    """Sums over the terms, ``[N]`` each, of each label: ``[count, terms]``."""
    return np.stack([np.bincount(labels, term, count) for term in terms], axis=1)


@kernel(plain=_cloud_of_columns)
def _cloud(points: np.ndarray, weights: np.ndarray, per_axis: int) -> Cloud:
    cells = sort_into_cells(points, per_axis)
    weights = weights[cells.order]
    sums = np.zeros((len(cells.boxes), 7))
    for cell in range(len(sums)):
        for i in range(cells.starts[cell], cells.starts[cell + 1]):
            _add(sums, cell, cells.columns, i, weights[i])
    return Cloud(cells, weights, sums)


@kernel(inline="always")
def _add(sums: np.ndarray, k: int, columns: np.ndarray, i: int, weight: float) -> None:
    """Add point ``i`` to row ``k`` of sums: weight, three coordinates, their three squares."""
    x, y, z = np.float64(columns[0, i]), np.float64(columns[1, i]), np.float64(columns[2, i])
    sums[k, 0] += weight
    sums[k, 1] += weight * x
    sums[k, 2] += weight * y
    sums[k, 3] += weight * z
    sums[k, 4] += weight * x * x
    sums[k, 5] += weight * y * y
    sums[k, 6] += weight * z * z


@kernel(plain=True)
def _lloyd(
    cloud: Cloud, centers: np.ndarray, fixed: int, iterations: int, improvement: float, step: float
) -> tuple[float, np.ndarray]:
    """Lloyd's iteration, in place, until the error falls by at most ``improvement`` of itself.

    Returns:
        The error and the last sums.
    """
    sums = _assign(cloud, 0, len(cloud.sums), centers)
    error = _update(sums, centers, fixed, step)
    for _ in range(iterations - 1):
        sums = _assign(cloud, 0, len(cloud.sums), centers)
        before, error = error, _update(sums, centers, fixed, step)
        if before - error <= improvement * before:
            break
    return error, sums


def _assign_columns(cloud: _CloudOfColumns, first: int, last: int, centers: np.ndarray) -> np.ndarray:
    """`_assign` by NumPy."""
    part = slice(cloud.cells.starts[first], cloud.cells.starts[last])
    return _summed(cloud.terms[:, part], nearest_in_cells(cloud.cells, first, last, centers)[1], len(centers))


@kernel(plain=_assign_columns)
def _assign(cloud: Cloud, first: int, last: int, centers: np.ndarray) -> np.ndarray:
    """What `_add` sums, over each center's points in some cells, float64 ``[K, 7]``."""
    cells = cloud.cells
    only, labels = nearest_in_cells(cells, first, last, centers)
    sums = np.zeros((len(centers), 7))
    for cell in range(first, last):
        if only[cell - first] >= 0:  # the whole cell goes to one center, so its sums are known
            sums[only[cell - first]] += cloud.sums[cell]
            continue
        for i in range(cells.starts[cell], cells.starts[cell + 1]):
            _add(sums, labels[i - cells.starts[first]], cells.columns, i, cloud.weights[i])
    return sums


def _update_at_once(sums: np.ndarray, centers: np.ndarray, fixed: int, step: float) -> float:
    """`_update` by NumPy."""
    mass = sums[:, :1]
    means = sums[:, 1:4] / np.where(mass > 0, mass, 1)
    off = (mass * (means - centers) ** 2)[:fixed]
    moved = centers + step * (means - centers)
    np.copyto(centers[fixed:], moved[fixed:], where=mass[fixed:] > 0, casting="same_kind")
    return float((sums[:, 4:7] - sums[:, 1:4] * means).sum() + off.sum())


@kernel(plain=_update_at_once)
def _update(sums: np.ndarray, centers: np.ndarray, fixed: int, step: float) -> float:
    """Move each center ``step`` times the way to its points' mean, but not the first ``fixed``.

    Returns:
        The squared error of these points to their means, or to the fixed centers.
    """
    error = 0.0
    for k in range(len(centers)):
        if sums[k, 0] > 0:
            for axis in range(3):
                mean = sums[k, 1 + axis] / sums[k, 0]
                error += sums[k, 4 + axis] - sums[k, 1 + axis] * mean  # Σ w x² - (Σ w x)² / Σ w
                if k < fixed:
                    error += sums[k, 0] * (mean - centers[k, axis]) ** 2
                else:
                    centers[k, axis] += step * (mean - centers[k, axis])
    return error


@kernel(plain=True)
def move_centers(centers: np.ndarray, sums: np.ndarray, fixed: int, most: int) -> int:
    """Move centers, in place, from where they cost least to where they gain most.

    Args:
        centers: float32 ``[K, 3]``; the first ``fixed`` stay.
        sums: over the points nearest to each, as of `_add`, float64 ``[K, 7]``.
        fixed: how many centers never move.
        most: how many may.

    Returns:
        How many moved.
    """
    gains, axes = _split_gains(sums)
    costs, partners = _removal_costs(centers, sums, fixed)
    takers = np.argsort(-gains, kind="mergesort")  # stable: two centers that may be merged cost the same
    busy = np.zeros(len(centers), np.bool_)
    moved = place = 0
    for giver in np.argsort(costs, kind="mergesort"):
        while place < len(takers) and busy[takers[place]]:
            place += 1
        if moved == most or place == len(takers) or gains[takers[place]] <= costs[giver]:
            break
        taker = takers[place]
        # The estimates hold for one move at a time: who takes over a giver's points takes part in
        # no other.
        if busy[giver] or taker in (giver, partners[giver]):
            continue
        _place_beside(centers, giver, taker, axes[taker], gains[taker], sums[taker, 0], fixed)
        busy[giver] = busy[taker] = busy[partners[giver]] = True
        moved += 1
    return moved


@kernel(plain=True)
def _draw_move(centers: np.ndarray, sums: np.ndarray, fixed: int, draw: np.ndarray) -> None:
    """Move a center, drawn ∝ 1 / cost, beside one drawn ∝ gain; ``draw`` is two of [0, 1)."""
    gains, axes = _split_gains(sums)
    costs = _removal_costs(centers, sums, fixed)[0]
    if not gains.sum() > 0:
        return
    taker = np.searchsorted(np.cumsum(gains), draw[0] * gains.sum(), side="right")
    ease = 1 / (costs + 1e-12)  # a center without points costs nothing
    ease[taker] = 0
    giver = np.searchsorted(np.cumsum(ease), draw[1] * ease.sum(), side="right")
    if giver < len(centers) and costs[giver] < np.inf:
        _place_beside(centers, giver, taker, axes[taker], gains[taker], sums[taker, 0], fixed)


def _split_gains_at_once(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`_split_gains` by NumPy."""
    mass = sums[:, :1]
    gains = SPLIT_GAIN * (sums[:, 4:7] - sums[:, 1:4] ** 2 / np.where(mass > 0, mass, 1)).clip(0)
    return gains.max(axis=1), gains.argmax(axis=1)


@kernel(plain=_split_gains_at_once)
def _split_gains(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roughly how much splitting each center's points would gain, and along which axis."""
    gains, axes = np.zeros(len(sums)), np.zeros(len(sums), np.int64)
    for i in range(len(sums)):
        for axis in range(3):
            if sums[i, 0] > 0:
                gain = SPLIT_GAIN * (sums[i, 4 + axis] - sums[i, 1 + axis] ** 2 / sums[i, 0])
                if gain > gains[i]:
                    gains[i], axes[i] = gain, axis
    return gains, axes


def _removal_costs_at_once(centers: np.ndarray, sums: np.ndarray, fixed: int) -> tuple[np.ndarray, np.ndarray]:
    """`_removal_costs` by NumPy."""
    mass, others = sums[fixed:, :1], sums[:, 0].copy()
    others[:fixed] = 1e300
    squares = ((centers[fixed:, None] - centers).astype(np.float64) ** 2).sum(axis=2)  # [K - F, K]
    merged = mass * (others / np.maximum(mass + others, 1e-300)) * squares
    merged[np.arange(len(merged)), np.arange(fixed, len(centers))] = np.inf
    costs, partners = np.full(len(centers), np.inf), np.zeros(len(centers), np.int64)
    costs[fixed:], partners[fixed:] = merged.min(axis=1), merged.argmin(axis=1)
    return costs, partners


@kernel(plain=_removal_costs_at_once, error_model="numpy")
def _removal_costs(centers: np.ndarray, sums: np.ndarray, fixed: int) -> tuple[np.ndarray, np.ndarray]:
    """How much merging each center with another would cost (Ward 1963), and the cheapest other."""
    costs, partners = np.full(len(centers), np.inf), np.zeros(len(centers), np.int64)
    x, y, z = centers[:, 0].copy(), centers[:, 1].copy(), centers[:, 2].copy()
    others, merged = sums[:, 0].copy(), np.empty(len(centers))
    others[:fixed] = 1e300  # what a fixed center takes over doesn't move it
    for i in range(fixed, len(centers)):
        mass = sums[i, 0]
        for j in range(len(centers)):
            d0, d1, d2 = np.float64(x[i] - x[j]), np.float64(y[i] - y[j]), np.float64(z[i] - z[j])
            share = others[j] / max(mass + others[j], 1e-300)  # without points on either side it costs nothing
            merged[j] = mass * share * (d0 * d0 + d1 * d1 + d2 * d2)
        merged[i] = np.inf
        partners[i] = np.argmin(merged)
        costs[i] = merged[partners[i]]
    return costs, partners


@kernel(plain=True)
def _place_beside(centers: np.ndarray, giver: int, taker: int, axis: int, gain: float, mass: float, fixed: int) -> None:
    """Put ``giver`` on one side of ``taker``, which steps to the other, to share its points."""
    # The halves of a normal distribution have their means 0.8 standard deviations from its own.
    offset = np.float32(0.8 * np.sqrt(gain / SPLIT_GAIN / mass))
    centers[giver] = centers[taker]
    centers[giver, axis] += offset
    if taker >= fixed:
        centers[taker, axis] -= offset
