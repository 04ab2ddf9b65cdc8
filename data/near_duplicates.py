"""Which pictures show one thing: copies, recolored, mirrored, turned or moved ones, variants.

They stand on one side of the split. Else a model would be measured on pictures that it has learned,
in other colors. Two pictures are near-duplicates if their colors change at nearly the same places,
in one of the eight positions of a square and moved by at most a pixel, once what is visible is
centered. Which colors they are doesn't matter.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .sources import ALWAYS_HELD_OUT, ALWAYS_LEARNED, LabelledImage, SourcePicture, content_hash, name_hash

MAX_COLORS = 256
"""Pictures of more colors are photographs and such: only their copies are looked for."""

FEWEST_PIXELS = 16
"""Pictures of fewer visible pixels are alike without showing one thing."""

SAME_EDGES = 0.9
"""From which correlation on the edges of two pictures are the same."""

SKETCH = 128
"""Numbers that stand for a picture's edges in the first comparison."""

CANDIDATES = 0.8
"""From which correlation of these on the edges themselves are compared."""

BLOCK = 1024
"""Pictures that are compared with all others at a time."""


class Groups:
    """Numbers from 0 in groups that are joined (union-find)."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def find(self, number: int) -> int:
        """The number that stands for the group of ``number``."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one group of two."""
        self._parents[self.find(one)] = self.find(other)


def joined(images: Sequence[SourcePicture]) -> list[SourcePicture]:
    """The same pictures; those that show one thing have one hash, and so stand on one side.

    What has one hash shows one thing, and so do near-duplicates and what shows one thing with the
    same third picture. Such a group gets the hash of one of its pictures. A new picture may change
    this for the pictures that it joins, and for no others. Pictures that a split of their own holds
    out or doesn't (`ALWAYS_HELD_OUT`) are only joined with their copies, which are then held out.
    """
    groups = Groups(len(images))
    firsts: dict[object, int] = {}
    fixed = [image.side in (ALWAYS_HELD_OUT, ALWAYS_LEARNED) for image in images]
    shapes = defaultdict(list)
    for number, image in enumerate(images):
        pixels = _pixels(image)
        groups.join(number, firsts.setdefault((pixels.shape, content_hash(pixels)), number))
        if not fixed[number]:
            groups.join(number, firsts.setdefault(image.side, number))
            if (shape := centered(pixels)) is not None:
                shapes[shape.shape].append((number, shape))
    for numbered in shapes.values():
        join_alike(groups, [number for number, _ in numbered], np.stack([shape for _, shape in numbered]))
    sides: dict[int, int] = {}
    for number, image in enumerate(images):
        root = groups.find(number)
        sides[root] = min(sides.get(root, image.side), image.side, key=_rank)
    return [replace(image, side=sides[groups.find(number)]) for number, image in enumerate(images)]


def _rank(side: int) -> tuple[bool, bool, int]:
    """Which hash a group takes: the least by another hash, or most large groups were held out."""
    return side != ALWAYS_HELD_OUT, side != ALWAYS_LEARNED, name_hash(str(side))


def _pixels(image: SourcePicture) -> np.ndarray:
    pixels = image.pixels if isinstance(image, LabelledImage) else image.palette.colors[image.indices]
    return np.where(pixels[..., 3:] > 0, pixels, np.uint8(0))


def centered(pixels: np.ndarray) -> np.ndarray | None:
    """The colors of a picture as numbers, what is visible in the middle, uint32 ``[S, S]``.

    ``pixels`` are uint8 ``[H, W, 4]``, zero where they are transparent. None for pictures of too
    many colors or too few visible pixels.
    """
    visible, size = pixels[..., 3] > 0, max(pixels.shape[:2])
    if visible.sum() < FEWEST_PIXELS:
        return None
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    shown = np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).view(np.uint32)[..., 0]
    if len(np.unique(shown)) > MAX_COLORS:
        return None
    height, width = shown.shape
    canvas = np.zeros((size, size), np.uint32)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = shown
    return canvas


def join_alike(groups: Groups, numbers: Sequence[int], shapes: np.ndarray) -> None:
    """Join the near-duplicates among pictures of one size.

    Args:
        groups: what is joined.
        numbers: the pictures' numbers there.
        shapes: as `centered` gives them, ``[N, S, S]``.
    """
    length = 2 * shapes.shape[1] * (shapes.shape[2] - 1)
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), (length, SKETCH))
    blocks = [slice(start, start + BLOCK) for start in range(0, len(shapes), BLOCK)]
    sketches = np.concatenate([_sketched(_edges(shapes[block]), signs) for block in blocks])
    for block in blocks:
        for position in _positions(shapes[block]):
            moved = _edges(position)
            alike = sketches[: block.stop] @ _sketched(moved, signs).T >= CANDIDATES
            alike = np.triu(alike, 1 - block.start)  # each pair once
            for one, other in np.argwhere(alike).tolist():
                first, second = groups.find(numbers[one]), groups.find(numbers[block.start + other])
                if first != second and _correlation(_edges(shapes[one : one + 1])[0], moved[other]) >= SAME_EDGES:
                    groups.join(first, second)


def _positions(shapes: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures turned, mirrored and moved by a pixel, each ``[N, S, S]``."""
    for upright in (shapes, shapes.transpose(0, 2, 1)):
        for turned in (upright, upright[:, ::-1], upright[:, :, ::-1], upright[:, ::-1, ::-1]):
            for down in (0, -1, 1):
                for right in (0, -1, 1):
                    yield np.roll(turned, (down, right), (1, 2))


def _edges(shapes: np.ndarray) -> np.ndarray:
    """Where neighbors differ, bool ``[N, E]``."""
    across, down = shapes[:, :, 1:] != shapes[:, :, :-1], shapes[:, 1:] != shapes[:, :-1]
    return np.concatenate([across.reshape(len(shapes), -1), down.reshape(len(shapes), -1)], axis=1)


def _sketched(edges: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Rows whose inner products are nearly the correlations of the edges, ``[N, SKETCH]``.

    They are random projections (Achlioptas 2003); at a correlation of 0.9 they err by 0.02.
    """
    sketches = edges.astype(np.float32) @ signs - edges.mean(axis=1, dtype=np.float32)[:, None] * signs.sum(axis=0)
    return sketches / np.maximum(np.linalg.norm(sketches, axis=1, keepdims=True), 1e-3)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """0 where one of them is constant."""
    first, second = one.mean(), other.mean()
    spread = (first * (1 - first) * second * (1 - second)) ** 0.5
    return ((one & other).mean() - first * second) / spread if spread > 0 else 0.0
