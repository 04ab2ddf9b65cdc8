"""A buffer in which the pictures of a stream are mixed: encoded, so thousands of them are a few megabytes, and part of checkpoints."""

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from tincture.data.index_maps import IndexMaps
from tincture.quantization.palettes.batch import PaletteBatch


class ShuffleBuffer:
    """Pictures that wait to be drawn, with the numbers of their epochs.

    Args:
        like: pictures of the same size, with equally padded palettes and the same label names.
    """

    def __init__(self, like: IndexMaps) -> None:
        self._label_names = like.label_names
        self._rows = {key: value[:0].clone() for key, value in _columns(like, 0).items()}
        """Longer than the buffer: only the first rows count, as many as there are names."""
        self._names: list[str] = []

    def __len__(self) -> int:
        return len(self._names)

    @property
    def epochs(self) -> int:
        """How many epochs there are between the oldest and the newest picture, both counted."""
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
        self._names += pictures.names

    def take(self, count: int, seed: int) -> IndexMaps:
        """Draw ``count`` pictures and remove them: any of the oldest epoch, then of the next one."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        drawn = order[self._rows["epoch"][order].argsort(stable=True)][:count]
        taken = {key: value[drawn] for key, value in self._rows.items()}
        names = [self._names[row] for row in drawn.tolist()]
        self._remove(drawn)
        palettes = PaletteBatch(taken["colors"], taken["valid"])
        return IndexMaps(taken["indices"], palettes, taken["labels"], self._label_names, names)

    def state(self) -> dict[str, Tensor]:
        """Everything in here, as tensors."""
        rows = {key: value[: len(self)] for key, value in self._rows.items()}
        return {**rows, "names": torch.frombuffer(bytearray(json.dumps(self._names).encode()), dtype=torch.uint8)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Hold what a `state` holds, in the same order.

        Raises:
            ValueError: it is no state of such a buffer.
        """
        names = json.loads(state["names"].numpy().tobytes())
        for key, own in self._rows.items():
            if (state[key].dtype, state[key].shape) != (own.dtype, (len(names), *own.shape[1:])):
                raise ValueError(f"{key} is {state[key].dtype} {list(state[key].shape)}")
        self._rows = {key: state[key].clone() for key in self._rows}
        self._names = names

    def _remove(self, drawn: Tensor) -> None:
        """Fill the holes with the last rows, so that the others needn't move."""
        left = len(self) - len(drawn)
        stays = torch.ones(len(self), dtype=torch.bool)
        stays[drawn] = False
        holes, movers = torch.nonzero(~stays[:left])[:, 0], left + torch.nonzero(stays[left:])[:, 0]
        for value in self._rows.values():
            value[holes] = value[movers]
        for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
            self._names[hole] = self._names[mover]
        del self._names[left:]


def _columns(pictures: IndexMaps, epoch: int) -> dict[str, Tensor]:
    return {
        "indices": pictures.indices,
        "colors": pictures.palettes.colors,
        "valid": pictures.palettes.valid,
        "labels": pictures.labels,
        "epoch": torch.full((len(pictures),), epoch),
    }
