"""From pixels to indices: each color's nearest entry in a palette is looked up once."""

import numpy as np
from numba import njit

from tincture.common.errors import InputError, choose
from tincture.common.threads import over_slices

from .histogram import FEW_PIXELS, OPAQUE_ALPHA, color_key, empty_table, mark_colors, read_table
from .nearest import nearest
from .palettes.palette import Palette
from .spaces import SPACES


def opaque_entries(palette: Palette) -> np.ndarray:
    """Where the entries for opaque pixels stand, int64 ``[K']``: opaque ones, or else soft ones.

    The most opaque ones come first, those of one alpha in the palette's order. Of two entries
    of one color, the more opaque is taken: soft edges have the colors of what they surround.

    Raises:
        InputError: there is none.
    """
    alpha = palette.colors[:, 3]
    entries = np.flatnonzero(alpha >= OPAQUE_ALPHA)
    if len(entries) == 0:
        entries = np.flatnonzero(alpha > 0)
    if len(entries) == 0:
        raise InputError("the palette's only entry is transparent, but the picture has opaque pixels")
    return entries[np.argsort(255 - alpha[entries], kind="stable")]


def on_white(image: np.ndarray, palette: Palette) -> np.ndarray:
    """The picture, its transparent pixels in white if the palette has no entry for them."""
    is_transparent = image[..., 3] < OPAQUE_ALPHA
    if palette.transparent is not None or not is_transparent.any():
        return image
    return np.where(is_transparent[..., None], np.uint8(255), image)


@njit(cache=True, nogil=True)
def _write(pixels: np.ndarray, table: np.ndarray, transparent: int, out: np.ndarray) -> None:
    for i in range(len(pixels)):
        if pixels[i, 3] >= OPAQUE_ALPHA:
            out[i] = table[color_key(pixels[i, 0], pixels[i, 1], pixels[i, 2])]
        else:
            out[i] = transparent


def encode(image: np.ndarray, palette: Palette, space: str = "oklab") -> np.ndarray:
    """Give opaque pixels the nearest one of `opaque_entries`, the first on a tie.

    Transparent pixels get the transparent entry. If there is none, they are taken as white.

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
    if len(pixels) <= FEW_PIXELS:
        opaque = pixels[:, 3] >= OPAQUE_ALPHA
        indices[opaque] = entries[nearest(from_bytes(pixels[opaque]), centers)[0]]
        return indices.reshape(image.shape[:2])
    table, used = empty_table()
    over_slices(lambda start, stop: mark_colors(pixels[start:stop], table, used), len(pixels))
    keys, colors = read_table(table, used)
    table[keys] = entries[nearest(from_bytes(colors), centers)[0]]
    transparent = palette.transparent or 0
    over_slices(lambda start, stop: _write(pixels[start:stop], table, transparent, indices[start:stop]), len(pixels))
    return indices.reshape(image.shape[:2])
