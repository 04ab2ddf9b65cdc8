"""Palettes by the prior: as sets, which have no order, and the order of those that have one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from tincture.models.palette_prior import PalettePrior
from tincture.models.palette_sets import Known, coded, set_order
from tincture.quantization.palettes.palette import Palette

from .arithmetic import SELDOM, Coder, code_by_logits, code_flag, code_number, code_one, code_values

BATCH = 64
"""Palettes that are read together: part of the format, where they share a file."""

_ORDERS = np.array([8.0, 1.0, 4.0])
"""How likely the order is the prior's, that in which pixels meet the entries, or another."""


class Outline(NamedTuple):
    """What is known of a palette before its colors."""

    size: int
    is_set: bool
    """Whether the prior knows such: different opaque colors, at most one transparent entry."""
    clear: bytes | None = None
    """The color of a set's transparent entry, three bytes."""


def set_positions(colors: np.ndarray) -> np.ndarray | None:
    """Where each place of the prior's order takes its entry from, ``[K]``; none if it's no set.

    ``colors`` are uint8 ``[K, 4]``.
    """
    alpha = colors[:, 3]
    is_set = np.isin(alpha, (0, 255)).all() and (alpha == 0).sum() <= 1
    is_set = is_set and len(np.unique(colors[alpha > 0], axis=0)) == (alpha > 0).sum()
    return set_order(Palette(colors)) if is_set else None


def code_palettes(
    coders: Sequence[Coder],
    prior: PalettePrior,
    sizes: np.ndarray,
    palettes: Sequence[np.ndarray] | None,
) -> list[np.ndarray]:
    """Write palettes, or read them; returns them, uint8 ``[K, 4]`` each.

    Args:
        coders: for each palette; those of one file share one.
        prior: in float64.
        sizes: how likely a set has K - 1 entries more than one, the transparent one counted, and
            whether it has that, whole numbers ``[256, 2]``.
        palettes: sets in the prior's order, others in any; for encoders only.
    """
    found: list[np.ndarray] = []
    for first in range(0, len(coders), BATCH):
        part = slice(first, first + BATCH)
        found += _code_batch(coders[part], prior, sizes, None if palettes is None else palettes[part])
    return found


def _code_batch(
    coders: Sequence[Coder], prior: PalettePrior, sizes: np.ndarray, palettes: Sequence[np.ndarray] | None
) -> list[np.ndarray]:
    given = [None] * len(coders) if palettes is None else palettes
    outlines = [_code_outline(coder, sizes, colors) for coder, colors in zip(coders, given, strict=True)]
    found = [np.zeros((outline.size, 4), np.uint8) for outline in outlines]
    for row, outline in enumerate(outlines):
        if not outline.is_set:
            found[row] = code_values(coders[row], 4 * outline.size, given[row]).reshape(-1, 4)
    rows = [row for row, outline in enumerate(outlines) if outline.is_set]
    if rows:
        told = None if palettes is None else [Palette(palettes[row]) for row in rows]
        sets = _code_sets([coders[row] for row in rows], prior, [outlines[row] for row in rows], told)
        for row, palette in zip(rows, sets, strict=True):
            found[row] = palette.colors.copy()
            if outlines[row].clear is not None:
                found[row][0, :3] = np.frombuffer(outlines[row].clear, np.uint8)
    return found


def _code_outline(coder: Coder, sizes: np.ndarray, colors: np.ndarray | None) -> Outline:
    """Whether it is a set, its size, and what color its transparent entry would have."""
    is_writing = colors is not None
    if code_flag(coder, SELDOM, is_writing and set_positions(colors) is None if is_writing else None):
        return Outline(1 + code_number(coder, len(colors) - 1 if is_writing else None), is_set=False)
    symbol = 2 * (len(colors) - 1) + int((colors[:, 3] == 0).any()) if is_writing else None
    size, is_clear = divmod(code_one(coder, sizes.ravel(), symbol), 2)
    if not is_clear:
        return Outline(size + 1, is_set=True)
    clear = colors[0, :3] if is_writing else None
    if code_flag(coder, SELDOM, clear.any() if is_writing else None):
        return Outline(size + 1, is_set=True, clear=code_values(coder, 3, clear).tobytes())
    return Outline(size + 1, is_set=True, clear=bytes(3))


@torch.inference_mode()
def _code_sets(
    coders: Sequence[Coder], prior: PalettePrior, outlines: Sequence[Outline], palettes: Sequence[Palette] | None
) -> Sequence[Palette]:
    if palettes is None:
        clear = torch.tensor([outline.clear is not None for outline in outlines])
        entries, ahead = None, None
        known = Known(torch.tensor([outline.size for outline in outlines]), clear)
        reading = prior.begin(known)
    else:
        entries, known = coded(palettes)
        ahead = prior.channel_logits(entries, known)  # [B, N, 3, 256]
    for place in range(int(known.counts.max())):
        for channel in range(3):
            logits = (reading.logits() if ahead is None else ahead[:, place, channel]).numpy()
            values = np.zeros(len(coders), np.int64)
            for row in (known.counts > place).nonzero()[:, 0].tolist():
                symbols = None if entries is None else entries[row, place, channel, None].numpy()
                values[row] = code_by_logits(coders[row], logits[row, None], symbols)[0]
            if ahead is None:
                reading.take(torch.from_numpy(values))
    return reading.palettes() if palettes is None else palettes


def code_order(coder: Coder, size: int, frames: Sequence[np.ndarray], positions: np.ndarray | None) -> np.ndarray:
    """Write or read the order of a palette's entries.

    Args:
        size: how many entries there are.
        frames: index maps, with entries counted in the prior's order.
        positions: where each place of the picture's palette takes its entry from in the prior's
            order, ``[K]``; for an encoder only.
    """
    usual = [np.arange(size), appearance(size, frames)]
    kind = None
    if positions is not None:
        kind = next((number for number, each in enumerate(usual) if (each == positions).all()), len(usual))
    kind = code_one(coder, _ORDERS, kind)
    if kind < len(usual):
        return usual[kind]
    left, found = list(range(size)), []
    for place in range(size):
        symbol = None if positions is None else left.index(positions[place])
        found.append(left.pop(code_one(coder, np.ones(len(left)), symbol)))
    return np.array(found)


def appearance(size: int, frames: Sequence[np.ndarray]) -> np.ndarray:
    """Entries in the order in which pixels meet them, line by line; then unused ones, ``[K]``."""
    used, first = np.unique(np.concatenate([frame.ravel() for frame in frames]), return_index=True)
    met = used[first.argsort()].astype(np.int64)
    return np.concatenate([met, np.setdiff1d(np.arange(size), met)])
