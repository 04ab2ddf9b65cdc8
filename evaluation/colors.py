"""Do drawn images use the colors of their palettes as real images of the same palettes do?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.spaces import SPACES

from .bootstrap import Measured

TRANSPARENT_COST = 1.0
"""Between a transparent pixel and any color, which is as far as black is from white."""


class ColorFidelity(NamedTuple):
    """Means over images, or over palettes that both sets have images of."""

    drawn_entries_used: Measured
    """The share of its palette's entries that an image uses, 0 to 1."""
    reference_entries_used: Measured
    color_distance: Measured
    """How far a pixel must move in OKLab, on average, to turn the drawn colors of a palette into
    the reference's: 0 for the same proportions, 1 between black and white, or transparent and any
    color."""
    drawn_effective_entries: Measured
    """How many entries an image uses, rare ones counted less (`effective_entries`)."""
    reference_effective_entries: Measured
    drawn_equal_neighbors: Measured
    """How flat the colors are (`equal_neighbors`)."""
    reference_equal_neighbors: Measured


def color_fidelity(drawn: Sequence[IndexedImage], reference: Sequence[IndexedImage]) -> ColorFidelity:
    """Compare the colors of drawn images with those of reference images.

    Proportions are pooled over all images of one palette, then compared palette by palette. Where
    every palette has one picture, two good pictures of it still differ. So compare the distance
    with another model's, not with 0.

    Raises:
        InputError: a set is empty, or the two sets have no palette in common.
    """
    if not drawn or not reference:
        raise InputError("color fidelity needs at least one drawn and one reference image")
    drawn_pixels, reference_pixels = _pixels_of_entries(drawn), _pixels_of_entries(reference)
    shared = [palette for palette in drawn_pixels if palette in reference_pixels]
    if not shared:
        raise InputError("no drawn image has the palette of a reference image: draw in the reference images' palettes")
    distances = [color_distance(palette, drawn_pixels[palette], reference_pixels[palette]) for palette in shared]
    return ColorFidelity(
        *(_mean([entries_used(image) for image in side]) for side in (drawn, reference)),
        _mean(distances),
        *(_mean([effective_entries(image) for image in side]) for side in (drawn, reference)),
        *(_mean([equal_neighbors(image) for image in side]) for side in (drawn, reference)),
    )


def entries_used(image: IndexedImage) -> float:
    """The share of the palette's entries that at least one pixel holds."""
    return len(np.unique(image.indices)) / len(image.palette)


def effective_entries(image: IndexedImage) -> float:
    """The number of entries that, used equally often, would have the entropy of those of the image.

    It is 1 for an image of one color, and the number of entries if each holds as many pixels.
    """
    counts = np.bincount(image.indices.ravel())
    shares = counts[counts > 0] / image.indices.size
    return float(np.exp(-(shares * np.log(shares)).sum()))


def equal_neighbors(image: IndexedImage) -> float:
    """The share of pairs of pixels, side by side or one below the other, that hold one entry.

    It is 1 for an image of one color, and for a single pixel.
    """
    indices = image.indices
    equal = np.concatenate([(indices[1:] == indices[:-1]).ravel(), (indices[:, 1:] == indices[:, :-1]).ravel()])
    return float(equal.mean()) if equal.size else 1.0


def color_distance(palette: Palette, first: np.ndarray, second: np.ndarray) -> float:
    """The earth mover's distance of two ways to use a palette.

    Args:
        palette: K entries.
        first: pixels of each entry, int64 ``[K]``; not all 0.
        second: the same for the other side; its sum may differ.

    Returns:
        The mean distance in OKLab that pixels move.
    """
    colors = SPACES["oklab"].from_bytes(palette.colors[:, :3]).astype(np.float64)
    costs = np.linalg.norm(colors[:, None] - colors, axis=2)  # [K, K]
    opaque = palette.colors[:, 3] > 0
    costs[opaque[:, None] != opaque] = TRANSPARENT_COST
    # Distances obey the triangle inequality, so what both sides have in common stays where it is.
    surplus = first / first.sum() - second / second.sum()
    gives, takes = np.flatnonzero(surplus > 0), np.flatnonzero(surplus < 0)
    if len(gives) == 0:
        return 0.0
    return cheapest_transport(costs[np.ix_(gives, takes)], surplus[gives], -surplus[takes])


def cheapest_transport(costs: np.ndarray, supply: np.ndarray, demand: np.ndarray) -> float:
    """The least cost of moving all that is supplied to where it is demanded, by linear programming.

    Args:
        costs: of moving one unit from each of n sources to each of m sinks, float64 ``[n, m]``.
        supply: at each source, positive, ``[n]``.
        demand: at each sink, positive, ``[m]``; its sum is that of the supply.
    """
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    n, m = costs.shape
    leaves, arrives = kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))  # [n, n m], [m, n m]
    # The last sink's equation follows from the others. With it, rounding could leave no solution.
    equations = vstack([leaves, arrives]).tocsr()[:-1]
    plan = linprog(costs.ravel(), A_eq=equations, b_eq=np.concatenate([supply, demand])[:-1])
    return float(plan.fun)


def _pixels_of_entries(images: Sequence[IndexedImage]) -> dict[Palette, np.ndarray]:
    """How many pixels each entry has in all images of a palette together, int64 ``[K]``."""
    pixels: dict[Palette, np.ndarray] = {}
    for image in images:
        counts = np.bincount(image.indices.ravel(), minlength=len(image.palette))
        pixels[image.palette] = pixels.get(image.palette, 0) + counts
    return pixels


def _mean(values: list[float]) -> Measured:
    """The mean of independent values and its standard error, which is NaN for a single one."""
    stderr = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return Measured(float(np.mean(values)), float(stderr))
