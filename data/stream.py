"""A stream of pictures that nobody holds as a whole, cut into lanes that share no picture.

Each process that trains has its own lanes, one for each worker that reads and encodes for it. A
lane reads its share of the data set again and again, in another order of the shards each time. With
each chunk it says how to go on after it, so a run that was interrupted in the middle of an epoch
goes on with the next picture.
"""

import functools
import hashlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from types import FrameType
from typing import Any

import datasets
import torch
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from tincture.common.errors import InputError
from tincture.quantization.palettes.palette import Palette

from .hugging_face import Rows, Table, chunks, open_table, pictures
from .index_maps import IndexMaps, count_changes, encode_picture, given_palette, report_sides, shared_palette
from .sources import OTHER_LABEL, DataConfig, EncodedPicture, SourcePicture, is_heldout, name_hash, report_broken

SAMPLED_SHARDS = 10
"""Shards that are open at a time while a stream's first pictures are read."""

PREFETCHED = 4
"""Chunks that a worker may be ahead."""

State = dict[str, Any]
"""Plain values, as JSON can hold them."""


@dataclass(frozen=True)
class StreamStart:
    """What is known of a stream before training: where it comes from, and its first pictures."""

    config: DataConfig
    table: Table
    given: Palette | None
    """The palette of all pictures, if they share one."""
    pool: IndexMaps
    """A sample of the training side."""
    heldout: IndexMaps
    """A sample of the held-out side."""

    @property
    def entries(self) -> int:
        """To how many entries palettes are padded."""
        return len(self.given) if self.given else self.config.max_colors

    @functools.cached_property
    def fingerprint(self) -> str:
        """Changes if the stream begins with other pictures."""
        digest = hashlib.blake2b(repr(self.pool.label_names).encode(), digest_size=16)
        for side in (self.pool, self.heldout):
            for tensor in (side.indices, side.palettes.colors):
                digest.update(tensor.numpy().tobytes())
            digest.update("".join(side.captions).encode())  # without captions, the digest of before
        return digest.hexdigest()

    def index_maps(self, encoded: list[EncodedPicture]) -> IndexMaps:
        """Pictures of this stream. Labels that its first pictures lack count as ``other``."""
        return _index_maps(encoded, self.pool.label_names, self.entries)


def start_stream(config: DataConfig) -> StreamStart:
    """Open a stream and read its first pictures, until there are enough of both sides.

    They come from several shards side by side.

    Raises:
        InputError: the data set can't be read, or one of its sides is empty.
    """
    given = given_palette(config)
    table = open_table(config)
    sample, heldout = _first_pictures(table, config)
    if config.palette == "shared":
        given = shared_palette(sample, config)
    sides = [
        [picture for picture in (encode_picture(image, config, given) for image in side) if picture is not None]
        for side in (sample, heldout)
    ]
    for side, name in zip(sides, ("training", "held-out"), strict=True):
        if not side:
            raise InputError(
                f"the stream {config.path} begins with no {name} picture that can be used: see data.heldout_fraction"
            )
    seen = {picture.label for side in sides for picture in side}
    label_names = [*(table.columns.class_names or sorted(seen - {OTHER_LABEL})), OTHER_LABEL]
    entries = len(given) if given else config.max_colors
    pool, kept = (_index_maps(side, label_names, entries) for side in sides)
    report_sides(pool, kept, count_changes([*sample, *heldout]), config.sizes, "the stream begins with ")
    return StreamStart(config, table, given, pool, kept)


def _first_pictures(table: Table, config: DataConfig) -> tuple[list[SourcePicture], list[SourcePicture]]:
    """A sample of each side."""
    sides: dict[bool, list[SourcePicture]] = {False: [], True: []}
    wanted = {False: config.sample_images, True: config.heldout_images}
    with tqdm(total=sum(wanted.values()), desc="reading the first images", unit="image") as bar:
        for rows in _side_by_side(table.data, config.path):
            for image in pictures(rows, table.columns, config):
                if isinstance(image, InputError):
                    report_broken(image, config.strict)
                elif len(sides[side := is_heldout(image.side, config.heldout_fraction)]) < wanted[side]:
                    sides[side].append(image)
                    bar.update()
            if all(len(sides[side]) == wanted[side] for side in sides):
                break
    return sides[False], sides[True]


def _side_by_side(data: datasets.IterableDataset, path: str) -> Iterator[Rows]:
    """A chunk of each of `SAMPLED_SHARDS` shards in turn: a shard may hold a single class."""
    count = min(SAMPLED_SHARDS, data.num_shards)
    parts = [split_dataset_by_node(data, part, count, strategy="shards") for part in range(count)]
    for part in parts:
        part.set_epoch(1)  # shards in a random order
    for turn in zip_longest(*(chunks(part, path) for part in parts)):
        yield from (rows for rows in turn if rows is not None)


def _index_maps(encoded: list[EncodedPicture], label_names: list[str], entries: int) -> IndexMaps:
    known = [each if each.label in label_names else replace(each, label=OTHER_LABEL) for each in encoded]
    return IndexMaps.of(known, label_names, entries)


