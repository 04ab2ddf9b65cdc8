"""Augmentation: other pictures that might as well have been in the data set. Randomness comes from torch's global generator."""

import math

import torch
from torch import Tensor

from tincture.quantization.color import oklab_to_srgb
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.luminance import luminance_of_indices, round_to_levels

from .index_maps import Batch

JITTER_CHROMA, JITTER_LIGHTNESS = 0.3, 0.1
"""Spread of the factor on chroma (of its logarithm) and of the shift of lightness at jitter 1, in OKLab."""


def mirror(x_0: Tensor, probability: float) -> tuple[Tensor, Tensor]:
    """Turn each index map, ``[B, H, W]``, left to right with ``probability``; also says which, bool ``[B]``."""
    turned = torch.rand(len(x_0), 1, 1) < probability
    return torch.where(turned, x_0.flip(2), x_0), turned.flatten()


def shift(x_0: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """Move each index map, ``[B, H, W]``, by up to ``most`` pixels in both directions; the border's pixels are repeated.

    Also says how far down and to the right, int64 ``[B, 2]``.
    """
    batch, height, width = x_0.shape
    begins = torch.randint(-most, most + 1, (2, batch, 1))
    rows = (torch.arange(height) + begins[0]).clamp(0, height - 1)
    columns = (torch.arange(width) + begins[1]).clamp(0, width - 1)
    moved = x_0[torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved, -begins[..., 0].T


def jitter(palette: PaletteBatch, strength: float) -> PaletteBatch:
    """Change all colors of a palette together, in OKLab: one turn of the hue, one factor on chroma, one shift of lightness.

    At a strength of 1 hues turn by any angle; transparent entries stay as they are.
    """
    lab = palette.oklab()
    count = len(lab)
    angle = strength * math.pi * (2 * torch.rand(count, 1) - 1)
    factor = (strength * JITTER_CHROMA * torch.randn(count, 1)).exp()
    lightness = lab[..., 0] + strength * JITTER_LIGHTNESS * torch.randn(count, 1)
    a, b = lab[..., 1], lab[..., 2]
    turned = [factor * (a * angle.cos() - b * angle.sin()), factor * (a * angle.sin() + b * angle.cos())]
    srgb = oklab_to_srgb(torch.stack([lightness.clamp(0, 1), *turned], dim=-1))
    colors = torch.cat([(255 * srgb).round().to(torch.uint8), palette.colors[..., 3:]], dim=-1)
    return PaletteBatch(colors.where(palette.colors[..., 3:] > 0, palette.colors), palette.valid)


def augment(batch: Batch, mirrored: float, shifted: int, jittered: float) -> tuple[Batch, Tensor]:
    """Mirror with a probability, shift by up to so many pixels, jitter palettes with a strength; 0 leaves each out.

    Returns:
        The changed batch, and float ``[B, 3]``: 1 where a picture was mirrored, and how far it was then moved down and to the right.
    """
    x_0, palette = batch.x_0, batch.palette
    changes = torch.zeros(len(x_0), 3)
    if mirrored > 0:
        x_0, changes[:, 0] = mirror(x_0, mirrored)
    if shifted > 0:
        x_0, changes[:, 1:] = shift(x_0, shifted)
    if jittered > 0:
        palette = jitter(palette, jittered)
    return Batch(x_0, palette, batch.labels), changes


def rounded_luminance(batch: Batch) -> Tensor:
    """Luminance maps ``[B, H, W]`` as grey images of 4 to 256 levels would give them, few levels as often as many."""
    levels = 2 ** torch.randint(2, 9, (len(batch.x_0),), device=batch.x_0.device)
    return round_to_levels(luminance_of_indices(batch.x_0, batch.palette), levels)
