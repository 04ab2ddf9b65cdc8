"""The nearest of a few centers for each of many points, exactly.

Many points are sorted into the cells of a grid. Most centers are too far from a cell to be nearest
to any point in it, so its points are compared with the few others only. Cells are first ruled out
in groups of neighbors, then one by one.

`nearest` is the door for arrays; k-means asks `nearest_in_cells` for the same points again and
again. Error diffusion knows a pixel only when the one before is done, so it asks `nearest_of` for
one point; torch has a batched k-means of its own, for a GPU.
"""

from typing import NamedTuple

import numpy as np

from tincture.common.kernels import is_compiled, kernel
from tincture.common.threads import over_slices

_FEW_POINTS = 1 << 14
"""Up to here, sorting into cells takes longer than it saves."""
_PER_AXIS = 40
"""Cells along the longest side of the points' box."""
_GROUP = 16
"""Neighboring cells for which centers are ruled out together first."""
_IN_SEQUENCE = 64
"""So many points of a histogram stand for a cell where NumPy would have to sort them."""
_FEW_DISTANCES = 1 << 22
"""Up to here, NumPy takes less time to compute all of them than to rule some out."""
_BLOCK, _LEAST_BLOCK = 1 << 16, 1 << 10
"""Distances that NumPy takes at once, which a processor's cache holds, and points at least."""


