"""Feeds: where a step's pictures come from, the same again after a resume."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.common.processes import processes
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.diffusion.draws import mixed_seed

from .config import RunConfig


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


def open_feed(config: RunConfig) -> tuple[Feed, IndexMaps]:
    """The training side of a run's data, for this process, and the held-out side; raises InputError as `load_index_maps` does."""
    if config.data.streaming:
        from tincture.data.stream import start_stream  # the library takes seconds to import

        from .stream import StreamFeed

        start, state = start_stream(config.data), processes(config.train.device == "cpu")
        return StreamFeed(start, config.seed, state.process_index, state.num_processes), start.heldout
    training, heldout = load_index_maps(config.data)
    return WholeSet(training, heldout, config.train.batch_size, config.seed), heldout


@contextmanager
def dead_workers_reported() -> Iterator[None]:
    """Turn what torch raises when a process that reads data dies, which may be anywhere in the block, into one line."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            f"a process that reads data died ({str(error).splitlines()[0]}): if memory ran out, lower data.workers or "
            "data.buffer, and start again; else go on with --resume"
        ) from error


class WholeSet:
    """A data set in memory, in a new random order each epoch, cut into batches without a rest.

    Its state is what the pictures are, since the step says where a run stands.

    Args:
        pool: all its pictures.
        heldout: those that it is measured on.
        batch_size: over all processes.
        seed: of the orders.
    """

    def __init__(self, pool: IndexMaps, heldout: IndexMaps, batch_size: int, seed: int) -> None:
        self.pool, self.heldout, self.batch_size, self.seed = pool, heldout, batch_size, seed

    def pictures(self, step: int, positions: slice) -> IndexMaps:
        """See `Feed.pictures`; a function of the arguments alone."""
        return self.pool.subset(batch_rows(len(self.pool), self.batch_size, step, self.seed)[positions])

    def state(self) -> dict[str, Tensor]:
        """Digests of all pictures."""
        return self._digests

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """See `Feed.restore`.

        Raises:
            InputError: the pictures aren't those of the run, whose orders and held-out side would be others.
        """
        if any(not torch.equal(state[name], digest) for name, digest in self._digests.items() if name in state):
            raise InputError("the data have changed since the run began, so it can't be resumed: start a new one")

    @cached_property
    def _digests(self) -> dict[str, Tensor]:
        return {"digest": _digest(self.pool), "heldout_digest": _digest(self.heldout)}


def _digest(images: IndexMaps) -> Tensor:
    """What changes if a picture does, uint8 ``[32]``."""
    found = hashlib.blake2b("\n".join(images.names).encode(), digest_size=32)
    for tensor in (images.indices, images.palettes.colors, images.palettes.valid, images.labels):
        found.update(tensor.contiguous().numpy())
    return torch.frombuffer(bytearray(found.digest()), dtype=torch.uint8)


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
