"""Weighted k-means on distinct colors: Lloyd's iteration (1982) from a palette made by splitting, improved by moves.

Lloyd stops in the first local minimum. A move then takes the centers that cost least to remove and puts them where
they gain most, as in Fritzke 2020, "The breathing k-means algorithm" (arXiv 2006.15666), and is kept if the error fell.
Large inputs do all this on the means of small cells first and end with Lloyd on every color.
"""

import numpy as np
from numba import njit

from .nearest import candidates, cell_boxes, cells
from .splitting import split
from .threads import over_slices

MAX_ITERATIONS = 100
_MAX_MOVES = 12
_MANY_POINTS = 8192
"""From here on, the work is done on cells first and the last iterations stop at a small improvement."""
_SMALL_IMPROVEMENT = 2e-4
_FINAL_ITERATIONS = 12
_SPLIT_GAIN = 0.64
"""Cutting a normal distribution in the middle removes 2/π of its variance along that axis."""


@njit(cache=True, nogil=True)
def _assign(
    points: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    boxes: np.ndarray,
    first: int,
    last: int,
    centers: np.ndarray,
) -> np.ndarray:
    """Sums over the points nearest to each center: weight, three coordinates, their three squares; float64 ``[K, 7]``."""
    sums = np.zeros((len(centers), 7))
    everyone = np.arange(len(centers)).astype(np.int32)
    near = np.empty(len(centers), np.float32)
    chosen = np.empty(len(centers), np.int32)
    x, y, z = np.empty(len(centers), np.float32), np.empty(len(centers), np.float32), np.empty(len(centers), np.float32)
    for cell in range(first, last):
        count = candidates(boxes[cell], centers, everyone, near, chosen)
        for j in range(count):
            x[j], y[j], z[j] = centers[chosen[j], 0], centers[chosen[j], 1], centers[chosen[j], 2]
        for i in range(starts[cell], starts[cell + 1]):
            best, distance = 0, np.float32(np.inf)
            for j in range(count):
                d0, d1, d2 = points[i, 0] - x[j], points[i, 1] - y[j], points[i, 2] - z[j]
                d = d0 * d0 + d1 * d1 + d2 * d2
                if d < distance:
                    best, distance = j, d
            k, weight = chosen[best], weights[i]
            sums[k, 0] += weight
            for axis in range(3):
                value = np.float64(points[i, axis])
                sums[k, 1 + axis] += weight * value
                sums[k, 4 + axis] += weight * value * value
    return sums


@njit(cache=True, nogil=True)
def _update(sums: np.ndarray, centers: np.ndarray, fixed: int) -> float:
    """Put every center that has points, but the first ``fixed``, at their mean; give the squared error after that."""
    error = 0.0
    for k in range(len(centers)):
        if sums[k, 0] > 0:
            for axis in range(3):
                mean = sums[k, 1 + axis] / sums[k, 0]
                error += sums[k, 4 + axis] - sums[k, 1 + axis] * mean
                if k < fixed:
                    error += sums[k, 0] * (mean - centers[k, axis]) ** 2
                else:
                    centers[k, axis] = mean
    return error


@njit(cache=True, nogil=True)
def _lloyd(
    points: np.ndarray,
    weights: np.ndarray,
    starts: np.ndarray,
    boxes: np.ndarray,
    centers: np.ndarray,
    fixed: int,
    iterations: int,
    improvement: float,
) -> tuple[float, np.ndarray]:
    """Lloyd's iteration in place, until the error falls by less than ``improvement`` of itself; the error and sums."""
    sums = _assign(points, weights, starts, boxes, 0, len(boxes), centers)
    error = _update(sums, centers, fixed)
    for _ in range(iterations - 1):
        sums = _assign(points, weights, starts, boxes, 0, len(boxes), centers)
        before, error = error, _update(sums, centers, fixed)
        if before - error <= improvement * before:
            break
    return error, sums


