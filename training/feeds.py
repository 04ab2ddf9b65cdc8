"""Feeds: where a step's pictures come from, the same again after a resume."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from data.index_maps import IndexMaps
from diffusion.draws import mixed_seed


class Feed(Protocol):
    """Pictures for one step after the other."""

    pool: IndexMaps
    """Pictures at hand, all of the training side or a sample: others are recolored into their palettes, and the model keeps them."""

    def pictures(self, step: int, positions: slice) -> IndexMaps:
        """The pictures at ``positions`` of the batch of ``step``, which all processes share. Steps come in order."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """What `restore` needs, besides the step, to go on from here."""
        ...

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Go on with ``step``, from a `state` that was taken before it."""
        ...


class WholeSet:
    """A data set in memory, in a new random order each epoch, cut into batches without a rest.

    Args:
        pool: all its pictures.
        batch_size: over all processes.
        seed: of the orders.
    """

    def __init__(self, pool: IndexMaps, batch_size: int, seed: int) -> None:
        self.pool, self.batch_size, self.seed = pool, batch_size, seed

    def pictures(self, step: int, positions: slice) -> IndexMaps:
        """See `Feed.pictures`; a function of the arguments alone."""
        return self.pool.subset(batch_rows(len(self.pool), self.batch_size, step, self.seed)[positions])

    def state(self) -> dict[str, Tensor]:
        """Nothing: the step says it all."""
        return {}

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Nothing to do."""


def batch_rows(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """The rows of step ``step``: ``count`` rows in a new random order each epoch, cut into batches without a rest.

    Returns:
        int64 ``[batch_size]``; a function of the arguments alone.
    """
    positions = torch.arange(step * batch_size, (step + 1) * batch_size)
    rows = torch.empty_like(positions)
    for epoch in (positions // count).unique().tolist():
        generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
        order = torch.randperm(count, generator=generator)
        here = positions // count == epoch
        rows[here] = order[positions[here] % count]
    return rows
