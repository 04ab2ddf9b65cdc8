"""UNet (Ronneberger et al. 2015, arXiv 1505.04597) with a patch stem: most of the work happens below full resolution."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from tincture.common.errors import SHARE, InputError, Range, choose

from .attention import SelfAttention
from .normalization import GROUPS, NORMALIZATIONS, Normalization

WIDTHS, DEPTHS, LEVELS, PATCHES = Range(1, 8192), Range(0, 64), Range(1, 8), Range(1, 64)
"""Wider than any UNet that was ever trained: what lies outside is a mistake, or a file that is to fill the memory."""


@dataclass(frozen=True)
class UNetConfig:
    """Size and shape of a UNet.

    Args:
        patch_size: edge of a patch, pixels; 1 for none.
        channels: features at each level, each level at half the resolution of the one before; multiples of 8.
        blocks: residual blocks of each level, on the way down and again on the way up (once for the last level).
        attention: whether each level has self-attention.
        attention_head_channels: features of an attention head.
        head_channels: features of the full-resolution head, a multiple of 8.
        head_blocks: residual blocks of that head.
        dropout: probability inside residual blocks, 0 to 1.
        normalization: of features: over all positions for each of 8 groups, or for each position over all features.

    Raises:
        InputError: the numbers don't fit together.
    """

    patch_size: int = 2
    channels: tuple[int, ...] = (64, 128)
    blocks: tuple[int, ...] = (2, 2)
    attention: tuple[bool, ...] = (False, True)
    attention_head_channels: int = 32
    head_channels: int = 64
    head_blocks: int = 2
    dropout: float = 0.0
    normalization: Normalization = "group"

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.blocks) == len(self.attention) >= 1:
            raise InputError("unet.channels, unet.blocks and unet.attention must name one value for each level")
        LEVELS.check("the number of levels in unet.channels", len(self.channels))
        PATCHES.check("unet.patch_size", self.patch_size)
        WIDTHS.check("unet.attention_head_channels", self.attention_head_channels)
        SHARE.check("unet.dropout", self.dropout)
        choose("unet.normalization", self.normalization, NORMALIZATIONS)
        for depth in (*self.blocks, self.head_blocks):
            DEPTHS.check("a number in unet.blocks and unet.head_blocks", depth)
        for width in (*self.channels, self.head_channels):
            WIDTHS.check("a number in unet.channels and unet.head_channels", width)
            if width < GROUPS or width % GROUPS:
                raise InputError(f"unet.channels and unet.head_channels must be multiples of {GROUPS}, not {width}")


class ResBlock(nn.Module):
    """Two 3×3 convolutions added to the input; the condition scales and shifts the features between them."""

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
        """Features ``[B, C, H, W]`` and conditions ``[B, condition_channels]`` → ``[B, out_channels, H, W]``."""
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
        """The condition is not used: it has reached ``x`` through the residual blocks."""
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

    A patch stem folds ``patch_size × patch_size`` pixels into one position; a UNet works on these; a short head
    unfolds its output and joins it with the pixels' own features at full resolution.

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
        """Features ``[B, in_channels, H, W]`` and conditions ``[B, condition_channels]`` → ``[B, out_channels, H, W]``."""
        height, width = x.shape[2:]
        right, below = -width % self.stride, -height % self.stride
        if right or below:  # padding by nothing would copy
            x = F.pad(x, (0, right, 0, below))
        h = self.stem(x)
        skips = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            h = level(h, condition)
            skips.append(h)
            h = shrink(h)
        h = self.middle(h, condition)
        for level, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = level(torch.cat([grow(h), skips.pop()], dim=1), condition)
        h = self.head(self.unfold(h) + self.local(x), condition)
        return self.out(F.silu(self.out_norm(h)))[..., :height, :width]
