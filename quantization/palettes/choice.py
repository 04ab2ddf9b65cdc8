"""Which of several palettes fits pictures best."""

from collections.abc import Mapping, Sequence

import numpy as np

from tincture.common.errors import InputError

from ..encoding import encode
from ..fidelity import fidelity
from ..histogram import as_rgba
from .palette import MAX_ENTRIES, Palette

SAMPLE_PIXELS = 1 << 16
"""About so many visible pixels are compared, at most, evenly spread."""


def rank_palettes(
    images: Sequence[np.ndarray], palettes: Mapping[str, Palette], space: str = "oklab"
) -> list[tuple[str, float]]:
    """Sort palettes by the mean ΔE in OKLab of pictures drawn with them, the best first.

    Args:
        images: sRGB, uint8 ``[H, W, 3]`` or ``[H, W, 4]`` each; transparent pixels play no part.
        palettes: name → palette. Each gets a transparent entry, if it has a place for one.
        space: where the nearest entries are looked for.

    Returns:
        Names and errors; palettes that tie keep their order.

    Raises:
        InputError: there is no palette, or one has no opaque entry.
    """
    if not palettes:
        raise InputError("there is no palette to choose from")
    pixels = np.concatenate([image[image[..., 3] > 0] for image in map(as_rgba, images)])
    sample = pixels[:: max(len(pixels) // SAMPLE_PIXELS, 1)][None]
    errors = {}
    for name, palette in palettes.items():
        if (palette.colors[:, 3] == 0).all():
            raise InputError(f"the palette {name} has no opaque entry")
        if sample.size:
            drawn_in = palette if len(palette) == MAX_ENTRIES else palette.with_transparency()
            errors[name] = fidelity([sample], [encode(sample, drawn_in, space)], drawn_in).delta_e
        else:
            errors[name] = 0.0
    return sorted(errors.items(), key=lambda item: item[1])
