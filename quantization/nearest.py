"""The nearest center of every point, exactly, in memory that doesn't grow with points × centers.

Many points are sorted into the cells of a grid; those of a cell are compared only with the centers that may be nearest
to some point in it.
"""

import numpy as np
from numba import njit

from tincture.common.threads import over_slices


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
def columns_of(points: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Points in an order, a row for each coordinate: float32 ``[N, 3]`` → float32 ``[3, N]``."""
    columns = np.empty((3, len(order)), np.float32)
    for i in range(len(order)):
        for axis in range(3):
            columns[axis, i] = points[order[i], axis]
    return columns


@njit(cache=True, nogil=True)
def cell_boxes(columns: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The bounding box of the points of each cell, float32 ``[cells, 2, 3]``; columns as of `columns_of`."""
    boxes = np.empty((len(starts) - 1, 2, 3), np.float32)
    for cell in range(len(boxes)):
        for axis in range(3):
            low = high = columns[axis, starts[cell]]
            for i in range(starts[cell] + 1, starts[cell + 1]):
                low, high = min(low, columns[axis, i]), max(high, columns[axis, i])
            boxes[cell, 0, axis], boxes[cell, 1, axis] = low, high
    return boxes


# No coordinate is NaN, and the sign of zero plays no part: so a minimum can be found in several lanes.
@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def candidates(box: np.ndarray, centers: np.ndarray, size: int, scratch: np.ndarray, out: np.ndarray) -> int:
    """Find the centers that may be nearest to some point of a box: those that come closer than another's farthest.

    Args:
        box: lowest and highest corner, float32 ``[2, 3]``.
        centers: float32 ``[3, K]``.
        size: how many of them to look at, the first ones.
        scratch: float32 ``[2, K]`` or longer.
        out: receives the candidates' positions in rising order, ``[K + 1]``.

    Returns:
        How many there are.
    """
    x, y, z = centers[0], centers[1], centers[2]
    near, far = scratch[0], scratch[1]
    for j in range(size):
        below_0, below_1, below_2 = box[0, 0] - x[j], box[0, 1] - y[j], box[0, 2] - z[j]
        above_0, above_1, above_2 = x[j] - box[1, 0], y[j] - box[1, 1], z[j] - box[1, 2]
        d0, d1, d2 = max(below_0, above_0), max(below_1, above_1), max(below_2, above_2)
        d0, d1, d2 = max(d0, np.float32(0)), max(d1, np.float32(0)), max(d2, np.float32(0))
        near[j] = d0 * d0 + d1 * d1 + d2 * d2
        d0, d1, d2 = min(below_0, above_0), min(below_1, above_1), min(below_2, above_2)
        far[j] = d0 * d0 + d1 * d1 + d2 * d2
    bound = np.float32(np.inf)
    for j in range(size):
        bound = min(bound, far[j])
    bound = bound * np.float32(1.00001) + np.float32(1e-12)  # more than the rounding of either distance
    count = 0
    for j in range(size):
        out[count] = j
        count += near[j] <= bound
    return count


@njit(cache=True, nogil=True)
def group_candidates(
    boxes: np.ndarray, centers: np.ndarray, scratch: np.ndarray, shared: np.ndarray, few: np.ndarray
) -> int:
    """The candidates of several cells together.

    Args:
        boxes: of the cells, float32 ``[cells, 2, 3]``.
        centers: float32 ``[3, K]``.
        scratch: float32 ``[2, K + 1]``.
        shared: receives the candidates' positions, ``[K + 1]``.
        few: receives their coordinates, float32 ``[3, K]``.

    Returns:
        How many there are.
    """
    box = boxes[0].copy()
    for cell in range(1, len(boxes)):
        for axis in range(3):
            box[0, axis] = min(box[0, axis], boxes[cell, 0, axis])
            box[1, axis] = max(box[1, axis], boxes[cell, 1, axis])
    count = candidates(box, centers, centers.shape[1], scratch, shared)
    for j in range(count):
        for axis in range(3):
            few[axis, j] = centers[axis, shared[j]]
    return count


@njit(cache=True, nogil=True)
def nearest_among(
    columns: np.ndarray,
    start: int,
    stop: int,
    centers: np.ndarray,
    chosen: np.ndarray,
    labels: np.ndarray,
    distances: np.ndarray,
) -> None:
    """Find the nearest of a few centers for the points from ``start`` to ``stop``; the first one wins a tie.

    Args:
        columns: points, float32 ``[3, N]``.
        start, stop: which of them.
        centers: float32 ``[3, K]``.
        chosen: the positions of the centers to look at, rising, ``[M]``, M ≥ 1.
        labels: receives positions in ``chosen``, ``[stop - start]`` or longer.
        distances: scratch, float32, as long.
    """
    x, y, z = columns[0, start:stop], columns[1, start:stop], columns[2, start:stop]
    distances[: len(x)] = np.inf
    for j in range(len(chosen)):
        # Point after point for one center, not the other way round: so the processor takes several at once.
        x_j, y_j, z_j = centers[0, chosen[j]], centers[1, chosen[j]], centers[2, chosen[j]]
        for i in range(len(x)):
            d0, d1, d2 = x[i] - x_j, y[i] - y_j, z[i] - z_j
            d = d0 * d0 + d1 * d1 + d2 * d2
            closer = d < distances[i]
            labels[i] = np.int32(j) if closer else labels[i]
            distances[i] = d if closer else distances[i]


@njit(cache=True, nogil=True)
def _search(
    columns: np.ndarray,
    order: np.ndarray,
    starts: np.ndarray,
    first: int,
    last: int,
    centers: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Fill in the labels of the points of some cells."""
    boxes = cell_boxes(columns, starts[first : last + 1])
    scratch, few = np.empty((2, centers.shape[1] + 1), np.float32), np.empty_like(centers)
    shared, chosen = np.empty(centers.shape[1] + 1, np.int32), np.empty(centers.shape[1] + 1, np.int32)
    widest = np.diff(starts[first : last + 1]).max()
    among, distances = np.empty(widest, np.int32), np.empty(widest, np.float32)
    size = 0
    for cell in range(first, last):
        if (cell - first) % GROUP == 0:
            size = group_candidates(boxes[cell - first : cell - first + GROUP], centers, scratch, shared, few)
        count = candidates(boxes[cell - first], few, size, scratch, chosen)
        nearest_among(columns, starts[cell], starts[cell + 1], few, chosen[:count], among, distances)
        for i in range(starts[cell], starts[cell + 1]):
            labels[order[i]] = shared[chosen[among[i - starts[cell]]]]


def nearest_by_cells(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Find each point's nearest center, int64 ``[N]``, as `nearest` does, faster for many points and centers."""
    labels = np.zeros(len(points), np.int64)
    if len(points) > 0:
        order, starts = cells(points, 40)
        columns, rows = columns_of(points, order), np.ascontiguousarray(centers.T)
        over_slices(lambda a, b: _search(columns, order, starts, a, b, rows, labels), len(starts) - 1, 512)
    return labels
