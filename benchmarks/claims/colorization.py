"""Is colorization faithful and controlled? `python -m benchmarks.claims.colorization --help`.

Prints the table of docs/claims.md. Held-out icons are made grey, in 8 levels of lightness, and
colored again with palettes of 64 colors, of which several have each lightness.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from tincture.benchmarks.controls import (
    COLORFUL,
    DRAWN,
    FIDELITY,
    GREEDY,
    LEVELS,
    Truth,
    drawer,
    each_image,
    grey_icons,
    judge,
    of_pixels,
    rgba_of,
    seen_colors,
)
from tincture.benchmarks.judge import both_sides, judged_bits
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.controls.options import Controls
from tincture.controls.wishes import LightnessWish
from tincture.data.index_maps import IndexMaps
from tincture.diffusion.draws import categorical
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.encoding import encode
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.luminance import luminance_of_indices, luminance_of_pixels
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage

from .trials import ICONS, SPRITES, Claim, Records, examine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 12
"""Icons in the picture."""
MEASURES = ("error", "error of lightness", "two draws apart", "bits per pixel")
TRUE, NEAREST, USUAL = "the icons themselves", "nearest lightness", "the usual color of that lightness"


@dataclass(frozen=True)
class Task:
    """Grey icons, what training icons show, and two models: one colors, the other judges."""

    truth: Truth
    luminance: Tensor
    training: IndexMaps
    colors: PaletteDiffusionPipeline
    judges: PaletteDiffusionPipeline


@cache
def task(number: int) -> Task:
    """So many held-out icons, the same for all ways."""
    training, heldout = both_sides(None)
    truth, luminance = grey_icons(heldout.subset(heldout.random_rows(number, seed=0)))
    return Task(truth, luminance, training, *map(PaletteDiffusionPipeline.from_pretrained, (ICONS, SPRITES)))


def usual_colors(given: Task) -> Tensor:
    """The entry nearest to the mean color that training icons have at that lightness."""
    palettes = [given.training.palette(n) for n in range(len(given.training))]
    pixels = torch.from_numpy(rgba_of(Truth(given.training.indices, palettes, torch.empty(0)))).flatten(0, 2)
    levels = (luminance_of_pixels(pixels) * (LEVELS - 1)).round()
    means = torch.stack([pixels[levels == level].float().mean(dim=0) for level in range(LEVELS)])
    means[:, 3] = 255
    colored = means[(given.luminance.clamp_min(0) * (LEVELS - 1)).round().long()] * given.truth.where[..., None]
    return each_image(encode, colored.round().byte().numpy(), given.truth)


def ways(given: Task) -> dict[str, Callable[[int], Tensor]]:
    """How grey icons are colored: functions of a seed."""
    draw, _ = drawer(given.colors, given.truth.palettes)
    wish = LightnessWish(given.luminance, FIDELITY)
    told, asked = Controls(luminance=given.luminance), Controls(wishes=[wish])

    def bias(each: LightnessWish) -> Tensor:
        return each.bias(given.truth.batch, slice(None))

    def any_color(seed: int) -> Tensor:
        return categorical(bias(wish).softmax(dim=1), torch.Generator().manual_seed(seed))

    return {
        TRUE: lambda _: given.truth.indices,
        NEAREST: lambda _: bias(replace(wish, fidelity=float("inf"))).argmax(dim=1),
        USUAL: lambda _: usual_colors(given),
        "any color of about that lightness": any_color,
        "model, by a bias": lambda seed: draw(replace(DRAWN, seed=seed), asked),
        "model, told the lightness": lambda seed: draw(replace(DRAWN, seed=seed), told),
        "the same, likeliest entries": lambda seed: draw(replace(GREEDY, seed=seed), told),
    }


def trials(options: Namespace) -> Mapping[str, Callable[[], Any]]:
    """One for each way, on as many icons."""
    number = 12 if options.quick else 64
    return {name: partial(measured, name, number) for name in ways(task(number))}


def measured(name: str, number: int) -> dict[str, Any]:
    """`MEASURES` of each icon, and what the first ones look like, as hexadecimal index maps."""
    given = task(number)
    truth = given.truth
    draws = [ways(given)[name](seed) for seed in (0, 1)]
    images = [IndexedImage(*pair) for pair in zip(draws[0].byte().numpy(), truth.palettes, strict=True)]
    light = (luminance_of_indices(draws[0], truth.batch) - given.luminance).abs()
    first, second = (of_pixels(seen_colors(truth.batch), draw) for draw in draws)
    values = (
        np.mean([judge(draw, truth)["error"] for draw in draws], axis=0),
        over_opaque(light, truth),
        over_opaque((first - second).norm(dim=-1), truth),
        judged_bits(given.judges, images, times=4),
    )
    shown = [image.indices.tobytes().hex() for image in images[:SHOWN]]
    return {"shown": shown} | {
        each: np.round(figures, 5).tolist() for each, figures in zip(MEASURES, values, strict=True)
    }


def over_opaque(values: Tensor, truth: Truth) -> np.ndarray:
    """Means over the pixels that are asked for, ``[N, H, W]`` → ``[N]``."""
    return ((values * truth.where).flatten(1).sum(dim=1) / truth.where.flatten(1).sum(dim=1)).numpy()


def table(records: Records) -> str:
    """Means over icons, and paired differences of errors to those of what needs no network."""
    plain = {name: np.array(records[name]["error"]) for name in (NEAREST, USUAL)}
    lines = [heading("icons colored by", *MEASURES, *(f"error less that of {name}" for name in plain))]
    for name, record in records.items():
        cells = [with_error(*mean_of(record[each]), 3) for each in MEASURES]
        cells += [with_error(*mean_of(record["error"] - each), 4) for each in plain.values()]
        lines.append(row(name, *cells))
    return "\n".join(lines)


def draw(figure: "Figure", records: Records) -> None:
    """The first icons, a row for each way."""
    palettes = [read_palette(name).with_transparency() for name in COLORFUL]
    maps = [np.frombuffer(bytes.fromhex(each), np.uint8) for record in records.values() for each in record["shown"]]
    images = [IndexedImage(each.reshape(16, 16), palettes[n % SHOWN % len(COLORFUL)]) for n, each in enumerate(maps)]
    axes = figure.add_subplot()
    axes.imshow(contact_sheet(images, SHOWN, scale=4), interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([66 * n + 33 for n in range(len(records))], list(records))


CLAIM = Claim("colorization", trials, table, draw, (11, 5.5))


def main(arguments: list[str]) -> None:
    """Color, measure, print."""
    examine(CLAIM, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
