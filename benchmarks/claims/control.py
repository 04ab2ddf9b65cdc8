"""Do drawings do what they are asked? `python -m benchmarks.claims.control --help`.

Prints the table of docs/claims.md: colors of the palette alone, the color proportions of a
reference, a class. Icons are drawn in the palettes of held-out ones.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from tincture.benchmarks.judge import both_sides, judged_bits, pixels_of_entries
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.controls.options import Controls, Guidance, Sampling
from tincture.controls.proportions import Proportions
from tincture.data.index_maps import IndexMaps
from tincture.data.sources import OTHER_LABEL
from tincture.evaluation.colors import color_distance
from tincture.evaluation.features import load_extractor
from tincture.evaluation.report import features_of
from tincture.evaluation.words import Probe
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

from .trials import ICONS, SPRITES, Claim, Records, examine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 16
STRENGTHS = (0.0, 0.5, 1.0)
SCALES = (0.0, 1.0, 2.0)
"""Of guidance. At 0 the network isn't told the class, and palettes are still of that class."""
CLASSES = 12
FOREIGN = ("pico-8", "nintendo-gameboy-bgb", "sweetie-16", "resurrect-64", "web-safe-216")
PROPORTIONS, CLASS, PALETTE = "proportions at strength ", "class guided by ", "palette "


class Given(NamedTuple):
    """What all trials draw with and measure by."""

    pipeline: PaletteDiffusionPipeline
    judge: PaletteDiffusionPipeline
    training: IndexMaps
    heldout: IndexMaps


@cache
def given() -> Given:
    """The models, and icons in palettes of their own."""
    models = map(PaletteDiffusionPipeline.from_pretrained, (ICONS, SPRITES))
    return Given(*models, *both_sides(None))


@cache
def recognizer() -> Callable[[list[IndexedImage], torch.Tensor], list[float]]:
    """Whether a probe, fitted to training icons, sees the class that each picture should show."""
    training, extractor = given().training, load_extractor()
    rows = torch.nonzero(torch.isin(training.labels, torch.tensor(classes())))[:, 0]
    probe = Probe(features_of(training.pictures(rows), extractor), training.labels[rows])

    def recognized(images: list[IndexedImage], labels: torch.Tensor) -> list[float]:
        features = features_of(images, extractor)
        pairs = zip(features, labels, strict=True)
        return [probe.recognized(each[None], label[None]).value for each, label in pairs]

    return recognized


def classes() -> list[int]:
    """The commonest classes of training icons that mean something."""
    names, counts = given().training.label_names, torch.bincount(given().training.labels)
    counts[[number for number, name in enumerate(names) if name in (OTHER_LABEL, "blue")]] = 0
    return counts.argsort(descending=True)[:CLASSES].tolist()


def in_proportion(strength: float, number: int) -> dict[str, list[float]]:
    """How far from a reference's proportions drawings in its palette are, and how likely."""
    references = given().heldout.pictures(given().heldout.random_rows(number, seed=0))
    palettes = [image.palette for image in references]
    counts = [pixels_of_entries(image) for image in references]
    shares = np.stack([np.pad(each, (0, max(map(len, palettes)) - len(each))) for each in counts])
    controls = Controls(proportions=Proportions(torch.from_numpy(shares).float(), strength))
    drawn = given().pipeline(number, palettes, Sampling(STEPS), controls=controls).images
    pairs = list(zip(map(pixels_of_entries, drawn), counts, strict=True))
    distances = [color_distance(palette, *pair) for palette, pair in zip(palettes, pairs, strict=True)]
    worst = [float(abs(a - b).max() / a.sum()) for a, b in pairs]
    return {"distance": distances, "worst share": worst, "bits": judged_bits(given().judge, drawn, times=4).tolist()}


def of_class(scale: float | None, number: int) -> dict[str, list[float]]:
    """Whether a probe recognizes drawings of each class; none: held-out icons of these."""
    labels, heldout = classes(), given().heldout
    if scale is None:
        rows = torch.nonzero(torch.isin(heldout.labels, torch.tensor(labels)))[:, 0]
        return {"recognized": recognizer()(heldout.pictures(rows), heldout.labels[rows])}
    drawn = []
    for label in labels:
        told = Guidance(class_label=given().training.label_names[label], guidance_scale=scale)
        drawn += given().pipeline(number, "heldout", Sampling(STEPS, seed=label), told).images
    return {"recognized": recognizer()(drawn, torch.tensor(labels).repeat_interleave(number))}


def in_palette(name: str, number: int) -> dict[str, list[float]]:
    """The share of pixels of each PNG that aren't in the palette that was asked for."""
    drawn = given().pipeline(number, name, Sampling(STEPS)).images
    allowed = {*map(tuple, read_palette(name).colors.tolist())}
    pixels = [read_image("drawn.png", image.to_png()).reshape(-1, 4).tolist() for image in drawn]
    return {"off": [float(np.mean([tuple(pixel) not in allowed for pixel in each])) for each in pixels]}


def trials(options: Namespace) -> Mapping[str, Callable[[], Any]]:
    """One for each strength, scale of guidance and palette."""
    number, strengths, scales = (8, (0.0, 1.0), ()) if options.quick else (64, STRENGTHS, (*SCALES, None))
    asked = {f"{PROPORTIONS}{strength:g}": partial(in_proportion, strength, number) for strength in strengths}
    asked |= {f"{CLASS}{scale}": partial(of_class, scale, 6) for scale in scales}
    return asked | {f"{PALETTE}{name}": partial(in_palette, name, number // 4) for name in FOREIGN}


def table(records: Records) -> str:
    """Means over drawings."""
    lines = [heading("asked for", "drawings", "", "", "")]
    for name, record in records.items():
        cells = [f"{measure}: {with_error(*mean_of(values), 3)}" for measure, values in record.items()]
        lines.append(row(name.replace("guided by None", "(real icons)"), len(next(iter(record.values()))), *cells))
    return "\n".join(lines)


def draw(figure: "Figure", records: Records) -> None:
    """Distance of proportions over strength, and recognition over guidance."""
    panels = (PROPORTIONS, "distance"), (CLASS, "recognized")
    for axes, (asked, measure) in zip(figure.subplots(1, 2), panels, strict=True):
        found = {name.removeprefix(asked): mean_of(each[measure]) for name, each in records.items() if asked in name}
        means, errors = np.array(list(found.values())).reshape(-1, 2).T
        axes.bar(["real" if name == "None" else name for name in found], means, yerr=errors, capsize=4)
        axes.set(xlabel=asked.strip(), ylabel=measure)


CLAIM = Claim("control", trials, table, draw, (9, 3.5))


def main(arguments: list[str]) -> None:
    """Draw, measure, print."""
    examine(CLAIM, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
