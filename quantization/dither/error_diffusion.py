"""Error diffusion (Floyd and Steinberg 1976): a pixel's error is passed on to later neighbors.

Rows are scanned in alternating directions. Errors add up in the space of mixing. Where that is
linear light, the nearest entry is still looked for in sRGB. Steps of sRGB look about alike, while
those of OKLab grow so steep near black that dark flat areas would fill with colored grain. Hue
counts more in coarse palettes (metric.py), or grays would be made of orange and blue.

A color that the palette can't mix would pile up errors without end and smear them over what
follows. There are two ways out:

- calm: an error that is longer than the entries are apart is cut. The mean is off by what is cut.
- exact: each color first moves to the nearest one that the palette can mix, its projection on the
  entries' hull. No error is cut. They stay bounded if each step takes the entry nearest *in the
  space of mixing* (Adler et al. 2005, "Error bounds for error diffusion and related greedy
  algorithms"), so that space chooses as soon as errors get long.
"""

import numpy as np

from tincture.common.kernels import kernel

from ..histogram import OPAQUE_ALPHA
from ..metric import hue_weight, stretch_hue
from ..nearest import candidates, nearest_of
from ..spaces import SPACES, linear_to_srgb_value, mixing_coordinates
from .hull import mixable

Kernel = tuple[tuple[int, int, float], ...]
"""(rows down, columns ahead, share of the error), for each neighbor."""


