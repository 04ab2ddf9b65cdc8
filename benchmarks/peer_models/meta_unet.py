"""The UNet of the flow_matching repository's discrete image example, at a width of our choice.

The PyPI package doesn't hold the example's network, so it is rebuilt here from its published CIFAR-10 settings: the UNet of Dhariwal and
Nichol 2021 (arXiv 2105.05233) with features of (3, 4, 4) · width, attention at half resolution and in the middle, averages for
downsampling and repetition for upsampling. Its residual block is the one that this project uses too, so it is taken from
models/unet.py. Smaller than there: the width, two blocks a level (five), and no dropout (0.4), which minutes of training can't afford.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tincture.models.denoiser import ConditionEmbedding
from tincture.models.unet import GROUPS, AttentionBlock, ResBlock

from .per_index import PerIndexDenoiser

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
        """Features ``[B, in_channels, H, W]`` at times ``[B]`` → ``[B, out_channels, H, W]``; H and W are multiples of 4."""
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
