"""Networks of other projects as per-index denoisers: an embedding and an output row for each entry.

`unet2d` is diffusers' `UNet2DModel`. `meta_unet` is the UNet of the flow_matching repository's
discrete image example. The PyPI package doesn't hold it, so it is rebuilt from its published
CIFAR-10 settings: the UNet of Dhariwal and Nichol 2021 (arXiv 2105.05233) with features of (3, 4,
4) · width, attention at half resolution and in the middle, averages for downsampling and repetition
for upsampling. Its residual block is the one that models/unet.py has too. Smaller than there are
the width, the blocks of a level (two instead of five), and the dropout (none instead of 0.4), which
minutes of training can't afford.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from einops import rearrange
from torch import Tensor, nn

from tincture.models.denoiser import NO_CONDITIONS, ConditionEmbedding, Conditions
from tincture.models.options import GROUPS
from tincture.models.unet import AttentionBlock, ResBlock
from tincture.quantization.palettes.batch import PaletteBatch

Backbone = Callable[[Tensor, Tensor], Tensor]
"""(features [B, C, H, W], times [B]) → [B, K, H, W]."""


class PerIndexDenoiser(nn.Module):
    """`models.denoiser.IndexDenoiser` with any backbone, without classes.

    Args:
        num_entries: K, of the one palette.
        channels: features of a pixel at the backbone's input.
        backbone: see `Backbone`.
    """

    def __init__(self, num_entries: int, channels: int, backbone: nn.Module) -> None:
        super().__init__()
        self.num_entries = num_entries
        self.embed = nn.Embedding(num_entries + 1, channels)
        self.backbone = backbone

    def forward(self, x_t: Tensor, t: Tensor, palette: PaletteBatch, conditions: Conditions = NO_CONDITIONS) -> Tensor:
        """As `Denoiser.forward`; conditions are not looked at."""
        x = rearrange(self.embed(x_t), "b h w c -> b c h w")
        return self.backbone(x, t).masked_fill(~palette.valid[:, :, None, None], -torch.inf)


class UNet2D(nn.Module):
    """DDPM's shape, made small: levels of (1, 2, 2) · ``width`` features, two blocks each.

    The middle level has attention.
    """

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        self.model = UNet2DModel(
            in_channels=in_channels,
            out_channels=out_channels,
            block_out_channels=(width, 2 * width, 2 * width),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=2,
            norm_num_groups=8,
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Features ``[B, C, H, W]`` at times ``[B]`` in 0 … 1, told to the model as 0 … 1,000."""
        return self.model(x, 1000 * t).sample


def unet2d(num_entries: int, width: int) -> PerIndexDenoiser:
    """A per-index denoiser on `UNet2D`."""
    return PerIndexDenoiser(num_entries, width, UNet2D(width, num_entries, width))


MULTIPLES = (3, 4, 4)
ATTENTION_LEVEL = 1
BLOCKS = 2


class MetaUNet(nn.Module):
    """Every block's output is handed over to the way up, which has one block more a level."""

    def __init__(self, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        widths = [multiple * width for multiple in MULTIPLES]
        condition = 4 * width
        self.condition = ConditionEmbedding(condition, 0, time=True)
        self.stem = nn.Conv2d(in_channels, widths[0], 3, padding=1)

        def stage(before: int, level: int) -> nn.ModuleList:
            blocks = [ResBlock(before, widths[level], condition)]
            if level == ATTENTION_LEVEL:
                blocks.append(AttentionBlock(widths[level], width))
            return nn.ModuleList(blocks)

        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips, channels = [widths[0]], widths[0]
        for level, after in enumerate(widths):
            for _ in range(BLOCKS):
                self.down.append(stage(channels, level))
                channels = after
                skips.append(channels)
            if level < len(widths) - 1:
                skips.append(channels)  # the shrunk features
        middle = [ResBlock(channels, channels, condition), AttentionBlock(channels, width)]
        self.middle = nn.ModuleList([*middle, ResBlock(channels, channels, condition)])
        for level, after in reversed(list(enumerate(widths))):
            for _ in range(BLOCKS + 1):
                self.up.append(stage(channels + skips.pop(), level))
                channels = after
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.out = nn.Conv2d(channels, out_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Features ``[B, in_channels, H, W]`` at times ``[B]`` → ``[B, out_channels, H, W]``.

        H and W are multiples of 4.
        """
        condition = self.condition(t, None)

        def through(blocks: nn.ModuleList, h: Tensor) -> Tensor:
            for block in blocks:
                h = block(h, condition)
            return h

        h = self.stem(x)
        skips = [h]
        for number, blocks in enumerate(self.down, start=1):
            h = through(blocks, h)
            skips.append(h)
            if number % BLOCKS == 0 and number < len(self.down):
                h = F.avg_pool2d(h, 2)
                skips.append(h)
        h = through(self.middle, h)
        for number, blocks in enumerate(self.up, start=1):
            h = through(blocks, torch.cat([h, skips.pop()], dim=1))
            if number % (BLOCKS + 1) == 0 and number < len(self.up):
                h = F.interpolate(h, scale_factor=2.0, mode="nearest")
        return self.out(F.silu(self.norm(h)))


def meta_unet(num_entries: int, width: int) -> PerIndexDenoiser:
    """A per-index denoiser on `MetaUNet`."""
    return PerIndexDenoiser(num_entries, width, MetaUNet(width, num_entries, width))
