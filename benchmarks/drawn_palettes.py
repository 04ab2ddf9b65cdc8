"""Are drawn palettes like real ones? `python -m benchmarks.drawn_palettes --checkpoint DIR`.

Prints the figures of docs/results/experiments.md, and draws a sheet of both.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.controls.options import DrawnPalette
from tincture.diffusion.draws import Streams
from tincture.models.palette_prior import PalettePrior
from tincture.models.palette_sets import CODING_ORDER, VALUES, coded, set_order
from tincture.palette import SQUARE, squares
from tincture.pipelines.palette_bank import PaletteBank
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.order import sorting
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.spaces import SPACES

SHOWN, WIDEST = 48, 16
"""Palettes on each half of the sheet, of at most so many entries."""
NEAR = (0.0, 0.01, 0.02)
"""In OKLab: distances below which two palettes are told apart with difficulty."""


def main(arguments: Sequence[str]) -> None:
    """Parse, draw, measure, print."""
    parser = cli.make_parser("Compare palettes that a model draws with those that were held out of its training.")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--sheet", type=Path | None, default=None, help="also write drawn palettes beside real ones")
    options = parser.parse_args(arguments)
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    bank = pipeline.palette_bank
    training, heldout = (side_of(bank, side) for side in (False, True))
    drawn = pipeline.draw_palettes(DrawnPalette(), Streams.of(0, range(len(heldout))))
    bytes_table(training, heldout, pipeline.palette_prior, bank)
    statistics_table(drawn, heldout)
    copies_table(drawn, heldout, training)
    if options.sheet is not None:
        shown = [[each for each in side if len(each) <= WIDEST][:SHOWN] for side in (drawn, shuffled(heldout))]
        sheet(*shown).save(options.sheet, optimize=True)


def side_of(bank: PaletteBank, is_heldout: bool) -> list[Palette]:
    """The palettes of one side of the split."""
    rows = (bank.heldout == is_heldout).nonzero()[:, 0].tolist()
    return [Palette(bank.colors[row][bank.valid[row]].numpy()) for row in rows]


def shuffled(palettes: list[Palette]) -> list[Palette]:
    """The same palettes in a random order, dark entries first as in drawn ones."""
    order = np.random.default_rng(0).permutation(len(palettes))
    return [Palette(palettes[row].colors[sorting(palettes[row], "luminance")]) for row in order]


def bytes_table(training: list[Palette], heldout: list[Palette], prior: PalettePrior, bank: PaletteBank) -> None:
    """How many bytes a held-out palette takes as a set, its size and transparency known."""
    print(heading("a held-out palette as a set", "bytes"))
    tables = difference_tables(training)
    raw = [3.0 * (len(each) - (each.transparent is not None)) for each in heldout]
    sorted_ = [differences_bytes(each, tables) for each in heldout]
    for name, values in (("raw", raw), ("sorted, differences by the training side's counts", sorted_)):
        print(row(name, of(values, 1)))
    labels = bank.labels[bank.heldout]
    for told in (None, labels) if prior.config.num_classes else (None,):
        lengths = []
        for first in range(0, len(heldout), 64):
            entries, known = coded(heldout[first : first + 64])
            if told is not None:
                known = replace(known, labels=told[first : first + 64])
            with torch.inference_mode():
                lengths.append(prior.bits(entries, known) / 8)
        print(row("the prior" + ("" if told is None else ", told the class"), of(torch.cat(lengths).tolist(), 1)))


def differences(palette: Palette) -> np.ndarray:
    """From each color to the next in the prior's order, uint8 ``[N, 3]``; the first is from 0."""
    colors = palette.colors[set_order(palette)][palette.transparent is not None :, CODING_ORDER]
    return np.diff(colors, axis=0, prepend=np.zeros((1, 3), np.uint8))


def difference_tables(palettes: list[Palette]) -> np.ndarray:
    """Bits of each difference in each channel, by how often it is in ``palettes``, ``[3, 256]``."""
    found = np.concatenate([differences(each) for each in palettes])
    counts = np.stack([np.bincount(found[:, channel], minlength=VALUES) + 0.5 for channel in range(3)])
    return -np.log2(counts / counts.sum(axis=1, keepdims=True))


def differences_bytes(palette: Palette, tables: np.ndarray) -> float:
    """What the differences of a palette take by these tables."""
    return float(tables[np.arange(3), differences(palette)].sum() / 8)


