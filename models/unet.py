"""The UNet (Ronneberger et al. 2015, arXiv 1505.04597), with a patch stem in front.

The stem makes most of the work happen below full resolution.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tincture.common.errors import InputError

from .options import GROUPS, Normalization, UNetConfig


class FeatureGroupNorm(nn.GroupNorm):
    """Group normalization (Wu and He 2018, arXiv 1803.08494)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[B, C, H, W]``."""
        # torch's own layer refuses one value for each channel, although a group has several.
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class PixelLayerNorm(nn.LayerNorm):
    """Layer normalization (Ba et al. 2016, arXiv 1607.06450) of each position's features."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[B, C, H, W]``."""
        # In channels_last the features of a position are neighbors already, so nothing is copied.
        return F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, 1)


class PixelRMSNorm(nn.RMSNorm):
    """The same without a mean or a shift (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[B, C, H, W]``."""
        return F.rms_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.eps).movedim(-1, 1)


NORMALIZATIONS: dict[Normalization, Callable[[int], nn.Module]] = {
    "group": lambda channels: FeatureGroupNorm(GROUPS, channels),
    "layer": PixelLayerNorm,
    "rms": PixelRMSNorm,
}
"""From a number of channels to a layer for ``[B, C, H, W]``."""


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv 1706.03762) without positions.

    Permuting the input permutes the output.

    Args:
        channels: features of each element; a multiple of ``head_channels``.
        head_channels: features of each head.

    Raises:
        InputError: the channels don't divide into heads.
    """

    def __init__(self, channels: int, head_channels: int) -> None:
        super().__init__()
        if channels % head_channels:
            raise InputError(f"{channels} channels don't divide into attention heads of {head_channels}")
        self.heads = channels // head_channels
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Mix elements ``[B, N, C]``; nothing is read where ``valid``, ``[B, N]``, is false."""
        q, k, v = rearrange(self.to_qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        mask = None if valid is None else valid[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.to_out(rearrange(mixed, "b h n d -> b n (h d)"))


class ResBlock(nn.Module):
    """Two 3×3 convolutions added to the input; the condition scales and shifts in between."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        condition_channels: int,
        dropout: float = 0.0,
        normalization: Normalization = "group",
    ) -> None:
        super().__init__()
        norm = NORMALIZATIONS[normalization]
        self.norm_in = norm(in_channels)
        self.conv_in = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(condition_channels, 2 * out_channels)
        self.norm_out = norm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)  # each block starts as the identity
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features ``[B, C, H, W]`` and conditions ``[B, D]`` → ``[B, out_channels, H, W]``."""
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm_out(h), 1 + scale)
        return self.skip(x) + self.conv_out(self.dropout(F.silu(h)))


class AttentionBlock(nn.Module):
    """Self-attention over all positions, added to the input."""

    def __init__(self, channels: int, head_channels: int, normalization: Normalization = "group") -> None:
        super().__init__()
        self.norm = NORMALIZATIONS[normalization](channels)
        self.attention = SelfAttention(channels, head_channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features ``[B, C, H, W]``, which know the condition from residual blocks already."""
        tokens = rearrange(self.norm(x), "b c h w -> b (h w) c")
        return x + rearrange(self.attention(tokens), "b (h w) c -> b c h w", h=x.shape[2])


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention where ``attention`` says so."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        blocks: int,
        condition_channels: int,
        config: UNetConfig,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for block in range(blocks):
            before = channels if block else in_channels
            self.blocks.append(ResBlock(before, channels, condition_channels, config.dropout, config.normalization))
            if attention:
                self.blocks.append(AttentionBlock(channels, config.attention_head_channels, config.normalization))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features ``[B, in_channels, H, W]`` → ``[B, channels, H, W]``."""
        for block in self.blocks:
            x = block(x, condition)
        return x


class UNet(nn.Module):
    """From features of pixels to features of pixels.

    A patch stem folds ``patch_size × patch_size`` pixels into one position. The levels work on
    these positions. A short head unfolds their output and joins it with the pixels' own features at
    full resolution.

    Args:
        in_channels: features of a pixel at the input.
        out_channels: features of a pixel at the output.
        condition_channels: size of the condition vector.
        config: everything else.
    """

    def __init__(self, in_channels: int, out_channels: int, condition_channels: int, config: UNetConfig) -> None:
        super().__init__()
        patch_size, channels, head_channels = config.patch_size, config.channels, config.head_channels
        self.stride = patch_size * 2 ** (len(channels) - 1)

        def level(in_width: int, index: int) -> Level:
            width, blocks, attention = channels[index], config.blocks[index], config.attention[index]
            return Level(in_width, width, blocks, condition_channels, config, attention)

        self.stem = nn.Conv2d(in_channels, channels[0], patch_size, stride=patch_size)
        inner = range(len(channels) - 1)
        self.down = nn.ModuleList(level(channels[i], i) for i in inner)
        self.shrink = nn.ModuleList(nn.Conv2d(channels[i], channels[i + 1], 2, stride=2) for i in inner)
        self.middle = level(channels[-1], len(channels) - 1)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(channels[i + 1], channels[i], 2, stride=2) for i in inner)
        self.up = nn.ModuleList(level(2 * channels[i], i) for i in inner)
        self.unfold = nn.ConvTranspose2d(channels[0], head_channels, patch_size, stride=patch_size)
        self.local = nn.Conv2d(in_channels, head_channels, 3, padding=1)
        self.head = Level(head_channels, head_channels, config.head_blocks, condition_channels, config)
        self.out_norm = NORMALIZATIONS[config.normalization](head_channels)
        self.out = nn.Conv2d(head_channels, out_channels, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``[B, in_channels, H, W]`` and conditions ``[B, D]`` → ``[B, out_channels, H, W]``."""
        height, width = x.shape[2:]
        right, below = -width % self.stride, -height % self.stride
        if right or below:  # to pad by nothing would copy
            x = F.pad(x, (0, right, 0, below))
        h = self.stem(x)  # [B, channels[0], H / patch_size, W / patch_size]
        skips = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            h = level(h, condition)
            skips.append(h)
            h = shrink(h)
        h = self.middle(h, condition)
        for level, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = level(torch.cat([grow(h), skips.pop()], dim=1), condition)
        h = self.head(self.unfold(h) + self.local(x), condition)  # [B, head_channels, H, W]
        return self.out(F.silu(self.out_norm(h)))[..., :height, :width]
