"""Feeds: where the pictures of a step come from.

A resumed run gets the pictures that it would have got without the stop.

`WholeSet` holds its data set in memory. `StreamFeed` reads a data set that doesn't fit, and mixes
it in a `ShuffleBuffer`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.common.processes import processes
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.diffusion.draws import mixed_seed
from tincture.quantization.palettes.batch import PaletteBatch

from .run_config import RunConfig

if TYPE_CHECKING:
    from tincture.data.stream import StreamStart


GOLDEN = (5**0.5 - 1) / 2
"""Its multiples are spread more evenly over [0, 1) than those of any other number."""


class Feed(Protocol):
    """Pictures for one step after the other, all of a step of one size."""

    pool: IndexMaps
    """All training pictures or a sample of them. Other pictures are recolored into their palettes,
    and the model keeps these."""

    def pictures(self, step: int, positions: slice) -> IndexMaps:
        """The pictures at ``positions`` of the batch of ``step``, which all processes share.

        Steps come in order.
        """
        ...

    def state(self) -> Mapping[str, Tensor]:
        """What `restore` needs, besides the step, to go on from here."""
        ...

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """Go on with ``step``, from a `state` that was taken before it."""
        ...


def open_feed(config: RunConfig) -> tuple[Feed, IndexMaps]:
    """The training side of a run's data, for this process, and the held-out side.

    Raises:
        InputError: as `load_index_maps`.
    """
    if config.data.streaming:
        from tincture.data.stream import start_stream  # imports datasets, which takes seconds

        start, state = start_stream(config.data), processes(config.train.device == "cpu")
        return StreamFeed(start, config.seed, state.process_index, state.num_processes), start.heldout
    training, heldout = load_index_maps(config.data)
    return WholeSet(training, heldout, config.train.batch_size, config.seed), heldout


@contextmanager
def dead_workers_reported() -> Iterator[None]:
    """Report in one line that a process that reads data died.

    Raises:
        InputError: such a process died.
    """
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
    """A data set in memory.

    Each epoch has a new random order, and batches leave no rest between epochs. Pictures of several
    sizes have epochs of their own, and take turns as often as there are pictures of each size.

    The step says where a run stands, so the saved state only says which pictures these are.

    Args:
        pool: all training pictures.
        heldout: the pictures that the run is measured on.
        batch_size: over all processes.
        seed: of the orders.
    """

    def __init__(self, pool: IndexMaps, heldout: IndexMaps, batch_size: int, seed: int) -> None:
        self.pool, self.heldout, self.batch_size, self.seed = pool, heldout, batch_size, seed
        self._of_size = [pool] if pool.sizes is None else [pool.subset(rows) for rows in pool.rows_by_size().values()]

    def pictures(self, step: int, positions: slice) -> IndexMaps:
        """See `Feed.pictures`; a function of the arguments alone."""
        which, before = turn([len(pictures) for pictures in self._of_size], step, self.seed)
        pictures = self._of_size[which]
        return pictures.subset(batch_rows(len(pictures), self.batch_size, before, self.seed)[positions])

    def state(self) -> dict[str, Tensor]:
        """Digests of all pictures."""
        return self._digests

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """See `Feed.restore`.

        Raises:
            InputError: these aren't the pictures of the run, so their orders and the held-out side
                would differ.
        """
        if any(not torch.equal(state[name], digest) for name, digest in self._digests.items() if name in state):
            raise InputError("the data have changed since the run began, so it can't be resumed: start a new one")

    @cached_property
    def _digests(self) -> dict[str, Tensor]:
        captions = _digest_of("\n".join([*self.pool.captions, *self.heldout.captions]))
        return {"digest": _digest(self.pool), "heldout_digest": _digest(self.heldout), "captions_digest": captions}


def _digest(images: IndexMaps) -> Tensor:
    sizes = [] if images.sizes is None else [images.sizes]
    palettes = images.palettes.colors, images.palettes.valid
    return _digest_of("\n".join(images.names), images.indices, *palettes, images.labels, *sizes)


def _digest_of(text: str, *tensors: Tensor) -> Tensor:
    found = hashlib.blake2b(text.encode(), digest_size=32)
    for tensor in tensors:
        found.update(tensor.contiguous().numpy())
    return torch.frombuffer(bytearray(found.digest()), dtype=torch.uint8)


def batch_rows(count: int, batch_size: int, step: int, seed: int) -> Tensor:
    """The rows of a step: a random order of ``count`` rows for each epoch, cut into batches.

    Batches leave no rest between epochs.

    Returns:
        int64 ``[batch_size]``; a function of the arguments alone.
    """
    epochs, places = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size), count)
    rows = np.empty_like(places)
    for epoch in np.unique(epochs):  # a batch may end one epoch and begin the next
        rows[epochs == epoch] = _order(count, seed, int(epoch))[places[epochs == epoch]]
    return torch.from_numpy(rows)


def turn(counts: Sequence[int], step: int, seed: int) -> tuple[int, int]:
    """Which of several sets a step belongs to, and how many steps that set had before.

    Turns are spread evenly, as often as there are pictures in each set, ``counts``: a multiple of
    the golden ratio falls into its share of [0, 1). It is a function of the arguments alone.
    """
    if len(counts) == 1:
        return 0, step
    turns, before = _turns(tuple(counts), 1 << step.bit_length(), seed)
    return int(turns[step]), int(before[step])


@lru_cache(maxsize=2)
def _turns(counts: tuple[int, ...], steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The turns of the first ``steps`` steps, int64 each."""
    first = mixed_seed(seed) / 2**64
    shares = np.cumsum(counts) / sum(counts)
    turns = np.searchsorted(shares[:-1], (first + np.arange(steps) * GOLDEN) % 1, side="right")
    before = np.zeros_like(turns)
    for which in range(len(counts)):
        before[turns == which] = np.arange((turns == which).sum())
    return turns, before


