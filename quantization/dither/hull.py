"""The colors that a palette can mix are the hull of its entries; its point nearest to a color.

`project_to_hull` is Wolfe 1976, "Finding the nearest point in a polytope". The nearest point is a
mixture of at most four entries, called its corral. Two steps alternate: the entry that lies
farthest towards the color joins the corral, and the entries whose share would become negative leave
it.

For a color far outside, the nearest point is a poor goal for dithering. For a red picture in four
greens it lies on the edge from the darkest to the lightest, which takes as much grain as there can
be. `mixable` aims at less grain there.
"""

import numpy as np

from tincture.common.kernels import kernel
from tincture.common.threads import over_slices

from ..fit.mixtures import mix
from ..histogram import OPAQUE_ALPHA, color_key, distinct_colors
from ..spaces import mixing_coordinates

_INSIDE = 1e-4
"""So near to the hull, a color lies in it: a third of a byte's smallest step in linear light."""
_TURNS = 64
"""Far more than it takes. Rounding might make two entries take turns for ever."""
_GRAIN = 0.3
"""The weight of grain, as in mixtures.py, for colors that the palette can't mix."""
_LIGHTNESS = 10
"""How much more an error of lightness weighs for these colors than one of hue."""
_FAR = 0.05
"""At this distance from the hull, the goal is halfway from the nearest point to a calmer one."""
_FLAT = 1e-12
"""Added to squared lengths, because the entries of a corral may nearly lie on one line."""


def mixable(image: np.ndarray, colors: np.ndarray, space: str) -> np.ndarray:
    """What error diffusion should aim at: the picture itself, where the palette can mix its colors.

    A color outside of the entries' hull is replaced: if it is near, by the hull's nearest point; if
    it is far, by a point of about its lightness that is mixed with less grain.

    Args:
        image: sRGB RGBA, uint8 ``[H, W, 4]``; only opaque pixels matter.
        colors: the entries, sRGB, uint8 ``[K, 3]``.
        space: where they mix, a name in `DITHER_SPACES`.

    Returns:
        The colors in that space, float32 ``[H, W, 3]``.
    """
    keys, distinct = distinct_colors(image)
    values = mixing_coordinates(image[..., :3], space)
    goals = _goals(mixing_coordinates(distinct, space), mixing_coordinates(colors, space), space)
    _replace(image, keys, goals, values)
    return values


def _goals(points: np.ndarray, entries: np.ndarray, space: str) -> np.ndarray:
    """What each color should look like after dithering, float32 ``[N, 3]``."""
    goals = project_to_hull(points, entries)
    outside = np.flatnonzero((goals != points).any(axis=1))
    stretch = _stretch(space)

    def calm(start: int, stop: int) -> None:
        """Move the goals of colors that are far outside towards mixtures of less grain."""
        part = outside[start:stop]
        near, shares = mix(points[part], entries, _GRAIN, stretch)
        distance = np.linalg.norm(goals[part] - points[part], axis=1, keepdims=True)
        goals[part] += distance / (distance + _FAR) * (np.einsum("nm,nma->na", shares, entries[near]) - goals[part])

    over_slices(calm, len(outside), 4096)
    return goals


def _stretch(space: str) -> np.ndarray:
    """The matrix that makes lightness weigh more in a space of mixing, float32 ``[3, 3]``."""
    light = np.array([0.2126, 0.7152, 0.0722] if space == "linear" else [1, 0, 0])  # luminance of ITU-R BT.709, or L
    light = light / np.linalg.norm(light)
    return (np.eye(3) + (np.sqrt(_LIGHTNESS) - 1) * np.outer(light, light)).astype(np.float32)


@kernel
def _replace(image: np.ndarray, keys: np.ndarray, colors: np.ndarray, values: np.ndarray) -> None:
    """Give each opaque pixel the color that stands where its key is in ``keys``, in place."""
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            if image[y, x, 3] >= OPAQUE_ALPHA:
                key = color_key(image[y, x, 0], image[y, x, 1], image[y, x, 2])
                values[y, x] = colors[np.searchsorted(keys, key)]


