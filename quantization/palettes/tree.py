"""A tree over a palette's colors: median cut (Heckbert 1982), as a function of their set."""

from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from .batch import PaletteBatch, on_black_and_white

_GRID = 2**12
"""Steps of a coordinate: colors are compared as whole numbers, the same on every machine."""


class ColorTree(NamedTuple):
    """Trees of B palettes of at most K entries, with N nodes and levels 0 (the root) … L.

    Node k < K is the leaf of entry k, and node K, which is ``palette.mask_index``, is the root. The
    others stand after it; not all of them are in use. A leaf counts for all levels from its own on.
    """

    members: Tensor
    """Which entries stand under a node, bool ``[B, N, K]``."""
    ancestors: Tensor
    """The node at each level on the way from the root, then the node itself, ``[B, N, L + 1]``."""
    first: Tensor
    """A node's level, int64 ``[B, N]``."""
    last: Tensor
    """The same, but L for a leaf."""
    middle: Tensor
    """The entry under a node that is nearest to the mean of all, int64 ``[B, N]``."""


def at_pixels(values: Tensor, rows: Tensor) -> Tensor:
    """Of values ``[B, N, *]`` those of each pixel's row, int64 ``[B, H, W]`` → ``[B, H W, *]``."""
    images = torch.arange(len(rows), device=rows.device)[:, None]
    return values.flatten(0, 1)[images * values.shape[1] + rows.flatten(1)]


_trees: WeakKeyDictionary[PaletteBatch, ColorTree] = WeakKeyDictionary()


@torch.compiler.disable
def color_tree(palette: PaletteBatch) -> ColorTree:
    """Grown once for each batch of palettes; permuting a palette permutes its leaves alone.

    The root parts a transparent entry from the others, where there is one. Each other node is cut
    at the median of its colors along the axis of largest extent: OKLab on black and on white. Equal
    colors are never cut: they become leaves at once. So a tree has at most 1 + log2 K levels.
    """
    if palette not in _trees:
        _trees[palette] = _grow(palette)
    return _trees[palette]


def _grow(palette: PaletteBatch) -> ColorTree:
    paths = _paths(palette)  # [B, K, L + 1]
    (batch, entries, levels), device = paths.shape, paths.device
    nodes = entries + 2 ** (levels - 2)
    members = torch.zeros(batch, nodes, entries, dtype=torch.bool, device=device)
    members = members.scatter_(1, paths.mT, True) & palette.valid[:, None, :]
    level = torch.arange(levels, device=device)
    each = level.expand_as(paths).flatten(1)
    first = torch.full((batch, nodes), levels - 1, device=device).scatter_reduce_(1, paths.flatten(1), each, "amin")
    last = torch.zeros_like(first).scatter_reduce_(1, paths.flatten(1), each, "amax")
    # Rounded, two entries are equally far from their mean. Then the lower color is taken.
    points, share = _points(palette).float(), members / members.sum(dim=2, keepdim=True).clamp_min(1)
    distance = torch.cdist(share @ points, points, compute_mode="donot_use_mm_for_euclid_dist").round().long()
    far = torch.iinfo(torch.long).max
    middle = ((distance << 32) + _codes(palette)[:, None]).masked_fill(~members, far).argmin(dim=2)
    above = paths.gather(1, middle[..., None].expand(-1, -1, levels))
    own = torch.arange(nodes, device=device)[:, None]
    return ColorTree(members, torch.where(level < first[..., None], above, own), first, last, middle)


def _paths(palette: PaletteBatch) -> Tensor:
    """The nodes from the root to each entry's leaf, int64 ``[B, K, L + 1]``."""
    codes, points = _codes(palette), _points(palette)
    entries, device = palette.mask_index, codes.device
    cuts = (entries - 1).bit_length()
    own = torch.arange(entries, device=device).expand_as(codes)
    clear = palette.valid & (palette.colors[..., 3] == 0)
    colored = palette.valid & ~clear
    both = colored[:, :, None] & colored[:, None, :]
    # Equal colors count once: the first of them.
    counts = colored & ~(both & (codes[:, :, None] == codes[:, None, :])).tril(-1).any(dim=2)
    ranked = (points + 2 * _GRID << 32) + codes[..., None]  # by place on an axis, then by color: [B, K, 4]
    part, nodes = torch.zeros_like(own), []
    for level in range(cuts + 1):
        together = both & (part[:, :, None] == part[:, None, :]) & counts[:, None, :]  # [B, K, K]
        colors = together.sum(dim=2)
        nodes.append(torch.where(colors > 1, entries + 2**level + part, own))
        # The axis of the largest extent of each part; of equal ones the first.
        place = part[..., None].expand_as(points)
        ends = torch.full((len(codes), 2**level, 4), 4 * _GRID, device=device)
        low = ends.scatter_reduce(1, place, points.where(colored[..., None], 4 * _GRID), "amin")
        high = (-ends).scatter_reduce(1, place, points.where(colored[..., None], -4 * _GRID), "amax")
        axis = (4 * (high - low) - torch.arange(4, device=device)).argmax(dim=2).gather(1, part)
        rank = ranked.gather(2, axis[..., None])[..., 0]
        below = (together & (rank[:, None, :] < rank[:, :, None])).sum(dim=2)
        part = 2 * part + (2 * below >= colors)
    root = torch.full_like(own, entries)
    with_clear, without = torch.stack([root, *nodes], dim=2), torch.stack([root, *nodes[1:], own], dim=2)
    paths = torch.where(clear.any(dim=1)[:, None, None], with_clear, without)
    return torch.where(palette.valid[..., None], paths, own[..., None])


def _codes(palette: PaletteBatch) -> Tensor:
    """RGBA as one number, int64 ``[B, K]``."""
    colors = palette.colors.long()
    return (colors[..., 0] << 24) + (colors[..., 1] << 16) + (colors[..., 2] << 8) + colors[..., 3]


def _points(palette: PaletteBatch) -> Tensor:
    """Coordinates in whole steps, int64 ``[B, K, 4]``."""
    return (on_black_and_white(palette.oklab(), palette.colors[..., 3]) * _GRID).round().long()
