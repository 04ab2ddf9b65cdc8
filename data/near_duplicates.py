"""Which pictures show one thing: copies, recolored, mirrored, turned or moved ones, variants.

They stand on one side of the split. Else a model would be measured on pictures that it has learned,
in other colors. Two pictures are near-duplicates if their silhouettes, cut to what is visible, are
the same up to turns and mirrors, and if inside of these color changes at nearly the same places.
Which colors they are doesn't matter.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .sources import (
    ALWAYS_HELD_OUT,
    ALWAYS_LEARNED,
    LabelledImage,
    SourcePicture,
    content_hash,
    name_hash,
)

MAX_COLORS = 64
"""Pictures of more colors are photographs and such: only their copies are looked for."""

FEWEST_PIXELS = 16
"""Smaller pictures are alike without showing one thing."""

SAME_EDGES = 0.8
"""From which correlation on two pictures' edges are the same ones."""

BLOCK = 1024
"""Pictures of one silhouette that are compared with all others at a time."""


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
            if (shape := silhouette_and_edges(pixels)) is not None:
                shapes[shape[0]].append((number, shape[1]))
    for alike in shapes.values():
        for one, other in same_edges([edges for _, edges in alike]):
            groups.join(alike[one][0], alike[other][0])
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


def silhouette_and_edges(pixels: np.ndarray) -> tuple[bytes, list[np.ndarray]] | None:
    """What near-duplicates have in common.

    Args:
        pixels: uint8 ``[H, W, 4]``, zero where they are transparent.

    Returns:
        The silhouette without its margins, in the first of its eight positions, and whether
        neighbors differ, bool ``[E]``, in each position that looks so. None for pictures of too
        many colors or too few visible pixels.
    """
    visible = pixels[..., 3] > 0
    if visible.sum() < FEWEST_PIXELS:
        return None
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    packed = np.ascontiguousarray(pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]).view(np.uint32)[..., 0]
    if len(np.unique(packed)) > MAX_COLORS:
        return None
    positions = [
        turned for each in (packed, packed.T) for turned in (each, each[::-1], each[:, ::-1], each[::-1, ::-1])
    ]
    outlines = [repr(each.shape).encode() + np.packbits(each > 0).tobytes() for each in positions]
    first = min(outlines)
    return first, [_edges(each) for each, outline in zip(positions, outlines, strict=True) if outline == first]


def _edges(packed: np.ndarray) -> np.ndarray:
    across, down = packed[:, 1:] != packed[:, :-1], packed[1:] != packed[:-1]
    inside = (packed[:, 1:] > 0) & (packed[:, :-1] > 0), (packed[1:] > 0) & (packed[:-1] > 0)
    return np.concatenate([across[inside[0]], down[inside[1]]])


def same_edges(edges: Sequence[Sequence[np.ndarray]]) -> list[tuple[int, int]]:
    """Pairs of pictures of one silhouette with nearly the same edges in one of their positions.

    ``edges`` has for each picture the same number of positions.
    """
    if len(edges) < 2:
        return []
    scaled = [_standardized(np.array([each[position] for each in edges])) for position in range(len(edges[0]))]
    pairs = []
    for start in range(0, len(edges), BLOCK):
        for turned in scaled:
            alike = scaled[0][start : start + BLOCK] @ turned.T >= SAME_EDGES
            ones, others = np.nonzero(alike)
            pairs += [
                (one + start, other)
                for one, other in zip(ones.tolist(), others.tolist(), strict=True)
                if one + start < other
            ]
    return pairs


def _standardized(edges: np.ndarray) -> np.ndarray:
    """Rows whose inner products are correlations, ``[N, E]``; constant ones agree if equal."""
    centered = edges - edges.mean(axis=1, keepdims=True, dtype=np.float32)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    rows = np.divide(centered, lengths, out=np.zeros_like(centered), where=lengths > 1e-3)
    flat = lengths[:, 0] <= 1e-3
    full = edges.any(axis=1)
    return np.concatenate([rows, (flat & ~full)[:, None], (flat & full)[:, None]], axis=1, dtype=np.float32)
