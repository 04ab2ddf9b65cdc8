"""Dithering with any palette: error diffusion; ordered, by Bayer's matrices or blue noise."""

from collections.abc import Callable
from functools import partial

import numpy as np

from tincture.common.errors import InputError, choose

from ..encoding import encode, on_white, opaque_entries, soft_pixels
from ..histogram import OPAQUE_ALPHA, as_rgba
from ..palettes.palette import Palette
from .error_diffusion import KERNELS, diffuse
from .ordered import bayer, blue_noise, ordered

DITHER_SPACES = ("linear", "oklab")

Ditherer = Callable[[np.ndarray, np.ndarray, float, str], np.ndarray]
"""What dithers: from an image, uint8 ``[H, W, 4]``, the colors of entries, uint8 ``[K, 3]``,
a strength and a space to positions among the entries, uint8 ``[H, W]``. The positions of pixels
that aren't opaque have no meaning."""

DITHERERS: dict[str, Ditherer | None] = {
    "none": None,  # plain `encode`
    **{name: partial(diffuse, kernel) for name, kernel in KERNELS.items()},
    **{f"bayer{n}": partial(ordered, partial(bayer, n)) for n in (2, 4, 8, 16)},
    "blue-noise": partial(ordered, blue_noise),
}

_EXACT: dict[str, Ditherer] = {name: partial(diffuse, kernel, exact=True) for name, kernel in KERNELS.items()}


def dither(
    image: np.ndarray,
    palette: Palette,
    method: str,
    strength: float = 1.0,
    space: str = "linear",
    *,
    exact: bool = False,
    kept: np.ndarray | None = None,
) -> np.ndarray:
    """Map pixels to entries so that the mean over a few pixels is the picture's color.

    Only opaque pixels and entries are mixed. The others are encoded as by `encode`: dithered alpha
    would be a grain of holes.

    Args:
        image: sRGB, uint8 ``[H, W, 3]`` or ``[H, W, 4]``.
        palette: the colors to use.
        method: a name in `DITHERERS`; ``none`` is `encode` in OKLab.
        strength: 0 (the nearest entry) to 1 (in the mean, the exact color).
        space: where colors are mixed: ``linear`` light, as the eye does from afar, or ``oklab``.
        exact: whether error diffusion keeps the mean color as near to the picture's as the palette
            can mix. It should if the palette wasn't made for the picture: the hue drifts otherwise.
            If the palette was made for it, the result is calmer without. Ordered dithering never
            drifts.
        kept: entries that pixels have already, int16 ``[H, W]``, with -1 for the others. Error
            diffusion works around them.

    Returns:
        Indices, uint8 ``[H, W]``.

    Raises:
        InputError: a name is unknown, the strength is out of range, or as for `encode`.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"the strength of a dither is 0 to 1, not {strength}")
    choose("dither space", space, dict.fromkeys(DITHER_SPACES))
    ditherer = choose("dither", method, DITHERERS | _EXACT if exact else DITHERERS)
    image = on_white(as_rgba(image), palette)
    soft = soft_pixels(image, palette)
    opaque = (image[..., 3] >= OPAQUE_ALPHA) & ~soft
    if ditherer is None or strength == 0 or not opaque.any():
        return encode(image, palette)
    entries, rest = opaque_entries(palette), palette.transparent or 0
    if soft.any():
        rest, image = encode(image, palette), np.where(soft[..., None], np.uint8(0), image)
    around = {}
    if kept is not None and method in KERNELS:
        places = np.full(len(palette) + 1, -1, np.int16)  # the last one is where -1 leads
        places[entries] = np.arange(len(entries))
        around["kept"] = places[kept]
    positions = ditherer(image, palette.colors[entries, :3], strength, space, **around)
    return np.where(opaque, entries[positions], rest).astype(np.uint8)
