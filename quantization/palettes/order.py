"""Reorder a palette or merge its near-duplicates; remapped indices keep the picture."""

from collections.abc import Callable

import numpy as np

from tincture.common.errors import InputError, choose

from ..pictures.indexed_image import IndexedImage
from ..spaces import LINEAR_OF_BYTE, SPACES
from .palette import Palette

GRAY_CHROMA = 0.02
"""Entries of less chroma in OKLab have no hue that the eye could name."""

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # of linear sRGB (ITU-R BT.709)


def luminance(colors: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sort keys of uint8 ``[K, 4]``: relative luminance, from dark to light."""
    return (LINEAR_OF_BYTE[colors[:, :3]] @ _LUMINANCE,)


def hue(colors: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sort keys of uint8 ``[K, 4]``: grays, then by hue in OKLab from red on; dark to light."""
    lightness, a, b = SPACES["oklab"].from_bytes(colors).T
    is_colored = np.hypot(a, b) >= GRAY_CHROMA
    return is_colored, np.where(is_colored, np.arctan2(b, a) % (2 * np.pi), 0), lightness


ORDERS: dict[str, Callable[[np.ndarray], tuple[np.ndarray, ...]]] = {"luminance": luminance, "hue": hue}
"""Name → the sort keys of a palette's colors, the most important first."""


def sorting(palette: Palette, order: str) -> np.ndarray:
    """Where each place of the sorted palette takes its entry from, int64 ``[K]``.

    The transparent entry comes first. Entries that tie keep their order.

    Raises:
        InputError: the order is not a name in `ORDERS`.
    """
    keys = choose("order", order, ORDERS)(palette.colors)
    return np.lexsort((*reversed(keys), palette.colors[:, 3] > 0))


def reorder(image: IndexedImage, positions: np.ndarray) -> IndexedImage:
    """Put entry ``positions[k]`` at place k and remap the indices: every pixel keeps its color.

    Args:
        image: an indexed image with K entries.
        positions: a permutation of 0 … K - 1, int64 ``[K]``.
    """
    places = np.argsort(positions).astype(np.uint8)  # where each old entry went
    return IndexedImage(places[image.indices], Palette(image.palette.colors[positions]))


def merge_near(palette: Palette, distance: float) -> tuple[Palette, np.ndarray]:
    """Merge each entry into the first one within ``distance`` of it that has the same alpha.

    Args:
        palette: the entries that stay keep their order and their exact colors.
        distance: in OKLab, where black and white are 1 apart; 0 merges exact duplicates only.

    Returns:
        The smaller palette, and for each old entry its new index, uint8 ``[K]``.

    Raises:
        InputError: the distance is negative.
    """
    if distance < 0:
        raise InputError(f"entries can't be merged within a distance of {distance}; 0 merges exact duplicates")
    oklab, alpha = SPACES["oklab"].from_bytes(palette.colors), palette.colors[:, 3]
    kept: list[int] = []
    new_index = np.zeros(len(palette), np.uint8)
    for k in range(len(palette)):
        gaps = np.linalg.norm(oklab[kept] - oklab[k], axis=1)
        near = np.flatnonzero((gaps <= distance) & (alpha[kept] == alpha[k]))
        new_index[k] = near[0] if len(near) else len(kept)
        if len(near) == 0:
            kept.append(k)
    return Palette(palette.colors[kept]), new_index
