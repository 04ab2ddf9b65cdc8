"""Soft entries: colors with an alpha between opaque and transparent, for shadows and soft edges.

Pixels are points whose distances are those on black and on white (`alpha_coordinates`). Opaque
pixels and soft ones share no entry, as `encode` has it. So splitting begins with these two groups,
and divides the group that gains most again and again: that says how many entries each of the two
needs. The soft ones are then improved by Lloyd's iteration (1982), the others left to a method.
"""

import numpy as np

from ..nearest import nearest_in_any_space
from ..spaces import Space, alpha_coordinates

_CELL = 1 / 64
"""Large inputs are fitted to the means of cells of this side."""
_MANY_POINTS = 1 << 13
_ITERATIONS = 40


def fit_soft(colors: np.ndarray, counts: np.ndarray, k: int, space: Space, fixed: np.ndarray) -> np.ndarray:
    """Fit the soft entries of a palette that shows all of the colors.

    Args:
        colors: distinct colors, sRGB uint8 ``[N, 4]``, none of them transparent.
        counts: how often each occurs, ``[N]``.
        k: how many entries there shall be, opaque ones included.
        space: where colors are mixed and compared.
        fixed: entries that are there already, uint8 ``[F, 4]``.

    Returns:
        sRGB uint8 ``[≤ k, 4]``, alphas from 1 to 254, each once, none of the fixed ones.
    """
    is_new = ~(colors[:, None] == fixed).all(axis=-1).any(axis=-1)
    colors, counts = colors[is_new], counts[is_new]
    is_soft = colors[:, 3] < 255
    parts = [part for part in (is_soft, ~is_soft) if part.any()]
    if not is_soft.any() or k < len(parts):
        return colors[:0]
    clouds = [_means(alpha_coordinates(colors[part], space), counts[part]) for part in parts]
    soft = _lloyd(*clouds[0], _split(clouds, k), alpha_coordinates(fixed[fixed[:, 3] < 255], space))

    # Back from the points: premultiplied by alpha, and moved so that black and white are alike.
    white = space.from_bytes(np.full((1, 3), 255, np.uint8))
    alpha = soft[:, 3:] / (np.linalg.norm(white) / 2)
    rgb = space.to_bytes((soft[:, :3] / alpha.clip(1e-3) + white / 2).astype(np.float32))
    found = np.concatenate([rgb, (alpha * 255).round().clip(1, 254).astype(np.uint8)], axis=1)
    found = np.unique(found, axis=0)
    return found[~(found[:, None] == fixed).all(axis=-1).any(axis=-1)]


def _means(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points as they are, float32 ``[N, 4]``, and their weights; of many, the means of cells."""
    if len(points) <= _MANY_POINTS:
        return points, weights.astype(np.float64)
    places = (points / _CELL + 128).astype(np.int64)  # 0 to 255 along each axis
    _, cell = np.unique(places @ (1 << np.arange(24, -1, -8)), return_inverse=True)
    mass = np.bincount(cell, weights)
    sums = [np.bincount(cell, weights * axis) for axis in points.T]
    return (np.stack(sums, axis=1) / mass[:, None]).astype(np.float32), mass


def _split(clouds: list[tuple[np.ndarray, np.ndarray]], k: int) -> np.ndarray:
    """Divide clouds into ``k`` groups; the means of those of the first cloud, ``[≤ k, 4]``."""
    groups = [(number, *_best_cut(*cloud)) for number, cloud in enumerate(clouds)]
    while len(groups) < k:
        best = max(range(len(groups)), key=lambda place: groups[place][1])
        number, gain, _, parts = groups[best]
        if gain <= 0:
            break
        groups[best : best + 1] = [(number, *_best_cut(*part)) for part in parts]
    return np.array([mean for number, _, mean, _ in groups if number == 0], np.float32)


def _best_cut(points: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The best cut across the principal axis: how much error it takes away, the mean, the parts."""
    mean = np.average(points, axis=0, weights=weights)
    centered = points - mean
    axis = np.linalg.eigh((centered * weights[:, None]).T @ centered)[1][:, -1]
    order = np.argsort(centered @ axis, kind="stable")
    mass, moment = weights[order].cumsum(), (centered * weights[:, None])[order].cumsum(axis=0)
    # Both sides' moments are opposite, so the error falls by |moment|² (1 / left + 1 / right).
    gains = (moment[:-1] ** 2).sum(axis=1) * (1 / mass[:-1] + 1 / (mass[-1] - mass[:-1]))
    if len(gains) == 0 or gains.max() <= 1e-12 * mass[-1]:
        return 0.0, mean, []
    cut = int(gains.argmax()) + 1
    return float(gains.max()), mean, [(points[side], weights[side]) for side in (order[:cut], order[cut:])]


def _lloyd(points: np.ndarray, weights: np.ndarray, centers: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Centers, float32 ``[K, 4]``, moved to the means of the points that are nearest to them."""
    before = np.inf
    for _ in range(_ITERATIONS):
        labels, squares = nearest_in_any_space(points, np.concatenate([fixed, centers]))
        error = float(weights @ squares)
        if before - error <= 1e-4 * error:
            break
        before = error
        mass = np.bincount(labels, weights, minlength=len(fixed) + len(centers))[len(fixed) :]
        sums = [np.bincount(labels, weights * axis, minlength=len(fixed) + len(centers)) for axis in points.T]
        used = mass > 0
        centers[used] = np.stack(sums, axis=1)[len(fixed) :][used] / mass[used, None]
        # Centers without points go where the error is largest.
        idle = np.flatnonzero(~used)
        lost = np.argsort(-weights * squares)[: len(idle)]
        centers[idle[: len(lost)]] = points[lost]
    return centers
