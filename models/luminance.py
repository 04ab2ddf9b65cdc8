"""Luminance condition: what a grey image says about each pixel, as features."""

import math

import torch
from torch import Tensor, nn


class LuminanceEmbedding(nn.Module):
    """Features of a luminance map (see `quantization.palettes.luminance`); a pixel of which nothing is known adds nothing.

    Args:
        channels: features of each pixel.
        frequencies: octaves of Fourier features of the lightness.
    """

    def __init__(self, channels: int, frequencies: int = 5) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.project = nn.Linear(3 + 2 * frequencies, channels, bias=False)

    def forward(self, luminance: Tensor) -> Tensor:
        """Lightness ``[B, H, W]`` → ``[B, H, W, channels]``."""
        known = ~luminance.isnan()
        opaque = known & (luminance >= 0)
        lightness = luminance.where(opaque, 0.0)[..., None]
        angles = lightness * (2.0 ** torch.arange(self.frequencies, device=luminance.device) * math.pi)
        features = torch.cat([torch.ones_like(lightness), lightness, angles.sin(), angles.cos()], dim=-1)
        flags = torch.stack([known, opaque], dim=-1).to(features.dtype)
        features = torch.cat([flags[..., :1], features * flags[..., 1:]], dim=-1)
        return self.project(features.to(self.project.weight.dtype))