def _kernel(divisor: int, *rows: str) -> Kernel:
    """Read a kernel as papers print it: ``X`` is the pixel, a number a neighbor's share."""
    middle = rows[0].split().index("X")
    return tuple(
        (down, column - middle, int(share) / divisor)
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
"""Calm: how far beyond the entries' range, as a share of it, a color with its errors may lie."""
_REACH = 1.25
"""Calm: the longest error that is passed on, in distances to the entry's nearest neighbor."""
_LONG = 0.2
"""Exact: the error from which on the space of mixing chooses, in diagonals of the entries' box."""

_CELLS = 32
"""Cells along each side of the grid that remembers which entries may be the nearest."""


def diffuse(
    kernel: Kernel,
    image: np.ndarray,
    colors: np.ndarray,
    strength: float,
    space: str,
    *,
    exact: bool = False,
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Dither by error diffusion.

    Arguments and result are those of a `Ditherer`, but for ``kernel``, ``exact``, and ``kept``: the
    positions of pixels that are chosen already, int16 ``[H, W]``, with -1 for the others. Their
    errors are passed on, too.
    """
    is_linear = space == "linear"
    entries, choosing = mixing_coordinates(colors, space), "srgb" if is_linear else space
    # Hue counts more in both spaces, so that grays are made of grays. Both have the same gray axis.
    weight = max(hue_weight(colors, each) for each in ({choosing, space} if exact else {choosing}))
    stretch = stretch_hue(np.eye(3, dtype=np.float32), weight, choosing)
    targets, centers = entries @ stretch, SPACES[choosing].from_bytes(colors) @ stretch
    low, high = entries.min(axis=0), entries.max(axis=0)
    if exact:
        values = mixable(image, colors, space)
        limits = np.array([[-np.inf] * 3, [np.inf] * 3], np.float32)
        longest = np.full(len(entries), np.inf, np.float32)
        long = _LONG**2 * float(((high - low) ** 2).sum())
    else:
        values = mixing_coordinates(image[..., :3], space)
        margin = _MARGIN * (high - low).max()
        limits = np.stack([low - margin, high + margin]).astype(np.float32)
        apart = ((targets[:, None] - targets) ** 2).sum(-1)  # [K, K]
        # Entries of one color are no neighbors: a distance of 0 would cut every error.
        longest = _REACH**2 * np.where(apart > 0, apart, np.inf).min(axis=1).astype(np.float32)
        long = np.inf
    cube = np.indices((2, 2, 2), np.float32).reshape(3, 8).T - np.float32([0, 0, 0] if is_linear else [0, 0.5, 0.5])
    low, high = (cube @ stretch).min(axis=0), (cube @ stretch).max(axis=0)
    grid = np.stack([low, _CELLS / (high - low)])
    offsets = np.array([(down, ahead) for down, ahead, _ in kernel])
    shares = np.array([share * strength for _, _, share in kernel], np.float32)
    lists = np.empty((_CELLS**3, len(colors)), np.uint8)
    opaque = image[..., 3] >= OPAQUE_ALPHA
    if kept is None:
        kept = np.full(opaque.shape, -1, np.int16)
    return _diffuse(
        opaque,
        kept,
        values,
        entries,
        targets,
        centers,
        stretch,
        grid,
        limits,
        is_linear,
        offsets,
        shares,
        lists,
        longest,
        long,
    )


@kernel
def _diffuse(
    opaque: np.ndarray,  # which pixels take part, [H, W]
    kept: np.ndarray,  # the entries of pixels that are chosen already, -1 for the others, [H, W]
    values: np.ndarray,  # the pixels in the space of mixing, [H, W, 3]
    entries: np.ndarray,  # the entries in the space of mixing, [K, 3]
    targets: np.ndarray,  # the entries in the space of mixing, with hue stretched, [K, 3]
    centers: np.ndarray,  # the entries in the space of choosing, with hue stretched, [K, 3]
    stretch: np.ndarray,  # what stretches hue in both, [3, 3]
    grid: np.ndarray,  # over the space of choosing: the lowest corner, and cells per unit, [2, 3]
    limits: np.ndarray,  # the lowest and highest coordinates of a pixel with its errors, [2, 3]
    is_linear: bool,  # whether entries mix in light and are chosen in sRGB; else the spaces are the same
    offsets: np.ndarray,  # of the kernel's neighbors, rows down and columns ahead, [N, 2]
    shares: np.ndarray,  # of the kernel's neighbors, [N]
    lists: np.ndarray,  # scratch for the candidates of each cell, [cells, K]
    longest: np.ndarray,  # the square of the longest error that each entry passes on, [K]
    long: float,  # the square of the error from which on the space of mixing chooses
) -> np.ndarray:
    """Scan the picture, choose each pixel's entry, uint8 ``[H, W]``, and pass its error on."""
    height, width = opaque.shape
    out = np.zeros((height, width), np.uint8)
    counts = np.full(_CELLS**3, -1, np.int32)
    everyone = np.arange(len(entries))
    # Errors of this row and the next two. Two more columns on each side are room for all neighbors.
    errors = np.zeros((3, width + 4, 3), np.float32)
    value = np.empty(3, np.float32)
    for y in range(height):
        # Every other row runs backward, so that errors don't all drift to the right.
        ahead = 1 if y % 2 == 0 else -1
        for step in range(width):
            x = step if ahead == 1 else width - 1 - step
            if not opaque[y, x]:
                continue

            # What the pixel should be: its own color and the errors that arrived.
            size = np.float32(0)
            for axis in range(3):
                error = errors[y % 3, x + 2, axis]
                size += error * error
                value[axis] = min(max(values[y, x, axis] + error, limits[0, axis]), limits[1, axis])

            # What it becomes: the nearest entry, unless it is chosen already.
            if kept[y, x] >= 0:
                best = np.int64(kept[y, x])
            elif size > long:
                p = _times((value[0], value[1], value[2]), stretch)
                best = nearest_of(p[0], p[1], p[2], targets, everyone)
            else:
                point = (value[0], value[1], value[2])
                if is_linear:
                    point = (
                        linear_to_srgb_value(value[0]),
                        linear_to_srgb_value(value[1]),
                        linear_to_srgb_value(value[2]),
                    )
                best = _nearest(_times(point, stretch), grid, centers, counts, lists)
            out[y, x] = best

            # The error that is left, cut where it is too long for its entry.
            size = np.float32(0)
            for axis in range(3):
                value[axis] -= entries[best, axis]
                size += value[axis] * value[axis]
            if size > longest[best]:
                value *= np.sqrt(longest[best] / size)

            # Pass it on.
            for n in range(len(shares)):
                for axis in range(3):
                    error = value[axis] * shares[n]
                    errors[(y + offsets[n, 0]) % 3, x + 2 + ahead * offsets[n, 1], axis] += error
        errors[y % 3] = 0  # now the place of row y + 3
    return out


@kernel(inline="always")
def _times(
    point: tuple[np.float32, np.float32, np.float32], matrix: np.ndarray
) -> tuple[np.float32, np.float32, np.float32]:
    """A point times a symmetric matrix."""
    x, y, z = point
    return (
        matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z,
        matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z,
        matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z,
    )


@kernel
def _nearest(
    point: tuple[np.float32, np.float32, np.float32],
    grid: np.ndarray,
    centers: np.ndarray,
    counts: np.ndarray,
    lists: np.ndarray,
) -> int:
    """The center nearest to a point of the grid; a cell lists its candidates at its first use."""
    i = min(max(int((point[0] - grid[0, 0]) * grid[1, 0]), 0), _CELLS - 1)
    j = min(max(int((point[1] - grid[0, 1]) * grid[1, 1]), 0), _CELLS - 1)
    k = min(max(int((point[2] - grid[0, 2]) * grid[1, 2]), 0), _CELLS - 1)
    cell = (i * _CELLS + j) * _CELLS + k
    if counts[cell] < 0:
        box = np.empty((2, 3), np.float32)
        margin = np.float32(1e-3)
        box[0, 0], box[0, 1], box[0, 2] = i - margin, j - margin, k - margin
        box[1] = box[0] + (1 + 2 * margin)
        box = grid[0] + box / grid[1]
        scratch, found = np.empty((2, len(centers)), np.float32), np.empty(len(centers) + 1, np.int32)
        counts[cell] = candidates(box, np.ascontiguousarray(centers.T), len(centers), scratch, found)
        lists[cell, : counts[cell]] = found[: counts[cell]]
    return nearest_of(point[0], point[1], point[2], centers, lists[cell, : counts[cell]])
