"""Luminance maps: how light each pixel is, without its color. They tell a denoiser, or a logit bias, what a grey image knows."""

import torch
from torch import Tensor

from ..color import srgb_to_oklab
from .batch import PaletteBatch

TRANSPARENT = -1.0
"""A transparent pixel's luminance. Where nothing is known, a luminance map is not a number; elsewhere it is OKLab lightness, 0 to 1."""


def entry_luminance(palette: PaletteBatch) -> Tensor:
    """Of each entry, float ``[B, K]``."""
    return palette.oklab()[..., 0].masked_fill(palette.colors[..., 3] == 0, TRANSPARENT)


def luminance_of_indices(indices: Tensor, palette: PaletteBatch) -> Tensor:
    """Of index maps, int64 ``[B, H, W]`` → float ``[B, H, W]``."""
    return entry_luminance(palette).gather(1, indices.flatten(1)).view(indices.shape)


def luminance_of_pixels(rgba: Tensor) -> Tensor:
    """Of pictures, uint8 ``[…, 4]`` → float ``[…]``; below an alpha of 128 a pixel is transparent."""
    return srgb_to_oklab(rgba[..., :3])[..., 0].masked_fill(rgba[..., 3] < 128, TRANSPARENT)


def round_to_levels(luminance: Tensor, levels: Tensor) -> Tensor:
    """Round lightness to as many even levels from 0 to 1 as ``levels``, ``[B]``, says for each map; ``[B, H, W]``.

    Transparent and unknown pixels stay as they are.
    """
    steps = levels[:, None, None] - 1
    return torch.where(luminance >= 0, (luminance * steps).round() / steps, luminance)
