"""Feeding from a stream: lanes of pictures run into a buffer, from which steps draw. Both can be saved and restored exactly."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tincture.common.errors import InputError
from tincture.data.index_maps import IndexMaps
from tincture.data.stream import Lanes, StreamStart
from tincture.diffusion.draws import mixed_seed

from .shuffle_buffer import ShuffleBuffer


class StreamFeed:
    """A `training.feeds.Feed` from a stream, in which each process has its own share.

    All pictures of an epoch are drawn before any of the next one, each once; which one is next is a draw among those in the buffer.

    Args:
        start: the stream.
        seed: of the orders.
        process: which of the processes that train this is.
        processes: how many there are.
    """

    def __init__(self, start: StreamStart, seed: int, process: int = 0, processes: int = 1) -> None:
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
        plain = json.dumps(self._share | {"lanes": self._lanes.state()}).encode()
        return {**self._buffer.state(), "lanes": torch.frombuffer(bytearray(plain), dtype=torch.uint8)}

    def restore(self, state: Mapping[str, Tensor], step: int) -> None:
        """See `Feed.restore`.

        Raises:
            InputError: the stream begins with other pictures than before, or the state is damaged or that of another share.
        """
        plain = _read_plain(state)
        processes = self._share["processes"]
        if plain["processes"] != processes:
            raise InputError(
                f"the checkpoint has the places of {plain['processes']} processes in the stream, not of {processes}: "
                "resume with as many as before"
            )
        if plain != self._share | {"lanes": plain.get("lanes")}:
            raise InputError(f"{self._start.config.path} holds other pictures than when the run began; start a new one")
        try:
            self._lanes.restore(plain["lanes"])
            self._buffer.restore(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"the checkpoint's place in the stream is damaged: {error}") from error


def _read_plain(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The part of a state that isn't tensors; of a process that has none, that there were fewer processes."""
    if "lanes" not in state:
        return {"processes": "fewer"}
    try:
        return {"processes": None} | json.loads(state["lanes"].numpy().tobytes())
    except (TypeError, ValueError) as error:
        raise InputError(f"the checkpoint's place in the stream is damaged: {error}") from error
