"""Dithering with any palette: error diffusion, and ordered dithering with Bayer's matrices or blue noise."""

from collections.abc import Callable
from functools import partial

import numpy as np

from tincture.common.errors import InputError, choose

from ..encoding import encode, on_white, opaque_entries
from ..histogram import OPAQUE_ALPHA
from ..palettes.palette import Palette
from .error_diffusion import KERNELS, diffuse
from .ordered import ordered
from .thresholds import bayer, blue_noise

DITHER_SPACES = ("linear", "oklab")

Dither = Callable[[np.ndarray, np.ndarray, np.ndarray, float, str], np.ndarray]
"""(pixels uint8 [H, W, 3], opaque bool [H, W], `opaque_entries` uint8 [K, 3], strength, space) → positions among the
entries, uint8 [H, W]; what stands at pixels that aren't opaque has no meaning."""

DITHERERS: dict[str, Dither | None] = {
    "none": None,  # plain `encode`
    **{name: partial(diffuse, kernel) for name, kernel in KERNELS.items()},
    **{f"bayer{n}": partial(ordered, partial(bayer, n)) for n in (2, 4, 8, 16)},
    "blue-noise": partial(ordered, blue_noise),
}

_EXACT: dict[str, Dither] = {name: partial(diffuse, kernel, exact=True) for name, kernel in KERNELS.items()}


def dither(
    image: np.ndarray,
    palette: Palette,
    method: str,
    strength: float = 1.0,
    space: str = "linear",
    *,
    exact: bool = False,
) -> np.ndarray:
    """Map pixels to entries so that the mean over a few pixels is the picture's color.

    A transparent pixel goes to the transparent entry and takes no part; where there is none, it is taken as white.

    Args:
        image: sRGB RGBA, uint8 ``[H, W, 4]``.
        palette: the colors to use.
        method: a name in `DITHERERS`; ``none`` is `encode` in OKLab.
        strength: 0 (the nearest entry) to 1 (in the mean, the exact color).
        space: where colors are mixed: ``linear`` light, as the eye does from afar, or ``oklab``.
        exact: whether error diffusion keeps the mean color as near to the picture's as the palette can mix. Right for
            a palette that wasn't made for the picture, whose hue drifts else; for one that was, the other way is
            calmer. Ordered dithering drifts in neither case.

    Returns:
        Indices, uint8 ``[H, W]``.

    Raises:
        InputError: a name is unknown, the strength is out of range, or the palette has no opaque entry for opaque
            pixels.
    """
    if not 0 <= strength <= 1:
        raise InputError(f"the strength of a dither is 0 to 1, not {strength}")
    choose("dither space", space, dict.fromkeys(DITHER_SPACES))
    ditherer = choose("dither", method, DITHERERS | _EXACT if exact else DITHERERS)
    image = on_white(image, palette)
    opaque = image[..., 3] >= OPAQUE_ALPHA
    if ditherer is None or strength == 0 or not opaque.any():
        return encode(image, palette)
    entries = opaque_entries(palette)
    labels = ditherer(image[..., :3], opaque, palette.colors[entries, :3], strength, space)
    return np.where(opaque, entries[labels], palette.transparent or 0).astype(np.uint8)
