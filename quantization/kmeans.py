"""Weighted k-means on distinct colors (Lloyd 1982), from a k-means++ start (Arthur and Vassilvitskii 2007)."""

import numpy as np

from .nearest import nearest

MAX_ITERATIONS = 100


def _plus_plus(points: np.ndarray, weights: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Choose each next center among a few points drawn with probability ∝ weight × squared distance to the centers so far.

    The one that lowers the error most is taken (the greedy variant that Arthur and Vassilvitskii recommend).
    """
    trials = 2 + int(np.log(k))
    centers = points[generator.choice(len(points), p=weights / weights.sum())][None]
    distances = nearest(points, centers)[1]
    while len(centers) < k:
        mass = weights * distances
        total = mass.sum()
        if total == 0:  # fewer than k points differ in float32
            break
        candidates = points[generator.choice(len(points), size=trials, p=mass / total)]
        reached = [np.minimum(distances, nearest(points, candidate[None])[1]) for candidate in candidates]
        best = int(np.argmin([weights @ distance for distance in reached]))
        centers, distances = np.concatenate([centers, candidates[best][None]]), reached[best]
    return centers


def kmeans(points: np.ndarray, weights: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """Place ``k`` centers so that the weighted squared distance of the points to the nearest one is small.

    Args:
        points: distinct points, float32 ``[N, 3]``, N ≥ 1.
        weights: how often each occurs, ``[N]``, positive.
        k: the number of centers wanted, at least 1.
        seed: the start is drawn from it; the same seed gives the same centers.

    Returns:
        Centers, float32 ``[min(k, distinct points), 3]``.
    """
    weights = weights.astype(np.float64)
    centers = _plus_plus(points, weights, k, np.random.default_rng(seed))
    labels = None
    for _ in range(MAX_ITERATIONS):
        new_labels, distances = nearest(points, centers)
        if labels is not None and np.array_equal(labels, new_labels):
            break
        labels = new_labels
        mass = np.bincount(labels, weights, minlength=len(centers))
        for axis in range(3):
            total = np.bincount(labels, weights * points[:, axis], minlength=len(centers))
            np.divide(total, mass, out=total, where=mass > 0)
            centers[:, axis] = np.where(mass > 0, total, centers[:, axis])
        for empty in np.flatnonzero(mass == 0):  # a center that lost all its points moves to the worst served one
            worst = int(np.argmax(weights * distances))
            centers[empty], distances[worst] = points[worst], 0
    return centers
