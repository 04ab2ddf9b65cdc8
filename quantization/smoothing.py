"""Smoothing an index map within its palette: against speckle left by noise, and bands' ragged edges."""

import numpy as np
from numba import njit

from tincture.common.errors import InputError


@njit(cache=True)
def _commonest(indices: np.ndarray, y: int, x: int, radius: int, skip: int, counts: np.ndarray) -> tuple[int, int]:
    """The index that occurs most often around a pixel, itself excluded, and how often; of several the pixel's own."""
    top, bottom = max(y - radius, 0), min(y + radius + 1, indices.shape[0])
    left, right = max(x - radius, 0), min(x + radius + 1, indices.shape[1])
    best, own = -1, indices[y, x]
    counts[:] = 0
    for i in range(top, bottom):
        for j in range(left, right):
            k = indices[i, j]
            if (i != y or j != x) and k != skip:
                counts[k] += 1
    for i in range(top, bottom):
        for j in range(left, right):
            k = indices[i, j]
            if counts[k] > 0 and (best < 0 or counts[k] > counts[best] or (counts[k] == counts[best] and k == own)):
                best = k
    return best, counts[best] if best >= 0 else 0


@njit(cache=True)
def _filter(indices: np.ndarray, radius: int, skip: int, only_isolated: bool) -> np.ndarray:
    out = indices.copy()
    counts = np.zeros(256, np.int32)
    for y in range(indices.shape[0]):
        for x in range(indices.shape[1]):
            if indices[y, x] == skip:
                continue
            best, _ = _commonest(indices, y, x, radius, skip, counts)
            own = counts[indices[y, x]]
            if best >= 0 and (own == 0 if only_isolated else counts[best] > own + 1):
                out[y, x] = best
    return out


def _check(indices: np.ndarray) -> np.ndarray:
    if indices.dtype != np.uint8 or indices.ndim != 2:
        raise InputError(f"an index map is uint8 [H, W], not {indices.dtype} {list(indices.shape)}")
    return np.ascontiguousarray(indices)


def remove_isolated(indices: np.ndarray, transparent: int | None = None) -> np.ndarray:
    """Give each pixel that none of its eight neighbors equals the commonest index among them.

    Args:
        indices: uint8 ``[H, W]``.
        transparent: an index that is neither changed nor spread.

    Returns:
        Indices, uint8 ``[H, W]``; a new array.

    Raises:
        InputError: the index map has another type or shape.
    """
    return _filter(_check(indices), 1, -1 if transparent is None else transparent, True)


def mode_filter(indices: np.ndarray, radius: int = 1, transparent: int | None = None) -> np.ndarray:
    """Give each pixel the commonest index in the square around it, where that has a clear majority over its own.

    Args:
        indices: uint8 ``[H, W]``.
        radius: of the square, in pixels, at least 1; its side is ``2 radius + 1``.
        transparent: an index that is neither changed nor spread.

    Returns:
        Indices, uint8 ``[H, W]``; a new array.

    Raises:
        InputError: the index map has another type or shape, or the radius is less than 1.
    """
    if radius < 1:
        raise InputError(f"the radius of a mode filter is at least 1 pixel, not {radius}")
    return _filter(_check(indices), radius, -1 if transparent is None else transparent, False)
