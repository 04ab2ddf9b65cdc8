"""A per-index denoiser around another project's backbone: an embedding and an output row for each entry."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from tincture.models.denoiser import NO_CONDITIONS, Conditions
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
