"""Palettes that differ in size, padded into tensors: what networks and processes read.

The only module on palettes, besides their luminance and their trees, that imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..color import srgb_to_oklab
from .palette import Palette


@dataclass(frozen=True, eq=False)
class PaletteBatch:
    """Palettes of different sizes, padded to the largest."""

    colors: Tensor
    """sRGB RGBA, uint8 ``[B, K, 4]``; padded entries have no meaning."""
    valid: Tensor
    """Which entries are real, bool ``[B, K]``."""

    @classmethod
    def from_palettes(cls, palettes: Sequence[Palette], size: int | None = None) -> "PaletteBatch":
        """Pad ``palettes`` to ``size`` entries, or to the largest among them."""
        return cls.from_colors([palette.colors for palette in palettes], size)

    @classmethod
    def from_colors(cls, palettes: Sequence[np.ndarray], size: int | None = None) -> "PaletteBatch":
        """The same of colors, uint8 ``[K, 4]`` each, of which several may be transparent."""
        size = size or max(map(len, palettes))
        colors = torch.zeros(len(palettes), size, 4, dtype=torch.uint8)
        valid = torch.zeros(len(palettes), size, dtype=torch.bool)
        for row, entries in enumerate(palettes):
            colors[row, : len(entries)] = torch.tensor(entries)
            valid[row, : len(entries)] = True
        return cls(colors, valid)

    @property
    def mask_index(self) -> int:
        """The absorbing state: one more than the last entry, padding included."""
        return self.colors.shape[1]

    @property
    def sizes(self) -> Tensor:
        """How many real entries each palette has, int64 ``[B]``."""
        return self.valid.sum(dim=1)

    def oklab(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The entries in OKLab, ``[B, K, 3]``."""
        return srgb_to_oklab(self.colors[..., :3].to(dtype) / 255)

    def padded(self, size: int) -> "PaletteBatch":
        """The same palettes, padded to ``size`` entries."""
        more = size - self.mask_index
        return PaletteBatch(F.pad(self.colors, (0, 0, 0, more)), F.pad(self.valid, (0, more)))

    def to(self, device: torch.device | str) -> "PaletteBatch":
        """The same batch on ``device``."""
        return PaletteBatch(self.colors.to(device), self.valid.to(device))

    def __getitem__(self, rows: Tensor | slice) -> "PaletteBatch":
        """The palettes at ``rows``."""
        return PaletteBatch(self.colors[rows], self.valid[rows])


def on_black_and_white(oklab: Tensor, alpha: Tensor) -> Tensor:
    """`quantization.spaces.alpha_coordinates` of OKLab ``[..., 3]`` and alphas ``[...]``."""
    middle = oklab.new_tensor([0.5, 0.0, 0.0])
    return torch.cat([oklab - middle, torch.full_like(oklab[..., :1], 0.5)], dim=-1) * (alpha[..., None] / 255)