@lru_cache(maxsize=8)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed_seed(seed, epoch))).numpy()


class StreamFeed:
    """A data set that is read while the run goes on. Each process reads its own share.

    All pictures of an epoch are drawn, each once, before any of the next epoch. The next picture is
    a draw among those in the buffer.

    Args:
        start: the stream.
        seed: of the orders.
        process: which of the processes that train this is.
        processes: how many there are.
    """

    def __init__(self, start: "StreamStart", seed: int, process: int = 0, processes: int = 1) -> None:
        from tincture.data.stream import Lanes

        self.pool = start.pool
        self._start, self._seed = start, seed
        self._share = {"process": process, "processes": processes, "fingerprint": start.fingerprint}
        self._lanes = Lanes(start, seed, process, processes)
        self._buffer = ShuffleBuffer(start.pool)

    def pictures(self, step: int, positions: slice) -> IndexMaps:
        """See `Feed.pictures`.

        Raises:
            InputError: as `data.stream.Lanes.next`.
        """
        count = positions.stop - positions.start
        # More than two epochs in the buffer would only be the same pictures, encoded several times.
        while len(self._buffer) < count or (len(self._buffer) < self._start.config.buffer and self._buffer.epochs <= 2):
            epoch, encoded = self._lanes.next()
            self._buffer.add(self._start.index_maps(encoded), epoch)
        return self._buffer.take(count, mixed_seed(self._seed, step, positions.start))

    def state(self) -> dict[str, Tensor]:
        """See `Feed.state`."""
        return {**self._buffer.state(), "lanes": _as_tensor(self._share | {"lanes": self._lanes.state()})}

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """See `Feed.restore`.

        Raises:
            InputError: the stream begins with other pictures than before, or the state is damaged
                or of another share.
        """
        try:
            # A process without a state wasn't there when the checkpoint was written.
            share = _from_tensor(state["lanes"]) if "lanes" in state else {"processes": "fewer"}
            if share["processes"] != self._share["processes"]:
                raise InputError(
                    f"the checkpoint has the places of {share['processes']} processes in the stream, not of "
                    f"{self._share['processes']}: resume with as many as before"
                )
            lanes = share.pop("lanes")
            if share != self._share:
                raise InputError(
                    f"{self._start.config.path} holds other pictures than when the run began; start a new one"
                )
            self._lanes.restore(lanes)
            self._buffer.restore(state)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"the checkpoint's place in the stream is damaged: {error}") from error


