"""Normalizations of feature maps, by name."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GROUPS = 8
"""Groups of every group normalization."""

Normalization = Literal["group", "layer", "rms"]


class FeatureGroupNorm(nn.GroupNorm):
    """Group normalization (Wu and He 2018, arXiv 1803.08494), of a single position of a single picture, too."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``[B, C, H, W]``; torch's own layer refuses one value for each channel, though a group has several."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class PixelLayerNorm(nn.LayerNorm):
    """Layer normalization (Ba et al. 2016, arXiv 1607.06450) of each position's features, ``[B, C, H, W]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize; in channels_last the features of a position are neighbours already, and nothing is copied."""
        return F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps).movedim(-1, 1)


class PixelRMSNorm(nn.RMSNorm):
    """The same without a mean or a shift (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize each position's features, ``[B, C, H, W]``."""
        return F.rms_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.eps).movedim(-1, 1)


NORMALIZATIONS: dict[Normalization, Callable[[int], nn.Module]] = {
    "group": lambda channels: FeatureGroupNorm(GROUPS, channels),
    "layer": PixelLayerNorm,
    "rms": PixelRMSNorm,
}
"""From a number of channels to a layer for ``[B, C, H, W]``; group is over `GROUPS` groups."""
