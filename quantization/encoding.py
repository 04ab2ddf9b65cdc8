"""From pixels to indices: the nearest entry of a palette, exactly, in slices of bounded size."""

import numpy as np
from numba import njit

from .errors import InputError, choose
from .histogram import OPAQUE_ALPHA
from .nearest import nearest, nearest_by_grid, nearest_grid
from .palette import Palette
from .spaces import SPACES
from .threads import over_slices

_FEW_DISTANCES = 1 << 20  # up to here, a grid over the palette doesn't pay


def opaque_entries(palette: Palette) -> np.ndarray:
    """Where the palette's visible entries stand, int64 ``[K']``.

    Raises:
        InputError: there is none.
    """
    entries = np.flatnonzero(palette.colors[:, 3] > 0)
    if len(entries) == 0:
        raise InputError("the palette's only entry is transparent, but the picture has opaque pixels")
    return entries


def on_white(image: np.ndarray, palette: Palette) -> np.ndarray:
    """The picture with its transparent pixels in opaque white if the palette has no transparent entry for them."""
    is_transparent = image[..., 3] < OPAQUE_ALPHA
    if palette.transparent is not None or not is_transparent.any():
        return image
    return np.where(is_transparent[..., None], np.uint8(255), image)


@njit(cache=True, nogil=True)
def _write(pixels: np.ndarray, labels: np.ndarray, entries: np.ndarray, transparent: int, out: np.ndarray) -> None:
    for i in range(len(pixels)):
        out[i] = entries[labels[i]] if pixels[i, 3] >= OPAQUE_ALPHA else transparent


def encode(image: np.ndarray, palette: Palette, space: str = "oklab") -> np.ndarray:
    """Map every pixel to the nearest entry, the first one on a tie; transparent pixels to the transparent entry.

    A transparent pixel is taken as white where the palette has no transparent entry.

    Args:
        image: sRGB RGBA, uint8 ``[H, W, 4]``.
        palette: where to look.
        space: a name in `SPACES`, where distances are measured.

    Returns:
        Indices, uint8 ``[H, W]``.

    Raises:
        InputError: the space is unknown, or opaque pixels meet a palette with no opaque entry.
    """
    from_bytes = choose("color space", space, SPACES).from_bytes
    pixels = np.ascontiguousarray(on_white(image, palette)).reshape(-1, 4)
    indices = np.full(len(pixels), palette.transparent or 0, np.uint8)
    if palette.transparent is not None and (pixels[:, 3] < OPAQUE_ALPHA).all():
        return indices.reshape(image.shape[:2])
    entries = opaque_entries(palette)
    centers = from_bytes(palette.colors[entries])
    grid = nearest_grid(centers) if len(pixels) * len(centers) > _FEW_DISTANCES else None

    def work(start: int, stop: int) -> None:
        part = pixels[start:stop]
        points = from_bytes(part)
        labels = nearest(points, centers)[0] if grid is None else nearest_by_grid(points, grid)
        _write(part, labels, entries, palette.transparent or 0, indices[start:stop])

    over_slices(work, len(pixels))
    return indices.reshape(image.shape[:2])