@dataclass(frozen=True)
class Chunk:
    """Some pictures of a lane, which may be none."""

    pictures: list[EncodedPicture]
    broken: list[InputError]
    state: State
    """How to go on after them."""
    ends_epoch: bool = False
    failure: InputError | None = None
    """Why the lane can't go on."""


class Lane(IterableDataset):
    """One share of a stream's training side, encoded, without an end, for torch's DataLoader.

    Args:
        start: the stream.
        lane: which share.
        lanes: of how many.
        seed: of the orders of shards.
        state: where to go on, from a chunk; None for the beginning.
    """

    def __init__(self, start: StreamStart, lane: int, lanes: int, seed: int, state: State | None) -> None:
        self.config, self.table, self.given = start.config, start.table, start.given
        self.lane, self.lanes, self.seed = lane, lanes, seed
        self.start_state = state or {"epoch": 0, "place": None}

    def __iter__(self) -> Iterator[Chunk]:
        epoch, place = self.start_state["epoch"], self.start_state["place"]
        data = split_dataset_by_node(self.table.data, self.lane, self.lanes)
        while True:
            # The library takes the number of an epoch as the seed of the shards' order; in epoch 0
            # it leaves them as they are.
            data.set_epoch(1 + name_hash(f"{self.seed} {epoch}") % 2**31)
            data.load_state_dict(place)
            try:
                for rows in chunks(data, self.config.path):
                    yield self._chunk(rows, {"epoch": epoch, "place": data.state_dict()})
            except InputError as error:
                yield Chunk([], [], {}, failure=error)
                return
            epoch, place = epoch + 1, None
            yield Chunk([], [], {"epoch": epoch, "place": None}, ends_epoch=True)

    def _chunk(self, rows: Rows, state: State) -> Chunk:
        encoded, broken = [], []
        for image in pictures(rows, self.table.columns, self.config):
            if isinstance(image, InputError):
                broken.append(image)
            elif not is_heldout(image.side, self.config.heldout_fraction):
                encoded.append(encode_picture(image, self.config, self.given))
        return Chunk([picture for picture in encoded if picture is not None], broken, state)


class Lanes:
    """The lanes of one process, a chunk of each in turn.

    No lane begins an epoch before all have ended the last one.

    Args:
        start: the stream.
        seed: of the orders of shards.
        process: which of the processes this is.
        processes: how many share the stream.
    """

    def __init__(self, start: StreamStart, seed: int, process: int, processes: int) -> None:
        self.start, self.seed = start, seed
        workers = max(start.config.workers, 1)
        self._numbers = range(process * workers, (process + 1) * workers)
        self._total = processes * workers
        self._states: list[State | None] = [None] * workers
        self._ended = [False] * workers
        self._turn = self._epoch = self._count = 0
        self._iterators: list[Iterator[Chunk]] | None = None

    def next(self) -> tuple[int, list[EncodedPicture]]:
        """At least one picture, and the number of its epoch.

        Raises:
            InputError: the stream can't be read on, has no training picture, or has a broken one
                while ``data.strict`` is set.
        """
        if self._iterators is None:
            self._iterators = [self._open(place) for place in range(len(self._numbers))]
        while True:
            place = self._turn
            self._turn = (place + 1) % len(self._numbers)
            if self._ended[place]:
                continue
            chunk = next(self._iterators[place])
            if chunk.failure is not None:
                raise chunk.failure
            for error in chunk.broken:
                if self._epoch == 0 or self.start.config.strict:
                    report_broken(error, self.start.config.strict)
            self._states[place] = chunk.state
            self._count += len(chunk.pictures)
            if chunk.pictures:
                return self._epoch, chunk.pictures
            if chunk.ends_epoch:
                self._ended[place] = True
                if all(self._ended):
                    self._begin_epoch()

    def state(self) -> State:
        """What `restore` needs to go on after the last chunk."""
        return {
            "states": self._states,
            "ended": self._ended,
            "turn": self._turn,
            "epoch": self._epoch,
            "count": self._count,
        }

    def restore(self, state: State) -> None:
        """Go on from a `state`."""
        self._states, self._ended = list(state["states"]), list(state["ended"])
        self._turn, self._epoch, self._count = state["turn"], state["epoch"], state["count"]
        self._iterators = None

    def _begin_epoch(self) -> None:
        if self._count == 0:
            raise InputError(
                f"no training picture of {self.start.config.path} is left for one of the processes: use fewer, or more data"
            )
        self._epoch, self._count = self._epoch + 1, 0
        self._ended = [False] * len(self._ended)

    def _open(self, place: int) -> Iterator[Chunk]:
        lane = Lane(self.start, self._numbers[place], self._total, self.seed, self._states[place])
        if self.start.config.workers == 0:
            return iter(lane)
        # A loader with one worker for each lane, so that each can be asked for when it is its turn.
        loader = DataLoader(
            lane,
            batch_size=None,
            num_workers=1,
            prefetch_factor=PREFETCHED,
            collate_fn=_as_it_is,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),
        )
        return iter(loader)


def _as_it_is(chunk: Chunk) -> Chunk:
    return chunk


def _start_worker(_: int) -> None:
    """Leave signals to the training process, which ends its workers itself, and use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _obey_the_next)
    os.environ["NUMBA_NUM_THREADS"] = "1"


def _obey_the_next(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