class ShuffleBuffer:
    """Encoded pictures that wait to be drawn, with the numbers of their epochs.

    Thousands of them are a few megabytes.

    Args:
        like: pictures of the same size, with equally padded palettes and the same label names.
    """

    def __init__(self, like: IndexMaps) -> None:
        self._label_names = like.label_names
        # Columns are longer than the buffer: only their first rows count, as many as there are
        # names.
        self._rows = {key: value[:0].clone() for key, value in _columns(like, 0).items()}
        self._texts: dict[str, list[str]] = {key: [] for key in ("names", "captions", "credits")}

    def __len__(self) -> int:
        return len(self._texts["names"])

    @property
    def epochs(self) -> int:
        """How many epochs there are from the oldest picture's to the newest one's."""
        epochs = self._rows["epoch"][: len(self)]
        return int(epochs.max() - epochs.min()) + 1 if len(self) else 0

    def add(self, pictures: IndexMaps, epoch: int) -> None:
        """Put in pictures of an epoch."""
        start, stop = len(self), len(self) + len(pictures)
        for key, value in _columns(pictures, epoch).items():
            if stop > len(self._rows[key]):
                room = value.new_empty(stop, *value.shape[1:])  # as much again, so that copying stays rare
                self._rows[key] = torch.cat([self._rows[key][:start], value, room])
            self._rows[key][start:stop] = value
        for key, texts in self._texts.items():
            texts.extend(getattr(pictures, key))

    def take(self, count: int, seed: int) -> IndexMaps:
        """Take out ``count`` random pictures: of the oldest epoch first, then of the next."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        drawn = order[self._rows["epoch"][order].argsort(stable=True)][:count]
        taken = {key: value[drawn] for key, value in self._rows.items()}
        texts = {key: [texts[row] for row in drawn.tolist()] for key, texts in self._texts.items()}
        self._remove(drawn)
        palettes = PaletteBatch(taken["colors"], taken["valid"])
        return IndexMaps(taken["indices"], palettes, taken["labels"], self._label_names, **texts)

    def _remove(self, drawn: Tensor) -> None:
        """Fill the holes with the last rows, so that the other rows needn't move."""
        left = len(self) - len(drawn)
        stays = torch.ones(len(self), dtype=torch.bool)
        stays[drawn] = False
        holes, movers = torch.nonzero(~stays[:left])[:, 0], left + torch.nonzero(stays[left:])[:, 0]
        for value in self._rows.values():
            value[holes] = value[movers]
        for texts in self._texts.values():
            for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
                texts[hole] = texts[mover]
            del texts[left:]

    def state(self) -> dict[str, Tensor]:
        """All that the buffer holds, as tensors."""
        rows = {key: value[: len(self)] for key, value in self._rows.items()}
        return rows | {key: _as_tensor(texts) for key, texts in self._texts.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Hold what a `state` holds, in the same order.

        Raises:
            ValueError: it is no state of such a buffer.
        """
        texts = {key: _from_tensor(state[key]) for key in self._texts}
        (count,) = {len(each) for each in texts.values()}
        for key, own in self._rows.items():
            if (state[key].dtype, state[key].shape) != (own.dtype, (count, *own.shape[1:])):
                raise ValueError(f"{key} is {state[key].dtype} {list(state[key].shape)}")
        self._rows = {key: state[key].clone() for key in self._rows}
        self._texts = texts


def _columns(pictures: IndexMaps, epoch: int) -> dict[str, Tensor]:
    return {
        "indices": pictures.indices,
        "colors": pictures.palettes.colors,
        "valid": pictures.palettes.valid,
        "labels": pictures.labels,
        "epoch": torch.full((len(pictures),), epoch),
    }


def _as_tensor(value: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _from_tensor(tensor: Tensor) -> Any:
    return json.loads(tensor.numpy().tobytes())
