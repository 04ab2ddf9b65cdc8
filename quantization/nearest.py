"""The nearest center of every point, exactly, in memory that doesn't grow with points × centers.

Many points are looked up in a grid: each of its cells lists the centers that may be nearest to some point in it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def nearest(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each point's nearest center in squared Euclidean distance; the first one wins a tie.

    Args:
        points: float32 ``[N, 3]``.
        centers: float32 ``[K, 3]``, K ≥ 1.

    Returns:
        The centers' positions, int64 ``[N]``, and the squared distances, float32 ``[N]``.
    """
    labels = np.zeros(len(points), np.int64)
    distances = np.empty(len(points), np.float32)
    for i in range(len(points)):
        best = np.float32(np.inf)
        for k in range(len(centers)):
            d0 = points[i, 0] - centers[k, 0]
            d1 = points[i, 1] - centers[k, 1]
            d2 = points[i, 2] - centers[k, 2]
            distance = d0 * d0 + d1 * d1 + d2 * d2
            if distance < best:
                best = distance
                labels[i] = k
        distances[i] = best
    return labels, distances


@njit(cache=True, nogil=True)
def candidates(box: np.ndarray, centers: np.ndarray, among: np.ndarray, near: np.ndarray, out: np.ndarray) -> int:
    """Find the centers that may be nearest to some point of a box: those that come closer than another's farthest.

    Args:
        box: lowest and highest corner, float32 ``[2, 3]``.
        centers: float32 ``[K, 3]``.
        among: the positions to look at, rising, ``[M]``.
        near: scratch, float32 ``[M]`` or longer.
        out: receives the candidates' positions in rising order, ``[M]`` or longer.

    Returns:
        How many there are.
    """
    bound = np.float32(np.inf)
    for j in range(len(among)):
        least, most = np.float32(0), np.float32(0)
        for axis in range(3):
            below = box[0, axis] - centers[among[j], axis]
            above = centers[among[j], axis] - box[1, axis]
            outside = max(below, above, np.float32(0))
            across = max(abs(below), abs(above))
            least += outside * outside
            most += across * across
        near[j] = least
        bound = min(bound, most)
    bound = bound * np.float32(1.00001) + np.float32(1e-12)  # more than the rounding of either distance
    count = 0
    for j in range(len(among)):
        if near[j] <= bound:
            out[count] = among[j]
            count += 1
    return count


class Grid(NamedTuple):
    """A cubic grid of 8³ cells of 4³ smaller ones; outside it, points are compared with every center."""

    centers: np.ndarray
    """float32 ``[K, 3]``."""
    low: np.ndarray
    """The lowest corner, float32 ``[3]``."""
    scale: np.float32
    """Small cells in a unit of length."""
    starts: np.ndarray
    """Where each small cell's list starts, int32 ``[32³ + 1]``."""
    lists: np.ndarray
    """The lists, one after the other, int32."""


_COARSE, _FINE = 8, 4
_CELLS = _COARSE * _FINE


@njit(cache=True, nogil=True)
def _fill_grid(centers: np.ndarray, low: np.ndarray, width: np.float32) -> tuple[np.ndarray, np.ndarray]:
    k = len(centers)
    near, outer, inner = np.empty(k, np.float32), np.empty(k, np.int32), np.empty(k, np.int32)
    everyone = np.arange(k).astype(np.int32)
    counts = np.zeros(_CELLS**3 + 1, np.int32)
    lists = np.empty(_CELLS**3 * 4, np.int32)
    box = np.empty((2, 3), np.float32)
    margin = np.float32(1e-3) * width  # a point may be rounded into the cell beside its own
    size = 0
    cell = np.empty(3, np.int64)
    # The small cells are numbered within their large one, so that lists can be written as they are found.
    for large in range(_COARSE**3):
        cell[0], cell[1], cell[2] = large // _COARSE**2, large // _COARSE % _COARSE, large % _COARSE
        for axis in range(3):
            box[0, axis] = low[axis] + np.float32(cell[axis] * _FINE) * width - margin
            box[1, axis] = low[axis] + np.float32((cell[axis] + 1) * _FINE) * width + margin
        found = candidates(box, centers, everyone, near, outer)
        for small in range(_FINE**3):
            within = (small // _FINE**2, small // _FINE % _FINE, small % _FINE)
            for axis in range(3):
                place = cell[axis] * _FINE + within[axis]
                box[0, axis] = low[axis] + np.float32(place) * width - margin
                box[1, axis] = low[axis] + np.float32(place + 1) * width + margin
            count = candidates(box, centers, outer[:found], near, inner)
            if size + count > len(lists):
                longer = np.empty(2 * len(lists) + count, np.int32)
                longer[:size] = lists[:size]
                lists = longer
            lists[size : size + count] = inner[:count]
            size += count
            counts[large * _FINE**3 + small + 1] = size
    return counts, lists[:size].copy()


def nearest_grid(centers: np.ndarray) -> Grid:
    """Prepare the search among ``centers``, float32 ``[K, 3]``, for points in and around their bounding box."""
    low, high = centers.min(axis=0), centers.max(axis=0)
    middle, half = (low + high) / 2, np.float32(max((high - low).max() * 0.6, 1e-4))
    low, width = (middle - half).astype(np.float32), np.float32(2 * half / _CELLS)
    return Grid(centers, low, np.float32(1 / width), *_fill_grid(centers, low, width))


@njit(cache=True, nogil=True)
def nearest_in_grid(x: np.float32, y: np.float32, z: np.float32, grid: Grid) -> int:
    """The position of the center nearest to one point, the first one on a tie."""
    best, distance = 0, np.float32(np.inf)
    fx, fy, fz = (x - grid.low[0]) * grid.scale, (y - grid.low[1]) * grid.scale, (z - grid.low[2]) * grid.scale
    if fx >= 0 and fy >= 0 and fz >= 0 and fx < _CELLS and fy < _CELLS and fz < _CELLS:
        ix, iy, iz = int(fx), int(fy), int(fz)
        cell = ((ix // _FINE * _COARSE + iy // _FINE) * _COARSE + iz // _FINE) * _FINE**3
        cell += (ix % _FINE * _FINE + iy % _FINE) * _FINE + iz % _FINE
        for place in range(grid.starts[cell], grid.starts[cell + 1]):
            k = grid.lists[place]
            d0, d1, d2 = x - grid.centers[k, 0], y - grid.centers[k, 1], z - grid.centers[k, 2]
            d = d0 * d0 + d1 * d1 + d2 * d2
            if d < distance:
                best, distance = k, d
    else:
        for k in range(len(grid.centers)):
            d0, d1, d2 = x - grid.centers[k, 0], y - grid.centers[k, 1], z - grid.centers[k, 2]
            d = d0 * d0 + d1 * d1 + d2 * d2
            if d < distance:
                best, distance = k, d
    return best


@njit(cache=True, nogil=True)
def nearest_by_grid(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Find each point's nearest center, int64 ``[N]``; the same as `nearest`, faster for many points and centers."""
    labels = np.empty(len(points), np.int64)
    for i in range(len(points)):
        labels[i] = nearest_in_grid(points[i, 0], points[i, 1], points[i, 2], grid)
    return labels
