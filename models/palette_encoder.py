"""The palette encoder: a token for each entry, which knows the others but not its position."""

import math

import torch
from torch import Tensor, nn

from tincture.quantization.palettes.batch import PaletteBatch

from .text import Context
from .unet import SelfAttention


def color_features(palette: PaletteBatch, frequencies: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """OKLab color and alpha of each entry, with sines and cosines of some octaves of both.

    Returns:
        ``[B, K, 4 (1 + 2 frequencies)]``. A transparent entry has no color: its OKLab counts as
        zero.
    """
    alpha = palette.colors[..., 3:].to(dtype) / 255
    with torch.autocast(alpha.device.type, enabled=False):  # high octaves would show a color's rounding
        color = torch.cat([palette.oklab(dtype) * (alpha > 0), alpha], dim=-1)  # [B, K, 4]
    octaves = 2.0 ** torch.arange(frequencies, device=color.device) * math.pi
    angles = (color[..., None] * octaves).flatten(-2)
    return torch.cat([color, angles.sin(), angles.cos()], dim=-1)


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, each added to its input."""

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(channels)
        self.attention = SelfAttention(channels, head_channels)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Elements ``[B, N, C]``; nothing is read where ``valid``, ``[B, N]``, is false."""
        x = x + self.attention(self.attention_norm(x), valid)
        return x + self.feed_forward(x)


class PaletteEncoder(nn.Module):
    """A transformer without positions over the entries: permuting a palette permutes its tokens.

    Args:
        channels: features of a token.
        depth: transformer blocks.
        head_channels: features of an attention head.
        frequencies: octaves of Fourier features of each color coordinate.
    """

    def __init__(self, channels: int, depth: int, head_channels: int = 32, frequencies: int = 6) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.embed = nn.Linear(4 * (1 + 2 * frequencies), channels)
        self.blocks = nn.ModuleList(TransformerBlock(channels, head_channels) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)

    def forward(self, palette: PaletteBatch, context: Context | None = None) -> Tensor:
        """Tokens ``[B, K, channels]``; those of padded entries reach no other token.

        The tokens of a ``context`` stand beside those of the entries, which look at them: so "red"
        can mean the red entries.
        """
        weight = self.embed.weight
        wide = torch.float64 if weight.dtype == torch.float64 else torch.float32
        x = self.embed(color_features(palette, self.frequencies, wide).to(weight.dtype))
        valid, entries = palette.valid, x.shape[1]
        if context is not None:
            x, valid = torch.cat([x, context.tokens], dim=1), torch.cat([valid, context.valid], dim=1)
        for block in self.blocks:
            x = block(x, valid)
        return self.norm(x[:, :entries])