def nearest(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find each point's nearest center in squared Euclidean distance; the first one wins a tie.

    Args:
        points: float32 ``[N, 3]``.
        centers: float32 ``[K, 3]``, K ≥ 1.

    Returns:
        The centers' positions, int64 ``[N]``, and the squared distances, float32 ``[N]``.
    """
    if len(points) <= _FEW_POINTS or (len(points) * len(centers) <= _FEW_DISTANCES and not is_compiled()):
        return _nearest_of_all(points, centers)
    cells = sort_into_cells(points, _PER_AXIS) if is_compiled() else _cells_as_they_stand(points)
    labels = np.empty(len(points), np.int64)
    distances = np.empty(len(points), np.float32)
    over_slices(lambda first, last: _fill_in(cells, first, last, centers, labels, distances), len(cells.boxes), 512)
    return labels, distances


def _nearest_of_columns(columns: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` by NumPy, of points ``[3, N]`` and centers ``[3, K]``."""
    labels, squares = nearest_two(columns, centers, second=False)
    return labels, squares[0]


def nearest_two(columns: np.ndarray, centers: np.ndarray, second: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest center of each point, as `nearest` does, and how far the next one is.

    Args:
        columns: points, float32 ``[3, N]``.
        centers: float32 ``[3, K]``.
        second: whether the next one is looked for.

    Returns:
        The centers' positions, int64 ``[N]``, and squared distances, float32 ``[2, N]``.
    """
    (_, number), count = columns.shape, centers.shape[1]
    labels, least = np.empty(number, np.int64), np.full((2, number), np.inf, np.float32)
    size = max(1, min(number, max(_LEAST_BLOCK, _BLOCK // count)))
    sums, off = np.empty((2, count, size), np.float32)
    ranks = np.arange(count - 1, -1, -1).astype(np.uint8 if count <= 256 else np.uint32)[:, None]  # the first has most
    for start in range(0, number, size):
        part = slice(start, min(start + size, number))
        squares, square = sums[:, : part.stop - start], off[:, : part.stop - start]
        np.subtract(columns[0, part], centers[0][:, None], out=squares)
        np.multiply(squares, squares, out=squares)
        for axis in (1, 2):
            np.subtract(columns[axis, part], centers[axis][:, None], out=square)
            np.multiply(square, square, out=square)
            np.add(squares, square, out=squares)
        squares.min(axis=0, out=least[0, part])
        labels[part] = count - 1 - (ranks * (squares == least[0, part])).max(axis=0)
        if second and count > 1:
            squares[labels[part], np.arange(part.stop - start)] = np.inf
            squares.min(axis=0, out=least[1, part])
    return labels, least


@kernel(plain=lambda points, centers: _nearest_of_columns(np.ascontiguousarray(points.T), centers.T))
def _nearest_of_all(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`nearest`, comparing each point with every center."""
    labels, distances = np.zeros(len(points), np.int32), np.empty(len(points), np.float32)
    everyone = np.arange(len(centers)).astype(np.int32)
    rows, columns = np.ascontiguousarray(centers.T), np.ascontiguousarray(points.T)  # [3, K], [3, N]
    nearest_among(columns, 0, len(points), rows, everyone, labels, distances)
    return labels.astype(np.int64), distances


@kernel
def nearest_among(
    columns: np.ndarray,
    start: int,
    stop: int,
    centers: np.ndarray,
    chosen: np.ndarray,
    labels: np.ndarray,
    distances: np.ndarray,
) -> None:
    """Find the nearest of some centers for points ``start`` to ``stop``; the first wins a tie.

    Args:
        columns: points, float32 ``[3, N]``.
        start, stop: which of them.
        centers: float32 ``[3, K]``.
        chosen: the positions of the centers to look at, rising, ``[M]``, M ≥ 1.
        labels: receives positions in ``chosen``, int32 ``[stop - start]`` or longer.
        distances: receives the squared distances, float32, as long.
    """
    x, y, z = columns[0, start:stop], columns[1, start:stop], columns[2, start:stop]
    distances[: len(x)] = np.inf
    # One center for all points, then the next one: a processor compares several points at once.
    for j in range(len(chosen)):
        x_j, y_j, z_j = centers[0, chosen[j]], centers[1, chosen[j]], centers[2, chosen[j]]
        for i in range(len(x)):
            d0, d1, d2 = x[i] - x_j, y[i] - y_j, z[i] - z_j
            d = d0 * d0 + d1 * d1 + d2 * d2
            closer = d < distances[i]
            labels[i] = np.int32(j) if closer else labels[i]
            distances[i] = d if closer else distances[i]


@kernel
def nearest_of(x: np.float32, y: np.float32, z: np.float32, centers: np.ndarray, chosen: np.ndarray) -> int:
    """The nearest of the centers, float32 ``[K, 3]``, at the rising positions ``chosen``."""
    best, distance = 0, np.float32(np.inf)
    for k in chosen:
        d0, d1, d2 = x - centers[k, 0], y - centers[k, 1], z - centers[k, 2]
        d = d0 * d0 + d1 * d1 + d2 * d2
        if d < distance:
            best, distance = k, d
    return best


@kernel
def nearest_in_any_space(points: np.ndarray, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`nearest` of any number of coordinates, float32 ``[N, D]`` and ``[K, D]``, one by one."""
    labels, distances = np.zeros(len(points), np.int64), np.full(len(points), np.inf, np.float32)
    for i in range(len(points)):
        for k in range(len(centers)):
            distance = np.float32(0)
            for axis in range(points.shape[1]):
                distance += (points[i, axis] - centers[k, axis]) ** 2
            if distance < distances[i]:
                labels[i], distances[i] = k, distance
    return labels, distances


class Cells(NamedTuple):
    """Points, sorted into the occupied cells of a grid."""

    order: np.ndarray
    """Which point stands at each place, int64 ``[N]``."""
    columns: np.ndarray
    """The points in this order, a row for each coordinate, float32 ``[3, N]``."""
    starts: np.ndarray
    """Where each cell's points start, int64 ``[cells + 1]``."""
    boxes: np.ndarray
    """The lowest and highest corner of each cell's points, float32 ``[cells, 2, 3]``."""


def _sorted_by_cell(points: np.ndarray, per_axis: int) -> Cells:
    """`sort_into_cells` by NumPy."""
    columns = np.ascontiguousarray(points.T)
    low = columns.min(axis=1)
    scale = np.float32(per_axis * 0.9999) / max(np.max(columns.max(axis=1) - low), np.float32(1e-9))
    block = inside = np.int32(0)
    for places, lowest in zip(columns, low, strict=True):
        place = ((places - lowest) * scale).astype(np.int32)
        block = block * np.int32(per_axis >> 2) + (place >> 2)
        inside = inside << 2 | place & 3
    cell = block << 6 | inside
    if per_axis**3 < 1 << 16:
        cell = cell.astype(np.uint16)  # NumPy sorts 16 bits by their digits
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    starts = np.concatenate([[0], np.flatnonzero(cell[1:] != cell[:-1]) + 1, [len(points)]])
    columns = columns[:, order]
    boxes = [extreme.reduceat(columns, starts[:-1], axis=1).T for extreme in (np.minimum, np.maximum)]
    return Cells(order, columns, starts, np.stack(boxes, axis=1))


@kernel(plain=_sorted_by_cell)
def sort_into_cells(points: np.ndarray, per_axis: int) -> Cells:
    """Sort points into the cells of a cubic grid over their box, block by block of 4³ cells.

    Args:
        points: float32 ``[N, 3]``, N ≥ 1.
        per_axis: cells along the longest side of the box, a multiple of 4.
    """
    low, high = np.empty(3, np.float32), np.empty(3, np.float32)
    for axis in range(3):
        low[axis], high[axis] = points[:, axis].min(), points[:, axis].max()
    scale = np.float32(per_axis * 0.9999) / max(np.max(high - low), np.float32(1e-9))

    # Count the points of each cell. The cells of a block have numbers in sequence, so that a group
    # of consecutive cells lies close together.
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

    # Sum the counts up: `fill` becomes the place of each cell's next point.
    starts, occupied = np.empty(np.count_nonzero(fill) + 1, np.int64), 0
    for where in range(per_axis**3):
        if fill[where + 1] > 0:
            starts[occupied] = fill[where]
            occupied += 1
        fill[where + 1] += fill[where]
    starts[occupied] = len(points)

    order, columns = np.empty(len(points), np.int64), np.empty((3, len(points)), np.float32)
    for i in range(len(points)):
        place = fill[cell[i]]
        fill[cell[i]] += 1
        order[place] = i
        for axis in range(3):
            columns[axis, place] = points[i, axis]

    boxes = np.empty((occupied, 2, 3), np.float32)
    for c in range(occupied):
        for axis in range(3):
            boxes[c, 0, axis] = columns[axis, starts[c] : starts[c + 1]].min()
            boxes[c, 1, axis] = columns[axis, starts[c] : starts[c + 1]].max()
    return Cells(order, columns, starts, boxes)


# No coordinate is NaN, and the sign of zero doesn't matter: a minimum may take several lanes.
@kernel(fastmath={"nnan", "nsz"})
def candidates(box: np.ndarray, centers: np.ndarray, size: int, scratch: np.ndarray, out: np.ndarray) -> int:
    """Find the centers that may be nearest to some point of a box.

    A center is ruled out if another one's farthest point of the box is nearer than its own nearest.

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
        out[count] = j  # overwritten by the next one if this one is ruled out: no branch
        count += near[j] <= bound
    return count


def _cells_as_they_stand(points: np.ndarray) -> Cells:
    """Points in the order they have, some at a time: colors of a histogram lie close together."""
    columns, starts = np.ascontiguousarray(points.T), np.arange(0, len(points), _IN_SEQUENCE)
    boxes = [extreme.reduceat(columns, starts, axis=1).T for extreme in (np.minimum, np.maximum)]
    return Cells(np.arange(len(points)), columns, np.append(starts, len(points)), np.stack(boxes, axis=1))


def _nearest_in_groups(cells: Cells, first: int, last: int, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`nearest_in_cells` by NumPy, which finds the nearest center of every point."""
    begin, end = cells.starts[[first, last]]
    if (end - begin) * len(centers) <= _FEW_DISTANCES:
        return np.full(last - first, -1, np.int32), _nearest_of_columns(cells.columns[:, begin:end], centers.T)[0]

    # The centers that may be nearest to some point of a cell, as in `candidates`.
    low, high = cells.boxes[first:last].transpose(1, 2, 0)
    near = far = np.float32(0)
    for axis, places in enumerate(centers.T):
        below, above = low[axis] - places[:, None], places[:, None] - high[axis]  # [K, cells]
        near = near + np.maximum(np.maximum(below, above), 0) ** 2
        far = far + np.minimum(below, above) ** 2
    is_near = near <= far.min(axis=0) * np.float32(1.00001) + np.float32(1e-12)

    sizes = np.diff(cells.starts[first : last + 1])
    labels = np.repeat(is_near.argmax(axis=0), sizes)
    is_open = is_near.sum(axis=0) > 1  # which cells several centers may be nearest in
    places = np.flatnonzero(np.repeat(is_open, sizes))
    points, is_near = cells.columns[:, cells.starts[first] + places], is_near[:, is_open]
    ends = np.concatenate([[0], sizes[is_open].cumsum()])
    for group in range(0, len(ends) - 1, _GROUP):
        part = slice(ends[group], ends[min(group + _GROUP, len(ends) - 1)])
        chosen = np.flatnonzero(is_near[:, group : group + _GROUP].any(axis=1))
        labels[places[part]] = chosen[_nearest_of_columns(points[:, part], centers[chosen].T)[0]]
    return np.full(last - first, -1, np.int32), labels


@kernel(plain=_nearest_in_groups)
def nearest_in_cells(cells: Cells, first: int, last: int, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest center of each point in the cells from ``first`` to ``last``, exclusive.

    Args:
        cells: the points.
        first, last: which cells.
        centers: float32 ``[K, 3]``.

    Returns:
        For each of these cells, the center that is nearest to all its points, or -1 if several may
        be, int32 ``[last - first]``; and for each of their points, in the cells' order, its nearest
        center, int32 ``[n]``. Points of a cell with one center have none: k-means needs none.
    """
    rows = np.ascontiguousarray(centers.T)  # [3, K]
    few, scratch = np.empty_like(rows), np.empty((2, len(centers) + 1), np.float32)
    shared, chosen = np.empty(len(centers) + 1, np.int32), np.empty(len(centers) + 1, np.int32)
    widest = 0
    for cell in range(first, last):
        widest = max(widest, cells.starts[cell + 1] - cells.starts[cell])
    among, distances = np.empty(widest, np.int32), np.empty(widest, np.float32)
    only, begin = np.full(last - first, -1, np.int32), cells.starts[first]
    labels = np.empty(cells.starts[last] - begin, np.int32)
    size = 0
    for cell in range(first, last):
        if (cell - first) % _GROUP == 0:
            # Rule centers out for the group. Those that are left, `few`, have the places `shared`.
            group = cells.boxes[cell : min(cell + _GROUP, last)]
            size = candidates(_common_box(group), rows, len(centers), scratch, shared)
            for j in range(size):
                for axis in range(3):
                    few[axis, j] = rows[axis, shared[j]]
        count = candidates(cells.boxes[cell], few, size, scratch, chosen)
        if count == 1:
            only[cell - first] = shared[chosen[0]]
            continue
        start, stop = cells.starts[cell], cells.starts[cell + 1]
        nearest_among(cells.columns, start, stop, few, chosen[:count], among, distances)
        for i in range(start, stop):
            labels[i - begin] = shared[chosen[among[i - start]]]
    return only, labels


@kernel
def _common_box(boxes: np.ndarray) -> np.ndarray:
    """The box that holds all boxes, float32 ``[N, 2, 3]`` → ``[2, 3]``."""
    box = boxes[0].copy()
    for cell in range(1, len(boxes)):
        for axis in range(3):
            box[0, axis] = min(box[0, axis], boxes[cell, 0, axis])
            box[1, axis] = max(box[1, axis], boxes[cell, 1, axis])
    return box


def _put(cells: Cells, first: int, last: int, centers: np.ndarray, labels: np.ndarray, distances: np.ndarray) -> None:
    """`_fill_in` by NumPy."""
    found = nearest_in_cells(cells, first, last, centers)[1]
    part = slice(cells.starts[first], cells.starts[last])
    off = cells.columns[:, part] - centers.T[:, found]
    off *= off
    labels[cells.order[part]], distances[cells.order[part]] = found, off[0] + off[1] + off[2]


@kernel(plain=_put)
def _fill_in(
    cells: Cells, first: int, last: int, centers: np.ndarray, labels: np.ndarray, distances: np.ndarray
) -> None:
    """Put what is found for the points of some cells at these points' own places."""
    only, found = nearest_in_cells(cells, first, last, centers)
    begin = cells.starts[first]
    for cell in range(first, last):
        for i in range(cells.starts[cell], cells.starts[cell + 1]):
            k = only[cell - first] if only[cell - first] >= 0 else found[i - begin]
            d0, d1, d2 = (
                cells.columns[0, i] - centers[k, 0],
                cells.columns[1, i] - centers[k, 1],
                cells.columns[2, i] - centers[k, 2],
            )
            labels[cells.order[i]], distances[cells.order[i]] = k, d0 * d0 + d1 * d1 + d2 * d2