def project_to_hull(points: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """Move each point to the nearest one that is a mixture of the entries.

    Args:
        points: float32 ``[N, 3]``, in the space of mixing; this is fastest if neighbors are alike.
        entries: float32 ``[K, 3]``, K ≥ 1; they may lie in a plane, on a line, or on one place.

    Returns:
        float32 ``[N, 3]``; a point that lies in the hull, to 1e-4, stays the same.
    """
    exact = entries.astype(np.float64)
    parts = over_slices(lambda a, b: _project(points[a:b], exact), len(points), 4096)
    return np.concatenate(parts) if parts else points


@kernel
def _project(points: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """`project_to_hull`, with entries in float64."""
    out = points.copy()
    corral, size = np.zeros(4, np.int64), 1  # the last color's corral is a good start for the next one
    shares, wanted, matrix, off = np.zeros(4), np.zeros(4), np.empty((3, 3)), np.empty(3)
    for i in range(len(points)):
        shares[:size] = 1 / size
        for _ in range(_TURNS):
            # Find the corral's nearest point, and the way to it from the color.
            size = _walk(points[i], entries, corral, size, shares, wanted, matrix)
            square = here = 0.0
            for axis in range(3):
                off[axis] = -np.float64(points[i, axis])
                for m in range(size):
                    off[axis] += shares[m] * entries[corral[m], axis]
                square += off[axis] * off[axis]
                here += off[axis] * (off[axis] + points[i, axis])

            # It is the hull's nearest point if no entry lies beyond the plane through it that faces
            # the color.
            # Products with `off` are lengths times the distance, hence the square root.
            joins, least = _farthest(entries, off)
            is_last = here - least < 1e-2 * _INSIDE * np.sqrt(square) or (corral[:size] == joins).any()
            if square < _INSIDE**2 or size == len(corral) or is_last:
                break
            corral[size], shares[size] = joins, 0.0
            size += 1
        if square >= _INSIDE**2:
            for axis in range(3):
                out[i, axis] += off[axis]
    return out


@kernel
def _farthest(entries: np.ndarray, off: np.ndarray) -> tuple[int, float]:
    """The entry that lies farthest against the direction ``off``, and its product with it."""
    found, least = 0, np.inf
    for k in range(len(entries)):
        along = off[0] * entries[k, 0] + off[1] * entries[k, 1] + off[2] * entries[k, 2]
        if along < least:
            found, least = k, along
    return found, least


@kernel
def _walk(
    color: np.ndarray,
    entries: np.ndarray,
    corral: np.ndarray,
    size: int,
    shares: np.ndarray,
    wanted: np.ndarray,
    matrix: np.ndarray,
) -> int:
    """Walk to the corral's point nearest to a color, in place; returns the corral's size."""
    while True:
        _affine_shares(color, entries, corral, size, matrix, wanted)
        # Walk towards the wanted shares until the first one that becomes negative is zero.
        step, leaves = 1.0, -1
        for m in range(size):
            if wanted[m] < 0 and shares[m] < step * (shares[m] - wanted[m]):
                step, leaves = shares[m] / (shares[m] - wanted[m]), m
        for m in range(size):
            shares[m] += step * (wanted[m] - shares[m])
        if leaves < 0:
            return size
        # Its entry leaves the corral; the last one takes its place.
        size -= 1
        corral[leaves], shares[leaves] = corral[size], shares[size]


@kernel
def _affine_shares(
    color: np.ndarray, entries: np.ndarray, corral: np.ndarray, size: int, matrix: np.ndarray, shares: np.ndarray
) -> None:
    """Find the shares, even negative ones, by which a corral's entries come nearest to a color."""
    origin = entries[corral[0]]
    for i in range(1, size):
        shares[i] = 0.0
        for axis in range(3):
            shares[i] += (entries[corral[i], axis] - origin[axis]) * (color[axis] - origin[axis])
        for j in range(1, size):
            matrix[i - 1, j - 1] = _FLAT if i == j else 0.0
            for axis in range(3):
                matrix[i - 1, j - 1] += (entries[corral[i], axis] - origin[axis]) * (
                    entries[corral[j], axis] - origin[axis]
                )
    _solve(matrix, shares[1:], size - 1)
    shares[0] = 1 - shares[1:size].sum()


@kernel
def _solve(matrix: np.ndarray, right: np.ndarray, size: int) -> None:
    """Solve a positive definite system by elimination, in place; ``right`` becomes the answer."""
    for i in range(size):
        for j in range(i + 1, size):
            factor = matrix[j, i] / matrix[i, i]
            for n in range(i, size):
                matrix[j, n] -= factor * matrix[i, n]
            right[j] -= factor * right[i]
    for i in range(size - 1, -1, -1):
        for n in range(i + 1, size):
            right[i] -= matrix[i, n] * right[n]
        right[i] /= matrix[i, i]