def oklab(palette: Palette) -> np.ndarray:
    """The opaque entries in OKLab, dark ones first, float64 ``[N, 3]``."""
    colors = SPACES["oklab"].from_bytes(palette.colors[palette.colors[:, 3] > 0]).astype(np.float64)
    return colors[colors[:, 0].argsort(kind="stable")]


def ramp_distance(colors: np.ndarray) -> float:
    """How far a color is from the line between its neighbors in lightness, on average."""
    before, color, after = colors[:-2], colors[1:-1], colors[2:]
    line = after - before
    share = (((color - before) * line).sum(1) / np.maximum((line**2).sum(1), 1e-12)).clip(0, 1)
    return float(np.linalg.norm(before + share[:, None] * line - color, axis=1).mean())


def shortest_distance(colors: np.ndarray) -> float:
    """Between the two nearest colors."""
    distances = np.linalg.norm(colors[:, None] - colors, axis=2)
    return float(distances[np.triu_indices(len(colors), 1)].min())


STATISTICS: dict[str, Callable[[np.ndarray], float]] = {
    "mean lightness": lambda colors: colors[:, 0].mean(),
    "spread of lightness": lambda colors: colors[:, 0].std(),
    "contrast (lightest less darkest)": lambda colors: np.ptp(colors[:, 0]),
    "mean chroma": lambda colors: np.hypot(colors[:, 1], colors[:, 2]).mean(),
    "spread of chroma": lambda colors: np.hypot(colors[:, 1], colors[:, 2]).std(),
    "largest chroma": lambda colors: np.hypot(colors[:, 1], colors[:, 2]).max(),
    "shortest distance": shortest_distance,
    "distance from a ramp": ramp_distance,
}
"""Of the opaque colors of a palette in OKLab, dark ones first."""


def statistics_table(drawn: list[Palette], heldout: list[Palette]) -> None:
    """What drawn and real palettes are like, of at least three opaque colors."""
    print(heading("OKLab", f"{len(drawn)} drawn", f"{len(heldout)} held out", "spread over held-out ones"))
    sides = [[colors for colors in map(oklab, side) if len(colors) >= 3] for side in (drawn, heldout)]
    for name, statistic in STATISTICS.items():
        values = [[float(statistic(colors)) for colors in side] for side in sides]
        print(row(name, *map(of, values), f"{np.std(values[1]):.3f}"))


def copies_table(drawn: list[Palette], heldout: list[Palette], training: list[Palette]) -> None:
    """How near palettes are to their nearest training palette."""
    print(heading("nearest training palette", "drawn", "held out"))
    nearest = [distances_to_nearest(side, training) for side in (drawn, heldout)]
    print(row("median distance", *(f"{np.median(each):.3f}" for each in nearest)))
    print(row("nearest tenth, below", *(f"{np.quantile(each, 0.1):.3f}" for each in nearest)))
    for limit in NEAR:
        name = f"within {limit}" if limit else "the same colors"
        print(row(name, *(of(100.0 * (each <= limit), 1) + " %" for each in nearest)))


def distances_to_nearest(palettes: list[Palette], training: list[Palette]) -> np.ndarray:
    """How far each palette is from the nearest of ``training``, float64 ``[N]``.

    That is how far a color of one is from the nearest of the other, on average, both ways.
    """
    others = [oklab(each) for each in training]
    starts = np.cumsum([0, *map(len, others)])[:-1]
    points, counts = np.concatenate(others), np.array([len(each) for each in others])
    found = []
    for palette in palettes:
        distances = np.linalg.norm(oklab(palette)[:, None] - points, axis=2)  # [N, all]
        there = np.minimum.reduceat(distances, starts, axis=1).mean(axis=0)
        back = np.add.reduceat(distances.min(axis=0), starts) / counts
        found.append(((there + back) / 2).min())
    return np.array(found)


def of(values: Sequence[float], digits: int = 3) -> str:
    """The mean and its standard error."""
    return with_error(*mean_of(values), digits)


def sheet(drawn: list[Palette], real: list[Palette]) -> Image.Image:
    """Drawn palettes in the left half, real ones in the right one."""
    rows = zip(drawn[::2], drawn[1::2], real[::2], real[1::2], strict=True)
    return contact_sheet([squares(each) for four in rows for each in four], 4, SQUARE, gap=6)


if __name__ == "__main__":
    cli.run(main)