@njit(cache=True, nogil=True)
def _split_gains(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much the error would fall by splitting each center's points, roughly, and along which axis."""
    gains, axes = np.zeros(len(sums)), np.zeros(len(sums), np.int64)
    for i in range(len(sums)):
        for axis in range(3):
            if sums[i, 0] > 0:
                gain = _SPLIT_GAIN * (sums[i, 4 + axis] - sums[i, 1 + axis] ** 2 / sums[i, 0])
                if gain > gains[i]:
                    gains[i], axes[i] = gain, axis
    return gains, axes


@njit(cache=True, nogil=True)
def _removal_costs(centers: np.ndarray, sums: np.ndarray, fixed: int) -> tuple[np.ndarray, np.ndarray]:
    """How much the error would rise by merging each center with another (Ward 1963), and the cheapest other."""
    costs, partners = np.full(len(centers), np.inf), np.zeros(len(centers), np.int64)
    for i in range(fixed, len(centers)):
        for j in range(len(centers)):
            distance = 0.0
            for axis in range(3):
                distance += (centers[i, axis] - centers[j, axis]) ** 2
            mass = sums[i, 0]
            share = 1.0 if j < fixed or mass == 0 else sums[j, 0] / (mass + sums[j, 0])
            if j != i and mass * share * distance < costs[i]:
                costs[i], partners[i] = mass * share * distance, j
    return costs, partners


@njit(cache=True, nogil=True)
def _move(centers: np.ndarray, sums: np.ndarray, fixed: int, most: int) -> int:
    """Move up to ``most`` centers from where they cost least to where they gain most, in place; how many moved."""
    gains, axes = _split_gains(sums)
    costs, partners = _removal_costs(centers, sums, fixed)
    takers = np.argsort(-gains)
    busy = np.zeros(len(centers), np.bool_)
    moved = place = 0
    for giver in np.argsort(costs):
        while place < len(takers) and busy[takers[place]]:
            place += 1
        if moved == most or place == len(takers) or gains[takers[place]] <= costs[giver]:
            break
        taker = takers[place]
        if busy[giver] or taker in (giver, partners[giver]):
            continue
        # The halves of a normal distribution have their means 0.8 standard deviations from its own.
        offset = np.float32(0.8 * np.sqrt(gains[taker] / _SPLIT_GAIN / sums[taker, 0]))
        centers[giver] = centers[taker]
        centers[giver, axes[taker]] += offset
        if taker >= fixed:
            centers[taker, axes[taker]] -= offset
        busy[giver] = busy[taker] = busy[partners[giver]] = True
        moved += 1
    return moved


@njit(cache=True, nogil=True)
def kmeans_of_few(points: np.ndarray, weights: np.ndarray, k: int, fixed: np.ndarray) -> np.ndarray:
    """K-means in one thread; arguments and result as for `kmeans`, with ``weights`` in float64."""
    if len(points) <= k:
        return np.concatenate((fixed, points))
    free = split(points, weights, k)
    centers = np.concatenate((fixed, free))
    order, starts = cells(points, min(16, 1 + int((len(points) / 4) ** (1 / 3))))
    points, weights = points[order], weights[order]
    boxes = cell_boxes(points, np.arange(len(points)), starts)
    error, sums = _lloyd(points, weights, starts, boxes, centers, len(fixed), MAX_ITERATIONS, 1e-3)
    most = max(1, k // 4)
    for _ in range(_MAX_MOVES):
        trial = centers.copy()
        moved = _move(trial, sums, len(fixed), most)
        if moved == 0:
            break
        trial_error, trial_sums = _lloyd(points, weights, starts, boxes, trial, len(fixed), 8, 1e-3)
        if trial_error < error * (1 - 1e-4):
            centers, error, sums = trial, trial_error, trial_sums
        elif moved == 1:
            break
        else:
            most = moved // 2
    _lloyd(points, weights, starts, boxes, centers, len(fixed), MAX_ITERATIONS, 0.0)
    return centers


def kmeans(
    points: np.ndarray, weights: np.ndarray, k: int, seed: int = 0, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Place ``k`` centers so that the weighted squared distance of the points to the nearest one is small.

    Args:
        points: distinct points, float32 ``[N, 3]``, N ≥ 1.
        weights: how often each occurs, ``[N]``, positive.
        k: the number of centers wanted, at least 1.
        seed: has no effect: the start is not random.
        fixed: centers that are there already and don't move, float32 ``[F, 3]``.

    Returns:
        The fixed centers, then the new ones, float32 ``[F + min(k, distinct points), 3]``.
    """
    fixed = np.empty((0, 3), np.float32) if fixed is None else np.ascontiguousarray(fixed, np.float32)
    points, weights = np.ascontiguousarray(points, np.float32), weights.astype(np.float64)
    if len(points) <= max(k, _MANY_POINTS):
        return kmeans_of_few(points, weights, k, fixed)
    order, starts = cells(points, 40)
    points, weights = points[order], weights[order]
    masses = np.add.reduceat(weights, starts[:-1])
    means = np.stack([np.add.reduceat(weights * points[:, axis], starts[:-1]) / masses for axis in range(3)], axis=1)
    if len(means) <= k:  # the points crowd in a few cells of a wide range
        return kmeans_of_few(points, weights, k, fixed)
    centers = kmeans_of_few(means.astype(np.float32), masses, k, fixed)
    boxes, error = cell_boxes(points, np.arange(len(points)), starts), np.inf
    for _ in range(_FINAL_ITERATIONS):
        current = centers
        parts = over_slices(
            lambda first, last, current=current: _assign(points, weights, starts, boxes, first, last, current),
            len(boxes),
            1024,
        )
        before, error = error, _update(np.sum(parts, axis=0), centers, len(fixed))
        if before - error <= _SMALL_IMPROVEMENT * error:
            break
    return centers
