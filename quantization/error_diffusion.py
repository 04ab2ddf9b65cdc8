"""Error diffusion (Floyd and Steinberg 1976): a pixel's error is handed on to neighbors that come later.

Rows are scanned in alternating directions. The entry is the nearest in OKLab; errors add up in the space of mixing.
"""

from fractions import Fraction

import numpy as np
from numba import njit

from .nearest import candidates
from .spaces import LINEAR_OF_BYTE, SPACES, linear_to_oklab_pixel

Kernel = tuple[tuple[int, int, Fraction], ...]
"""(rows down, columns ahead, share of the error), for each neighbor."""


def _kernel(divisor: int, *rows: str) -> Kernel:
    """Read a kernel as it is printed: ``X`` is the pixel itself, numbers are shares of ``divisor``, dots are none."""
    middle = rows[0].split().index("X")
    return tuple(
        (down, column - middle, Fraction(int(share), divisor))
        for down, row in enumerate(rows)
        for column, share in enumerate(row.split())
        if share not in ".X"
    )


KERNELS: dict[str, Kernel] = {
    "floyd-steinberg": _kernel(16, ". X 7", "3 5 1"),
    "jarvis-judice-ninke": _kernel(48, ". . X 7 5", "3 5 7 5 3", "1 3 5 3 1"),
    "stucki": _kernel(42, ". . X 8 4", "2 4 8 4 2", "1 2 4 2 1"),
    "atkinson": _kernel(8, ". X 1 1", "1 1 1 .", ". 1 . ."),
    "burkes": _kernel(32, ". . X 8 4", "2 4 8 4 2"),
    "sierra": _kernel(32, ". . X 5 3", "2 4 5 4 2", ". 2 3 2 ."),
}

_MARGIN = 0.05
"""How far beyond the entries' range, as a share of it, a color with its errors may lie."""
_REACH = 1.25
"""The longest error that is handed on, in distances from the entry to its nearest neighbor among the entries."""

_CELLS = 32  # along each side of the grid over OKLab in which the search for the nearest entry is kept
_A_LOW = np.float32(-0.5)  # the grid's corner: lightness from 0 to 1, a and b from -½ to ½


@njit(cache=True, nogil=True)
def _nearest(
    point: tuple[np.float32, np.float32, np.float32], centers: np.ndarray, counts: np.ndarray, lists: np.ndarray
) -> int:
    """The center nearest to a point of the grid; the list of its cell is made when it is first needed."""
    i = min(max(int(point[0] * _CELLS), 0), _CELLS - 1)
    j = min(max(int((point[1] - _A_LOW) * _CELLS), 0), _CELLS - 1)
    k = min(max(int((point[2] - _A_LOW) * _CELLS), 0), _CELLS - 1)
    cell = (i * _CELLS + j) * _CELLS + k
    if counts[cell] < 0:
        box = np.empty((2, 3), np.float32)
        margin = np.float32(1e-3) / _CELLS
        box[0, 0], box[0, 1], box[0, 2] = i / _CELLS, j / _CELLS + _A_LOW, k / _CELLS + _A_LOW
        box[1] = box[0] + np.float32(1 / _CELLS)
        box[0] -= margin
        box[1] += margin
        scratch, found = np.empty((2, len(centers)), np.float32), np.empty(len(centers) + 1, np.int32)
        counts[cell] = candidates(box, np.ascontiguousarray(centers.T), len(centers), scratch, found)
        lists[cell, : counts[cell]] = found[: counts[cell]]
    best, distance = 0, np.float32(np.inf)
    for n in range(counts[cell]):
        c = lists[cell, n]
        d0, d1, d2 = point[0] - centers[c, 0], point[1] - centers[c, 1], point[2] - centers[c, 2]
        d = d0 * d0 + d1 * d1 + d2 * d2
        if d < distance:
            best, distance = c, d
    return best


