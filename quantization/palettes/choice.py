"""Which of several palettes fits pictures best."""

from collections.abc import Mapping, Sequence

import numpy as np

from tincture.common.errors import InputError

from ..encoding import encode
from ..fidelity import fidelity
from ..histogram import OPAQUE_ALPHA
from .palette import Palette

SAMPLE_PIXELS = 1 << 16
"""About so many opaque pixels are compared, at most, evenly spread."""


def rank_palettes(
    images: Sequence[np.ndarray], palettes: Mapping[str, Palette], space: str = "oklab"
) -> list[tuple[str, float]]:
    """Sort palettes by the mean ΔE in OKLab of pictures drawn with them, the best first.

    Args:
        images: sRGB RGBA, uint8 ``[H, W, 4]`` each.
        palettes: name → palette; transparent entries play no part.
        space: where the nearest entries are looked for.

    Returns:
        Names and errors; palettes that tie keep their order.

    Raises:
        InputError: there is no palette, or one has no opaque entry.
    """
    if not palettes:
        raise InputError("there is no palette to choose from")
    pixels = np.concatenate([image[image[..., 3] >= OPAQUE_ALPHA] for image in images])
    sample = pixels[:: max(len(pixels) // SAMPLE_PIXELS, 1)][None]
    errors = {}
    for name, palette in palettes.items():
        if (palette.colors[:, 3] == 0).all():
            raise InputError(f"the palette {name} has no opaque entry")
        indices = encode(sample, palette, space) if sample.size else np.zeros((1, 0), np.uint8)
        errors[name] = fidelity([sample], [indices], palette).delta_e or 0.0
    return sorted(errors.items(), key=lambda item: item[1])
