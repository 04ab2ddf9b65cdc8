"""What `benchmarks.peers` asks of whatever it compares, and how it trains it."""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tincture.common.errors import InputError
from tincture.data.index_maps import Batch, IndexMaps
from tincture.diffusion.draws import mixed_seed
from tincture.evaluation.heldout import BitsPerPixel
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.training.feeds import batch_rows
from tincture.training.optimizers import OPTIMIZERS, ExponentialAverage, learning_rate_factor
from tincture.training.run import CLOCKS
from tincture.training.run_config import TrainConfig

BATCH = 64
"""Images drawn at once."""


class Drawing(NamedTuple):
    """What a peer drew."""

    indices: Tensor
    """Index maps, int64 ``[N, H, W]``."""
    rgba: Tensor | None = None
    """uint8 ``[N, H, W, 4]`` before the nearest entry is taken; None where entries are drawn."""


class Peer(Protocol):
    """A network with a way to train it and a way to draw with it.

    Measuring and drawing are told which weights to use, because those are an average of the trained
    ones.
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
        """One image in each palette, ``size × size``, by ``calls`` calls of the network."""
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


class PeerTraining:
    """The step of training/loop.py for any peer's loss. It can pause, so that peers take turns.

    Args:
        peer: what to train.
        config: batch size, optimizer, rates, average and clock; its budgets and intervals are not
            looked at.
        training: the side of the data set to learn from.
        seed: of the order of images and every corruption.
        device: where.
    """

    def __init__(self, peer: Peer, config: TrainConfig, training: IndexMaps, seed: int, device: torch.device) -> None:
        self.peer, self.config, self.training, self.seed, self.device = peer, config, training, seed, device
        peer.network.to(device, memory_format=torch.channels_last)
        self.average = ExponentialAverage(peer.network, config.ema_decay)
        self.optimizers = self.make_optimizers()
        self.peak_rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.steps, self.seconds = 0, 0.0

    def run(self, until: float, budget: float) -> None:
        """Train until ``until`` seconds of training have passed, out of ``budget``."""
        clock = CLOCKS[self.config.clock]
        before, started = self.seconds, clock()
        while self.seconds < until:
            self.step(self.seconds / budget)
            self.seconds = before + clock() - started

    def step(self, fraction: float) -> float:
        """Take one step at a fraction of the budget; returns the loss.

        Raises:
            InputError: the loss or its gradient is not finite.
        """
        rate_factor = self.rate_factor(fraction)
        for optimizer, peaks in zip(self.optimizers, self.peak_rates, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate_factor
        torch.manual_seed(mixed_seed(self.seed, self.steps, 0))
        rows = batch_rows(len(self.training), self.config.batch_size, self.steps, self.seed)
        self.peer.network.train()
        loss = self.peer.loss(self.training.batch(rows, self.device))
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.peer.network.parameters(), self.config.clip_norm)
        value = loss.item()
        if not math.isfinite(value) or not torch.isfinite(norm):
            raise InputError(f"the loss is {value} and its gradient's norm {norm:.3g} at step {self.steps}")
        self.update()
        self.steps += 1
        return value

    def make_optimizers(self) -> list[torch.optim.Optimizer]:
        """The config's, at their peak rates."""
        return OPTIMIZERS[self.config.optimizer](self.peer.network, self.config)

    def rate_factor(self, fraction: float) -> float:
        """The learning rate at a fraction of the budget, as a multiple of its peak."""
        return learning_rate_factor(fraction, self.config.warmup)

    def update(self) -> None:
        """Change the weights by their gradients, and their average."""
        for optimizer in self.optimizers:
            optimizer.step()
        self.average.update_parameters(self.peer.network)
