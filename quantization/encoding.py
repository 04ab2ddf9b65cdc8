"""From pixels to indices: each color's nearest entry in a palette is looked up once.

What alpha does:

- A pixel that is an entry, alpha included, takes it.
- In a palette of alphas 0 and 255 alone, a pixel is opaque from alpha 128 on, or else transparent.
- In one with soft entries, opaque pixels take opaque entries, and those between take the entry that
  looks most like them on black and on white together (`alpha_coordinates`).
- Transparent pixels take the transparent entry. Where there is none, they are white, like paper.
"""

import numpy as np

from tincture.common.errors import InputError, choose
from tincture.common.kernels import is_compiled, kernel
from tincture.common.threads import over_slices

from .histogram import FEW_PIXELS, OPAQUE_ALPHA, as_rgba, color_key, color_keys, distinct_colors
from .metric import nearest_entries
from .nearest import nearest_in_any_space
from .palettes.palette import Palette
from .spaces import SPACES, alpha_coordinates


def opaque_entries(palette: Palette) -> np.ndarray:
    """Where the entries for opaque pixels stand, int64 ``[K']``.

    These are the opaque ones. If there are none, those of alpha 128 or more, or else all that
    aren't transparent. The most opaque come first, those of one alpha in the palette's order.

    Raises:
        InputError: there is none.
    """
    alpha = palette.colors[:, 3]
    for least in (255, OPAQUE_ALPHA, 1):
        if (alpha >= least).any():
            entries = np.flatnonzero(alpha >= least)
            return entries[np.argsort(255 - alpha[entries], kind="stable")]
    raise InputError("the palette's only entry is transparent, but the picture has opaque pixels")


def on_white(image: np.ndarray, palette: Palette) -> np.ndarray:
    """The picture, its transparent pixels in white if the palette has no entry for them."""
    is_transparent = image[..., 3] < (1 if palette.is_soft else OPAQUE_ALPHA)
    if palette.transparent is not None or not is_transparent.any():
        return image
    return np.where(is_transparent[..., None], np.uint8(255), image)


def soft_pixels(image: np.ndarray, palette: Palette) -> np.ndarray:
    """Which pixels are neither opaque nor transparent in this palette, bool ``[H, W]``."""
    alpha = image[..., 3]
    return (alpha > 0) & (alpha < 255) if palette.is_soft else np.zeros(alpha.shape, np.bool_)


def _nearest_soft(pixels: np.ndarray, palette: Palette, space: str) -> np.ndarray:
    """The entries, ``[N]``, that look most like pixels, uint8 ``[N, 4]``, on black and on white."""
    distinct, place = np.unique(np.ascontiguousarray(pixels).view(np.uint32), return_inverse=True)
    points, entries = (
        alpha_coordinates(colors, SPACES[space]) for colors in (distinct[:, None].view(np.uint8), palette.colors)
    )
    return nearest_in_any_space(points, entries)[0][place.ravel()]


def differs(image: np.ndarray, indices: np.ndarray, palette: Palette) -> np.ndarray:
    """Which pixels aren't shown exactly, bool ``[H, W]``; what is transparent has no color."""
    shown = palette.colors[indices]
    return (shown != image).any(axis=-1) & ((shown[..., 3] > 0) | (image[..., 3] > 0))


@kernel
def _write(pixels: np.ndarray, table: np.ndarray, transparent: int, out: np.ndarray) -> None:
    for i in range(len(pixels)):
        if pixels[i, 3] >= OPAQUE_ALPHA:
            out[i] = table[color_key(pixels[i, 0], pixels[i, 1], pixels[i, 2])]
        else:
            out[i] = transparent


def encode(image: np.ndarray, palette: Palette, space: str = "oklab") -> np.ndarray:
    """Give each pixel its entry, by `nearest_entries`; this module says what alpha does.

    Args:
        image: sRGB, uint8 ``[H, W, 3]`` or ``[H, W, 4]``.
        palette: where to look.
        space: a name in `SPACES`, where distances are measured.

    Returns:
        Indices, uint8 ``[H, W]``.

    Raises:
        InputError: the space is unknown, the image is none, or opaque pixels meet a palette of
            which the only entry is transparent.
    """
    choose("color space", space, SPACES)
    image = as_rgba(image)
    soft = soft_pixels(image, palette)
    if soft.any():
        indices = encode(np.where(soft[..., None], np.uint8(0), image), palette, space)
        indices[soft] = _nearest_soft(image[soft], palette, space)
        return indices
    image = on_white(image, palette)
    pixels = np.ascontiguousarray(image).reshape(-1, 4)
    indices = np.full(len(pixels), palette.transparent or 0, np.uint8)
    if palette.transparent is not None and (pixels[:, 3] < OPAQUE_ALPHA).all():
        return indices.reshape(image.shape[:2])
    entries = opaque_entries(palette)
    colors = palette.colors[entries]
    if len(pixels) <= FEW_PIXELS:
        opaque = pixels[:, 3] >= OPAQUE_ALPHA
        indices[opaque] = entries[nearest_entries(pixels[opaque], colors, space)]
        return indices.reshape(image.shape[:2])
    keys, distinct = distinct_colors(image)
    table, transparent = np.zeros(1 << 24, np.uint8), palette.transparent or 0
    table[keys] = entries[nearest_entries(distinct, colors, space)]
    if is_compiled():
        over_slices(lambda a, b: _write(pixels[a:b], table, transparent, indices[a:b]), len(pixels))
    else:
        indices = np.where(pixels[:, 3] >= OPAQUE_ALPHA, table.take(color_keys(image)), np.uint8(transparent))
    return indices.reshape(image.shape[:2])
