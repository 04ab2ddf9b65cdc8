"""Index maps by a denoiser's probabilities, pixels far from each other first.

A denoiser of the absorbing process says how likely each entry is at each masked pixel, given those
that are known (`diffusion.likelihood` has the theory). A group of pixels is coded at each call,
each by itself. Pixels of one group should know little of each other, so they come in Halton's
order, and groups grow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from tincture.diffusion.orders import halton
from tincture.quantization.palettes.batch import PaletteBatch

from .arithmetic import Coder, Tape, code_by_logits, code_one
from .network import CodecNetwork

GROUPS: dict[int, tuple[int, ...]] = {
    4: (16, 56, 132, 256),
    8: (4, 12, 24, 44, 76, 120, 180, 256),
    16: (3, 6, 8, 16, 24, 40, 48, 64, 80, 104, 128, 152, 176, 208, 224, 256),
}
"""By the number of calls: how many of each 256 pixels are known after each call."""

EFFORTS: tuple[tuple[int, int], ...] = ((4, 1), (8, 1), (16, 1), (16, 8))
"""Calls, and among how many orders the shortest is taken (`order_of`)."""

MOST_LOGITS = 1 << 15
"""So many at most share one shift, so that one is found."""

BATCH = 64
"""Pictures of one size that are coded together where several share a file: part of the format."""


@dataclass(frozen=True, eq=False)
class IndexMap:
    """An index map to be coded, or one of which only the shape and the palette are known yet."""

    coder: Coder
    """Maps of one file share one."""
    shape: tuple[int, int]
    """Height and width."""
    colors: np.ndarray
    """uint8 ``[K, 4]``."""
    indices: np.ndarray | None = None
    """uint8 ``[H, W]``."""


def code_index_maps(
    network: CodecNetwork, maps: Sequence[IndexMap], effort: int, progress: bool = False
) -> list[np.ndarray]:
    """Write index maps, or read them; returns them, uint8 ``[H, W]`` each.

    Args:
        network: says how likely each entry is.
        maps: all with indices, for encoders, or all without.
        effort: of `EFFORTS`.
        progress: whether a bar shows it.

    Raises:
        MarginError: another machine may get other probabilities.
    """
    found: list[np.ndarray] = [np.zeros(each.shape, np.uint8) for each in maps]
    # A palette of one entry leaves nothing to say.
    rows = [row for row, each in enumerate(maps) if len(each.colors) > 1]
    shapes = dict.fromkeys(maps[row].shape for row in rows)
    groups = [[row for row in rows if maps[row].shape == shape] for shape in shapes]
    batches = [group[first : first + BATCH] for group in groups for first in range(0, len(group), BATCH)]
    calls, orders = EFFORTS[effort]
    passes = orders if rows and maps[rows[0]].indices is not None else 1
    with tqdm(total=passes * calls * len(batches), unit="call", disable=not progress) as bar:
        for batch in batches:
            coded = _code_batch(network, [maps[row] for row in batch], calls, orders, bar)
            for row, indices in zip(batch, coded, strict=True):
                found[row] = indices
    return found


def _code_batch(
    network: CodecNetwork, maps: Sequence[IndexMap], calls: int, orders: int, bar: tqdm
) -> Sequence[np.ndarray]:
    """Index maps of one shape: which order each has, then its pixels."""
    is_writing = maps[0].indices is not None
    best: Sequence[int | None] = [0 if is_writing else None] * len(maps)
    tapes: list[list[list[Tape]]] = []
    if is_writing and orders > 1:
        for order in range(orders):
            tapes.append([[Tape() for _ in range(calls)] for _ in maps])
            _code_pixels(network, maps, [order] * len(maps), tapes[-1], bar)
        bits = np.array([[sum(tape.bits for tape in row) for row in each] for each in tapes])
        best = bits.argmin(axis=0).tolist()
    chosen = [code_one(each.coder, np.ones(orders), order) for each, order in zip(maps, best, strict=True)]
    if not tapes:
        return _code_pixels(network, maps, chosen, [[each.coder] * calls for each in maps], bar)
    for call in range(calls):
        for row, each in enumerate(maps):
            tapes[chosen[row]][row][call].replay(each.coder)
    return [each.indices for each in maps]


def _code_pixels(
    network: CodecNetwork, maps: Sequence[IndexMap], orders: Sequence[int], coders: Sequence[Sequence[Coder]], bar: tqdm
) -> np.ndarray:
    """Index maps of one shape, uint8 ``[B, H, W]``, with a coder for each call of each."""
    shape, calls = maps[0].shape, len(coders[0])
    palette = PaletteBatch.from_colors([each.colors for each in maps])
    order = np.stack([order_of(*shape, number) for number in orders])  # [B, H W]
    known = [-(-share * order.shape[1] // 256) for share in (0, *GROUPS[calls])]
    x_t = np.full(order.shape, palette.mask_index, np.int64)
    for call, (first, last) in enumerate(pairwise(known)):
        bar.update()
        if first == last:
            continue
        places = order[:, first:last]
        looked = look(network, torch.from_numpy(x_t).view(-1, *shape), palette, call).flatten(2).mT  # [B, H W, K]
        logits = looked.numpy()[np.arange(len(maps))[:, None], places]
        for row, each in enumerate(maps):
            size = len(each.colors)
            most = max(MOST_LOGITS // size, 1)
            for start in range(0, places.shape[1], most):
                there = places[row, start : start + most]
                symbols = None if each.indices is None else each.indices.flat[there]
                told = logits[row, start : start + most, :size]
                x_t[row, there] = code_by_logits(coders[row][call], told, symbols)
    return x_t.astype(np.uint8).reshape(-1, *shape)


@lru_cache(64)
def order_of(height: int, width: int, number: int) -> np.ndarray:
    """Halton's order, or one of seven like it, mirrored and moved by half; places ``[H W]``."""
    ranks = halton(height, width)[:: -1 if number & 1 else 1, :: -1 if number & 2 else 1]
    return (np.roll(ranks, (height // 2, width // 2), (0, 1)) if number & 4 else ranks).ravel().argsort()


def look(network: CodecNetwork, x_t: Tensor, palette: PaletteBatch, call: int) -> Tensor:
    """The network's logits ``[B, K, H, W]`` of index maps of any size.

    It sees a large picture in windows of the model's own size. At every other call they are moved
    by half of it, so that pixels know those behind the windows' borders. What lies around the
    picture is masked.
    """
    batch, height, width = x_t.shape
    axes = [_windows(length, network.window, call) for length in (height, width)]
    (above, down, rows), (left, right, columns) = axes
    padded = F.pad(
        x_t, (left, columns * right - width - left, above, rows * down - height - above), value=palette.mask_index
    )
    windows = padded.view(batch, rows, down, columns, right).transpose(2, 3).flatten(0, 2)
    whose = torch.arange(batch).repeat_interleave(rows * columns)
    logits = network.logits(windows, palette[whose])
    whole = logits.view(batch, rows, columns, -1, down, right).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
    return whole[:, :, above : above + height, left : left + width]


def _windows(length: int, window: int, call: int) -> tuple[int, int, int]:
    """Places before an axis, places of each window, and how many windows there are."""
    if length <= window:
        return 0, length, 1
    before = window // 2 * (call % 2)
    return before, window, -(-(before + length) // window)
