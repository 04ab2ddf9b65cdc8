"""Luminance maps: how light each pixel is, without its color, as a gray picture says it.

A value is a lightness in OKLab, 0 to 1, or `TRANSPARENT`, or not a number where nothing is known.
"""

import torch
from torch import Tensor

from ..color import srgb_to_oklab
from .batch import PaletteBatch

TRANSPARENT = -1.0


def entry_luminance(palette: PaletteBatch) -> Tensor:
    """The luminance of each entry, float ``[B, K]``."""
    return palette.oklab()[..., 0].masked_fill(palette.colors[..., 3] == 0, TRANSPARENT)


def luminance_of_indices(indices: Tensor, palette: PaletteBatch) -> Tensor:
    """The luminance of index maps, int64 ``[B, H, W]`` → float ``[B, H, W]``."""
    return entry_luminance(palette).gather(1, indices.flatten(1)).view(indices.shape)


def luminance_of_pixels(rgba: Tensor) -> Tensor:
    """The luminance of pictures, uint8 ``[…, 4]`` → float ``[…]``; transparent below alpha 128."""
    return srgb_to_oklab(rgba[..., :3])[..., 0].masked_fill(rgba[..., 3] < 128, TRANSPARENT)


def round_to_levels(luminance: Tensor, levels: Tensor) -> Tensor:
    """Round lightness, ``[B, H, W]``, to even levels from 0 to 1; ``levels`` ``[B]`` counts them.

    Transparent and unknown pixels stay as they are.
    """
    steps = levels[:, None, None] - 1
    return torch.where(luminance >= 0, (luminance * steps).round() / steps, luminance)
