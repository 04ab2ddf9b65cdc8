"""The nearest center of every point, exactly, in memory that doesn't grow with points × centers."""

import numpy as np
from numba import njit


@njit(cache=True)
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