@njit(cache=True, nogil=True)
def _diffuse(
    opaque: np.ndarray,
    values: np.ndarray,
    entries: np.ndarray,
    centers: np.ndarray,
    limits: np.ndarray,
    is_linear: bool,
    offsets: np.ndarray,
    shares: np.ndarray,
    lists: np.ndarray,
    longest: np.ndarray,
) -> np.ndarray:
    """The scan.

    Args:
        opaque: which pixels take part, bool ``[H, W]``.
        values: the pixels in the space of mixing, float32 ``[H, W, 3]``.
        entries: the entries in the space of mixing, float32 ``[K, 3]``.
        centers: the entries in OKLab, float32 ``[K, 3]``.
        limits: the lowest and highest coordinates that a pixel with its errors may have, float32 ``[2, 3]``.
        is_linear: whether the space of mixing is linear light; else it is OKLab.
        offsets: the kernel's neighbors, rows down and columns ahead, ``[N, 2]``.
        shares: the kernel's shares, float32 ``[N]``.
        lists: scratch, uint8 ``[cells, K]``.
        longest: the square of the longest error that each entry hands on, float32 ``[K]``.

    Returns:
        Positions among the entries, uint8 ``[H, W]``.
    """
    height, width = opaque.shape
    out = np.zeros((height, width), np.uint8)
    counts = np.full(_CELLS**3, -1, np.int32)
    errors = np.zeros((3, width + 4, 3), np.float32)  # this row's and the next two's, two columns wider on each side
    value, zero, one = np.empty(3, np.float32), np.float32(0), np.float32(1)
    for y in range(height):
        ahead = 1 if y % 2 == 0 else -1
        for step in range(width):
            x = step if ahead == 1 else width - 1 - step
            if not opaque[y, x]:
                continue
            for axis in range(3):
                v = values[y, x, axis] + errors[y % 3, x + 2, axis]
                value[axis] = min(max(v, limits[0, axis]), limits[1, axis])
            if is_linear:
                point = linear_to_oklab_pixel(
                    min(max(value[0], zero), one), min(max(value[1], zero), one), min(max(value[2], zero), one)
                )
            else:
                point = (value[0], value[1], value[2])
            best = _nearest(point, centers, counts, lists)
            out[y, x] = best
            size = np.float32(0)
            for axis in range(3):
                value[axis] -= entries[best, axis]
                size += value[axis] * value[axis]
            if size > longest[best]:
                value *= np.sqrt(longest[best] / size)
            for n in range(len(shares)):
                for axis in range(3):
                    error = value[axis] * shares[n]
                    errors[(y + offsets[n, 0]) % 3, x + 2 + ahead * offsets[n, 1], axis] += error
        errors[y % 3] = 0
    return out


def diffuse(
    kernel: Kernel, pixels: np.ndarray, opaque: np.ndarray, colors: np.ndarray, strength: float, space: str
) -> np.ndarray:
    """Dither by error diffusion; arguments after the kernel, and the result, as for `dithering.Dither`."""
    is_linear = space == "linear"
    centers = SPACES["oklab"].from_bytes(colors)
    if is_linear:
        values, entries = LINEAR_OF_BYTE[pixels], LINEAR_OF_BYTE[colors]
    else:
        values = SPACES["oklab"].from_bytes(np.ascontiguousarray(pixels).reshape(-1, 3)).reshape(pixels.shape)
        entries = centers
    # A color that the palette can't mix would pile up errors for ever and smear them over what follows: two limits.
    low, high = entries.min(axis=0), entries.max(axis=0)
    margin = _MARGIN * (high - low).max()
    limits = np.stack([low - margin, high + margin]).astype(np.float32)
    offsets = np.array([(down, right) for down, right, _ in kernel])
    shares = np.array([float(share) * strength for _, _, share in kernel], np.float32)
    apart = ((entries[:, None] - entries) ** 2).sum(-1)
    np.fill_diagonal(apart, np.inf)
    longest = (_REACH**2 * apart.min(axis=1)).astype(np.float32)
    lists = np.empty((_CELLS**3, len(colors)), np.uint8)
    return _diffuse(opaque, values, entries, centers, limits, is_linear, offsets, shares, lists, longest)
