"""What a codec of index maps can do without a network: tables fitted on other pictures.

A pixel is coded in reading order as the entry of its left neighbor, or of another one, or as none
of these. How likely each is, a table says for each pattern of which neighbors are equal.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from tincture.quantization.spaces import SPACES

NEIGHBORS = ((0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0))
"""Down and right of a pixel; those that a reader knows already."""

DEPTHS = (6, 4, 2, 0)
"""Patterns of so many neighbors; each table leans on the next one, as far as it has seen little."""

_UNMET = 3.0
"""How many pixels an entry counts as that wasn't met yet."""

_BACKING = 2.0
"""How many pixels a shorter pattern's shares count as."""


def pixels(indices: np.ndarray) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each pixel's entry and its neighbors', -1 outside, in reading order."""
    height, width = indices.shape
    padded = np.full((height + 2, width + 4), -1)
    padded[2:, 2:-2] = indices
    seen = np.stack([padded[2 + down :, 2 + right : 2 + right + width][:height] for down, right in NEIGHBORS], axis=-1)
    for entry, around in zip(indices.ravel().tolist(), seen.reshape(-1, len(NEIGHBORS)).tolist(), strict=True):
        yield entry, tuple(around)


@lru_cache(1 << 16)
def pattern(around: tuple[int, ...], clear: int) -> tuple[tuple[int, ...], list[int]]:
    """Which neighbors are equal, and clear, as numbers; and the entries that have these numbers.

    The transparent entry has a number of its own, the first, whether a neighbor has it or not.
    """
    entries, numbers = [clear], []
    for entry in around:
        if entry >= 0 and entry not in entries:
            entries.append(entry)
        numbers.append(entries.index(entry) if entry >= 0 else -1)
    return tuple(numbers), entries


def nearness(colors: np.ndarray) -> np.ndarray:
    """The place of each entry among those near to each, the nearest first, int ``[K, K]``."""
    oklab = SPACES["oklab"].from_bytes(colors)
    return np.linalg.norm(oklab[:, None] - oklab, axis=2).argsort(axis=1).argsort(axis=1)


class ContextTables:
    """Counts of what follows each pattern, and of how near an entry is that no neighbor has.

    Args:
        pictures: index maps to learn from, uint8 ``[H, W]``, with the colors of each, ``[K, 4]``.
    """

    def __init__(self, pictures: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        self.counts: Counter = Counter()
        self.near = np.ones(256)
        for indices, colors in pictures:
            for entry, found, _, depths, others, ranks, _ in self._read(indices, colors):
                for depth in depths:
                    self.counts[depth, found] += 1
                if found < 0:
                    self.near[ranks[others == entry]] += 1

    def bits(self, indices: np.ndarray, colors: np.ndarray) -> float:
        """The code length of an index map in a palette whose colors are known."""
        total = 0.0
        for entry, found, possible, depths, others, ranks, met in self._read(indices, colors):
            shares = np.full(len(possible), 1 / len(possible))
            for depth in reversed(depths):
                seen = np.array([self.counts[depth, each] for each in possible])
                shares = (seen + _BACKING * shares) / (seen.sum() + _BACKING)
            total -= np.log2(shares[possible.index(found)])
            if found < 0:
                weights = self.near[ranks] * (met[others] + _UNMET)
                total -= np.log2(weights[others == entry].item() / weights.sum())
        return total

    def _read(self, indices: np.ndarray, colors: np.ndarray) -> Iterator[tuple]:
        """What is known at each pixel: its entry, which neighbor's that is, patterns, the rest."""
        clear = int((colors[:, 3] == 0).argmax()) if (colors[:, 3] == 0).any() else -2
        ranks, met = nearness(colors), np.zeros(len(colors))
        for entry, around in pixels(indices):
            numbers, entries = pattern(around, clear)
            others = np.setdiff1d(np.arange(len(colors)), entries)
            last = max(around[0], 0)
            found = entries.index(entry) if entry in entries else -1
            possible = [*([-1] if len(others) else []), *(place for place, each in enumerate(entries) if each >= 0)]
            yield entry, found, possible, [numbers[:depth] for depth in DEPTHS], others, ranks[last, others], met
            met[entry] += 1
