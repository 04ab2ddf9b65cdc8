"""Palettes as sorted sets of colors, and what is known of them before they are read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette

CODING_ORDER, RGB = [1, 0, 2], [1, 0, 2]
"""A color's channels in the order in which they are read: green, red, blue; and back."""

BITS, VALUES = 8, 256
"""Of a channel."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of B palettes before they are read: the right side of p(set | known)."""

    sizes: Tensor
    """How many entries, int64 ``[B]``; the kept ones and the transparent one count."""
    transparent: Tensor
    """Whether one of them is transparent, bool ``[B]``."""
    kept: Tensor | None = None
    """Opaque colors that the palette has, int64 ``[B, M, 3]`` in `CODING_ORDER`; -1 for none."""
    labels: Tensor | None = None
    """The class, int64 ``[B]``; the number of classes stands for none."""
    words: Tensor | None = None
    """Vectors of words, ``[B, L, D]`` (`TextEncoder.vectors_of`); zero for no word."""
    changed: Tensor | None = None
    """Whether training has changed the colors, bool ``[B]``. For others it is left out."""

    @property
    def kept_counts(self) -> Tensor:
        """How many colors are kept, int64 ``[B]``."""
        return torch.zeros_like(self.sizes) if self.kept is None else (self.kept[..., 0] >= 0).sum(dim=1)

    @property
    def counts(self) -> Tensor:
        """How many colors there are to read or to draw, int64 ``[B]``."""
        return self.sizes - self.transparent.long() - self.kept_counts

    def __getitem__(self, rows: Tensor | slice) -> "Known":
        """The same for the palettes at ``rows``."""
        return Known(*(None if value is None else value[rows] for value in vars(self).values()))


def set_order(palette: Palette) -> np.ndarray:
    """Where each place of the palette that is read takes its entry from, int64 ``[K]``.

    The transparent entry comes first, then the others as `CODING_ORDER` sorts them.
    """
    channels = (palette.colors[:, channel] for channel in reversed(CODING_ORDER))
    return np.lexsort((*channels, palette.colors[:, 3] > 0))


def coded(palettes: Sequence[Palette], kept: Sequence[Palette] | None = None) -> tuple[Tensor, Known]:
    """Palettes as the prior reads them.

    Args:
        palettes: each of different opaque colors, and of at most one transparent entry.
        kept: opaque colors of each that are known before; none if left out.

    Returns:
        The other colors, int64 ``[B, N, 3]`` in `CODING_ORDER` and sorted, with zeros after the
        last; and what is known before.

    Raises:
        InputError: colors repeat, or are neither opaque nor transparent, or a palette lacks one
            that is kept.
    """
    rows, keeps = [], []
    for number, palette in enumerate(palettes):
        if palette.is_soft:
            raise InputError("the prior over palettes knows opaque and transparent entries, and no alpha between")
        opaque = palette.colors[set_order(palette)][palette.transparent is not None :, CODING_ORDER]
        known = np.zeros((0, 3), np.uint8) if kept is None else kept[number].colors[:, CODING_ORDER]
        same = (opaque[:, None] == known).all(axis=2)  # [colors, kept]
        if (
            len(np.unique(opaque, axis=0)) < len(opaque)
            or (same.sum(axis=0) != 1).any()
            or (same.sum(axis=1) > 1).any()
        ):
            raise InputError("the prior over palettes is one over sets: each color, and each kept one, counts once")
        rows.append(torch.from_numpy(opaque[~same.any(axis=1)]).long())
        keeps.append(torch.from_numpy(known).long())
    sizes = torch.tensor([len(palette) for palette in palettes])
    transparent = torch.tensor([palette.transparent is not None for palette in palettes])
    keep = None if kept is None else nn.utils.rnn.pad_sequence(keeps, batch_first=True, padding_value=-1)
    return nn.utils.rnn.pad_sequence(rows, batch_first=True), Known(sizes, transparent, keep)


def keys_of(colors: Tensor) -> Tensor:
    """The place of each color, ``[..., 3]``, among all 2²⁴ in their order; -1 for none."""
    green, red, blue = colors.unbind(-1)
    return ((green << BITS | red) << BITS | blue).where(green >= 0, -1)
