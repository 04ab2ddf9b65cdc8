"""The nearest center of every point, exactly, in memory that doesn't grow with points × centers.

Many points are sorted into the cells of a grid; those of a cell are compared only with the centers that may be nearest
to some point in it.
"""

import numpy as np
from numba import njit

from .threads import over_slices


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


GROUP = 16
"""Neighboring cells whose candidates are sought together first."""


@njit(cache=True, nogil=True)
def cells(points: np.ndarray, per_axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort points into the occupied cells of a cubic grid over their bounding box, block by block of 4³ cells.

    Args:
        points: float32 ``[N, 3]``, N ≥ 1.
        per_axis: cells along the longest side of the box, a multiple of 4.

    Returns:
        The order of the points, int64 ``[N]``, and each cell's start in it, int64 ``[cells + 1]``.
    """
    low, high = np.empty(3, np.float32), np.empty(3, np.float32)
    for axis in range(3):
        low[axis], high[axis] = points[:, axis].min(), points[:, axis].max()
    scale = np.float32(per_axis * 0.9999) / max(np.max(high - low), np.float32(1e-9))
    cell = np.empty(len(points), np.int32)
    fill = np.zeros(per_axis**3 + 1, np.int64)
    for i in range(len(points)):
        block, inside = 0, 0
        for axis in range(3):
            place = int((points[i, axis] - low[axis]) * scale)
            block = block * (per_axis >> 2) + (place >> 2)
            inside = inside << 2 | place & 3
        where = block << 6 | inside
        cell[i] = where
        fill[where + 1] += 1
    occupied = 0
    for where in range(per_axis**3):
        occupied += fill[where + 1] > 0
    starts = np.empty(occupied + 1, np.int64)
    occupied = 0
    for where in range(per_axis**3):
        if fill[where + 1] > 0:
            starts[occupied] = fill[where]
            occupied += 1
        fill[where + 1] += fill[where]
    starts[occupied] = len(points)
    order = np.empty(len(points), np.int64)
    for i in range(len(points)):
        order[fill[cell[i]]] = i
        fill[cell[i]] += 1
    return order, starts


@njit(cache=True, nogil=True)
def cell_boxes(points: np.ndarray, order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The bounding box of the points of each cell, float32 ``[cells, 2, 3]``."""
    boxes = np.empty((len(starts) - 1, 2, 3), np.float32)
    for cell in range(len(boxes)):
        for axis in range(3):
            low = high = points[order[starts[cell]], axis]
            for i in order[starts[cell] + 1 : starts[cell + 1]]:
                low, high = min(low, points[i, axis]), max(high, points[i, axis])
            boxes[cell, 0, axis], boxes[cell, 1, axis] = low, high
    return boxes


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


@njit(cache=True, nogil=True)
def group_candidates(boxes: np.ndarray, centers: np.ndarray, near: np.ndarray, out: np.ndarray) -> int:
    """The candidates of several cells together; arguments and result as for `candidates`, boxes ``[cells, 2, 3]``."""
    box = np.empty((2, 3), np.float32)
    for axis in range(3):
        box[0, axis], box[1, axis] = boxes[:, 0, axis].min(), boxes[:, 1, axis].max()
    return candidates(box, centers, np.arange(len(centers)).astype(np.int32), near, out)


@njit(cache=True, nogil=True)
def _search(
    points: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    first: int,
    last: int,
    centers: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Fill in the labels of the points of some cells."""
    boxes = cell_boxes(points, order, starts[first : last + 1])
    near = np.empty(len(centers), np.float32)
    shared, chosen = np.empty(len(centers), np.int32), np.empty(len(centers), np.int32)
    few = 0
    for cell in range(first, last):
        if (cell - first) % GROUP == 0:
            few = group_candidates(boxes[cell - first : cell - first + GROUP], centers, near, shared)
        count = candidates(boxes[cell - first], centers, shared[:few], near, chosen)
        for i in order[starts[cell] : starts[cell + 1]]:
            distance = np.float32(np.inf)
            for k in chosen[:count]:
                d0, d1, d2 = points[i, 0] - centers[k, 0], points[i, 1] - centers[k, 1], points[i, 2] - centers[k, 2]
                d = d0 * d0 + d1 * d1 + d2 * d2
                if d < distance:
                    distance, labels[i] = d, k


def nearest_by_cells(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Find each point's nearest center, int64 ``[N]``, as `nearest` does, faster for many points and centers."""
    labels = np.zeros(len(points), np.int64)
    if len(points) > 0:
        order, starts = cells(points, 40)
        over_slices(lambda a, b: _search(points, order, starts, a, b, centers, labels), len(starts) - 1, 512)
    return labels
