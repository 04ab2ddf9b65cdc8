"""What `benchmarks/peers.py` asks of whatever it compares: a loss to train by, bits per pixel where defined, and drawings."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tincture.data.index_maps import Batch, IndexMaps
from tincture.evaluation.heldout import BitsPerPixel
from tincture.quantization.palettes.batch import PaletteBatch

BATCH = 64
"""Images drawn at once."""


class Drawing(NamedTuple):
    """What a peer drew."""

    indices: Tensor
    """Index maps, int64 ``[N, H, W]``."""
    rgba: Tensor | None = None
    """uint8 ``[N, H, W, 4]`` as drawn, before the nearest entry is taken; nothing where entries themselves are drawn."""


class Peer(Protocol):
    """A network with a way to train it and a way to draw with it.

    Measuring and drawing are told which weights to use, because those are an average of the trained ones.
    """

    network: nn.Module
    samplers: tuple[str, ...]
    """Ways to draw; by the first it is compared."""

    def loss(self, batch: Batch) -> Tensor:
        """What ``network`` is trained to make small, a scalar."""
        ...

    def bits_per_pixel(self, network: nn.Module, images: IndexMaps, times: int) -> BitsPerPixel | None:
        """A bound, from ``times`` corruptions of each image; nothing where there is none."""
        ...

    def draw(
        self, network: nn.Module, palettes: PaletteBatch, size: int, calls: int, sampler: str, seed: int
    ) -> Drawing:
        """One image in each palette, ``size × size``, by ``calls`` calls of the network for each."""
        ...


def num_parameters(network: nn.Module) -> int:
    """How many numbers training changes."""
    return sum(parameter.numel() for parameter in network.parameters())


def nearest_width(make: Callable[[int], nn.Module], parameters: int, step: int = 8) -> int:
    """The width, a multiple of ``step``, at which ``make(width)`` has about so many parameters."""
    width, counts = 0, {}
    with torch.device("meta"):  # counted without being filled
        while not counts or counts[width] < parameters:
            width += step
            counts[width] = num_parameters(make(width))
    return min(counts, key=lambda width: abs(counts[width] - parameters))
