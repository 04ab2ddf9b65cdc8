"""A first palette by splitting the group that gains most, across its principal axis.

Orchard and Bouman 1991, "Color quantization of images". The cut is placed as by Wan, Prusinkiewicz
and Wong 1990.
"""

import numpy as np

from tincture.common.kernels import kernel

_BINS = 64
"""Places along the axis at which a cut is tried."""
_POWER_ITERATIONS = 12


@kernel(error_model="numpy")
def _covariance(points: np.ndarray, weights: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The members' covariance, ``[3, 3]``, but for a factor."""
    mass = 0.0
    mean = np.zeros(3)
    moments = np.zeros((3, 3))
    for i in members:
        weight = weights[i]
        mass += weight
        for a in range(3):
            mean[a] += weight * points[i, a]
            for b in range(a, 3):
                moments[a, b] += weight * points[i, a] * points[i, b]
    mean /= mass
    for a in range(3):
        for b in range(a, 3):
            moments[a, b] -= mass * mean[a] * mean[b]
            moments[b, a] = moments[a, b]
    return moments


@kernel(plain=True, error_model="numpy")
def _principal_axis(moments: np.ndarray) -> tuple[np.float64, np.float64, np.float64]:
    """The direction of largest variance, by power iteration on a covariance ``[3, 3]``."""
    # Begin with its longest column.
    widest = 0
    for a in range(1, 3):
        if moments[a, a] > moments[widest, widest]:
            widest = a
    x, y, z = moments[widest, 0], moments[widest, 1], moments[widest, 2]
    for _ in range(_POWER_ITERATIONS):
        length = np.sqrt(x * x + y * y + z * z)
        if length == 0:
            return 1.0, 0.0, 0.0
        x, y, z = x / length, y / length, z / length
        x, y, z = (
            moments[0, 0] * x + moments[0, 1] * y + moments[0, 2] * z,
            moments[1, 0] * x + moments[1, 1] * y + moments[1, 2] * z,
            moments[2, 0] * x + moments[2, 1] * y + moments[2, 2] * z,
        )
    return x, y, z


def _best_cut_of_columns(
    points: np.ndarray, weights: np.ndarray, members: np.ndarray, bin_of: np.ndarray
) -> tuple[float, int]:
    """`_best_cut` by NumPy."""
    if len(members) < 2:
        return 0.0, 0
    weight, places = weights[members], points[members].astype(np.float64)
    moments = places * weight[:, None]
    mass, moment = weight.sum(), moments.sum(axis=0)
    x, y, z = _principal_axis(moments.T @ places - np.outer(moment, moment) / mass)
    along = x * places[:, 0] + y * places[:, 1] + z * places[:, 2]
    low, high = along.min(), along.max()
    if not high > low:
        return 0.0, 0
    bins = min(_BINS, 4 * len(members))
    where = ((along - low) * ((bins - 1e-3) / (high - low))).astype(np.int64)
    bin_of[members] = where

    # The mass, ``[bins]``, and the moment, ``[bins, 3]``, of each bin and all bins below.
    masses = np.bincount(where, weight, bins)
    left = masses.cumsum()
    low_moments = np.stack([np.bincount(where, column, bins) for column in moments.T], axis=1).cumsum(axis=0)
    right = mass - left
    is_cut = (masses > 0) & (right > 0)
    is_cut[-1] = False
    after = (low_moments**2).sum(axis=1) / left.clip(1e-300)
    after += ((moment - low_moments) ** 2).sum(axis=1) / np.where(is_cut, right, 1)
    gains = np.where(is_cut, after - (moment**2).sum() / mass, 0.0)
    cut = int(gains.argmax())
    return (float(gains[cut]), cut) if gains[cut] > 0 else (0.0, 0)


@kernel(plain=_best_cut_of_columns, error_model="numpy")
def _best_cut(points: np.ndarray, weights: np.ndarray, members: np.ndarray, bin_of: np.ndarray) -> tuple[float, int]:
    """Find the cut that lowers the members' squared error most; note their bins in ``bin_of``.

    Returns:
        By how much, 0 if there is no such cut, and the last bin of the lower side.
    """
    if len(members) < 2:
        return 0.0, 0

    # The members' extent along their principal axis.
    x, y, z = _principal_axis(_covariance(points, weights, members))
    low, high = np.inf, -np.inf
    for i in members:
        along = x * points[i, 0] + y * points[i, 1] + z * points[i, 2]
        low, high = min(low, along), max(high, along)
    if not high > low:
        return 0.0, 0

    # The mass and the moment of each bin along it.
    bins = min(_BINS, 4 * len(members))
    scale = (bins - 1e-3) / (high - low)
    sums = np.zeros((bins, 4))
    mass, x_sum, y_sum, z_sum = 0.0, 0.0, 0.0, 0.0
    for i in members:
        where = int((x * points[i, 0] + y * points[i, 1] + z * points[i, 2] - low) * scale)
        bin_of[i] = where
        weight = weights[i]
        sums[where, 0] += weight
        sums[where, 1] += weight * points[i, 0]
        sums[where, 2] += weight * points[i, 1]
        sums[where, 3] += weight * points[i, 2]
        mass += weight
        x_sum += weight * points[i, 0]
        y_sum += weight * points[i, 1]
        z_sum += weight * points[i, 2]

    # The squared error falls by as much as the sum of |moment|² / mass of both sides rises.
    before = (x_sum**2 + y_sum**2 + z_sum**2) / mass
    best, cut = 0.0, 0
    left, x_left, y_left, z_left = 0.0, 0.0, 0.0, 0.0
    for where in range(bins - 1):
        left += sums[where, 0]
        x_left += sums[where, 1]
        y_left += sums[where, 2]
        z_left += sums[where, 3]
        right = mass - left
        if sums[where, 0] > 0 and right > 0:
            after = (x_left**2 + y_left**2 + z_left**2) / left
            after += ((x_sum - x_left) ** 2 + (y_sum - y_left) ** 2 + (z_sum - z_left) ** 2) / right
            if after - before > best:
                best, cut = after - before, where
    return best, cut


@kernel(plain=lambda points, weights, members: np.average(points[members], axis=0, weights=weights[members]))
def _mean(points: np.ndarray, weights: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The members' mean, ``[3]``."""
    mass, total = 0.0, np.zeros(3)
    for i in members:
        mass += weights[i]
        for a in range(3):
            total[a] += weights[i] * points[i, a]
    return total / mass


@kernel(plain=True)
def split(points: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Divide points into ``k`` groups by cuts across principal axes, and take the groups' means.

    Args:
        points: float32 ``[N, 3]``, N ≥ 1.
        weights: float64 ``[N]``, positive.
        k: the number of groups wanted, at least 1.

    Returns:
        Means, float32 ``[k, 3]``; fewer where fewer points differ.
    """
    # A group is a slice of `order`. Its best cut is known from the beginning.
    order = np.arange(len(points))
    bin_of = np.zeros(len(points), np.int64)
    starts, stops = np.zeros(k, np.int64), np.zeros(k, np.int64)
    gains, cuts = np.zeros(k), np.zeros(k, np.int64)
    stops[0] = len(points)
    gains[0], cuts[0] = _best_cut(points, weights, order, bin_of)
    size = 1
    while size < k:
        group = int(np.argmax(gains[:size]))
        if gains[group] <= 0:
            break

        # Put the lower side first: it stays this group, and the upper side becomes a new one.
        low, high = starts[group], stops[group]
        members = order[low:high].copy()
        is_low = bin_of[members] <= cuts[group]
        middle = low + np.count_nonzero(is_low)
        order[low:middle], order[middle:high] = members[is_low], members[~is_low]
        stops[group], starts[size], stops[size] = middle, middle, high
        for part in (group, size):
            gains[part], cuts[part] = _best_cut(points, weights, order[starts[part] : stops[part]], bin_of)
        size += 1

    means = np.zeros((size, 3), np.float32)
    for group in range(size):
        means[group] = _mean(points, weights, order[starts[group] : stops[group]])
    return means
