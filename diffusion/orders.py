"""Orders of a picture's pixels: which are drawn first, and which stay masked.

Samplers draw in an order (`samplers.in_order`), and `likelihood` measures in the same.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tincture.quantization.dither.ordered import bayer
from tincture.quantization.palettes.batch import PaletteBatch

from .draws import Generators, uniform
from .options import OrderName
from .process import Process

Order = Callable[[Sequence[int], Generators, torch.device], Tensor]
"""The shape (B, H, W), a generator and a device → a number for each pixel, ``[B, H, W]``. Lower
ones are drawn first."""


def raster(shape: Sequence[int], generator: Generators, device: torch.device) -> Tensor:
    """Line by line, as text is read; nothing is drawn."""
    batch, height, width = shape
    return torch.arange(height * width, device=device).view(1, height, width).expand(batch, -1, -1)


def moved(ranks: Callable[[int, int], np.ndarray]) -> Order:
    """The order of ``ranks``, ``[H, W]``, each image's moved around its borders at random."""

    @lru_cache
    def table(height: int, width: int, device: torch.device) -> Tensor:
        return torch.from_numpy(ranks(height, width)).to(device)  # once: a GPU would wait for it

    def order(shape: Sequence[int], generator: Generators, device: torch.device) -> Tensor:
        batch, *sides = shape
        starts = uniform((batch, 2), generator, device).unbind(1)
        rows, columns = (
            (torch.arange(side, device=device) + (start * side).long()[:, None]) % side
            for start, side in zip(starts, sides, strict=True)
        )
        return table(*sides, device)[rows[:, :, None], columns[:, None, :]]

    return order


def halton(height: int, width: int) -> np.ndarray:
    """As the Halton sequence meets pixels: Besnier et al. 2025 (arXiv 2503.17076).

    Each pixel is far from those before it. So pixels that are drawn in one call, each by itself,
    are seldom neighbors. Those that the sequence doesn't meet soon come last, line by line.
    """
    ranks = np.full(height * width, np.inf)
    numbers = np.arange(16 * ranks.size)
    rows, columns = (scattered(numbers, base, side) for base, side in ((2, height), (3, width)))
    met, first = np.unique(rows * width + columns, return_index=True)
    ranks[met] = first
    return ranks.argsort(kind="stable").argsort().reshape(height, width)


def scattered(numbers: np.ndarray, base: int, side: int) -> np.ndarray:
    """The digits of whole numbers in ``base``, read backwards behind the point, times ``side``.

    Rounded down, and in whole numbers all the way: a codec's order is the same everywhere.
    """
    inverse, unit = np.zeros_like(numbers), 1
    while numbers.any():
        inverse, unit = base * inverse + numbers % base, base * unit
        numbers = numbers // base
    return inverse * side // unit


def lattice(height: int, width: int) -> np.ndarray:
    """A coarse lattice first, then the middles between its points, and so on: Bayer's matrix."""
    return bayer(1 << (max(height, width) - 1).bit_length())[:height, :width]


ORDERS: dict[OrderName, Order] = {
    "random": uniform,
    "halton": moved(halton),
    "lattice": moved(lattice),
    "raster": raster,
}

# Which pixels: how many stay masked, and those


def is_masked(x_t: Tensor, palette: PaletteBatch) -> Tensor:
    """Which pixels are masked, bool ``[B, H W]``."""
    return (x_t == palette.mask_index).flatten(1)


def left_masked(process: Process, masked: Tensor, times: Tensor) -> Tensor:
    """How many of the masked pixels the schedule leaves masked, int64 ``[steps + 1, B]``."""
    noise = process.schedule.noise(times.to(masked.device))
    # A shade more than half an ulp keeps whole numbers whole.
    return ((noise / noise[0])[:, None] * masked.sum(dim=1) + 1e-4).floor().long()


def lowest(values: Tensor, count: Tensor) -> Tensor:
    """The ``count[b]`` lowest values of each row, bool ``[B, N]``; of equal ones the first."""
    ranks = values.argsort(dim=1, stable=True).argsort(dim=1)
    return ranks < count[:, None]


def filled(x_t: Tensor, chosen: Tensor, x_0: Tensor) -> Tensor:
    """``x_t`` with ``x_0`` in the pixels ``chosen``, bool ``[B, H W]``."""
    return torch.where(chosen.view_as(x_t), x_0, x_t)
