"""What samplers that unmask share: how many pixels to leave masked, and which."""

import torch
from torch import Tensor

from tincture.quantization.palettes.batch import PaletteBatch

from ..process import Process


def is_masked(x_t: Tensor, palette: PaletteBatch) -> Tensor:
    """Which pixels are masked, bool ``[B, H W]``."""
    return (x_t == palette.mask_index).flatten(1)


def left_masked(process: Process, masked: Tensor, times: Tensor) -> Tensor:
    """How many pixels the schedule leaves masked at each time, of those at the first one, int64 ``[steps + 1, B]``."""
    noise = process.schedule.noise(times.to(masked.device))
    # A shade more than half an ulp keeps whole numbers whole.
    return ((noise / noise[0])[:, None] * masked.sum(dim=1) + 1e-4).floor().long()


def lowest(values: Tensor, count: Tensor) -> Tensor:
    """The ``count[b]`` lowest values of each row, bool ``[B, N]``; ties are broken by position."""
    ranks = values.argsort(dim=1, stable=True).argsort(dim=1)
    return ranks < count[:, None]


def filled(x_t: Tensor, chosen: Tensor, x_0: Tensor) -> Tensor:
    """``x_t`` with ``x_0`` in the pixels ``chosen``, bool ``[B, H W]``."""
    return torch.where(chosen.view_as(x_t), x_0, x_t)
