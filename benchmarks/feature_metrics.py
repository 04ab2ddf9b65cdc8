"""Do feature metrics tell damage from chance? `python -m benchmarks.feature_metrics --tables …`.

Prints the figures of docs/evaluation.md.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jsonargparse import Namespace
from torch import Tensor

from tincture.benchmarks.tables import heading, row, with_error
from tincture.common import cli
from tincture.controls.options import Sampling
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.evaluation.bootstrap import subset_bootstrap
from tincture.evaluation.colors import color_fidelity
from tincture.evaluation.feature_metrics import METRICS, FeatureMetrics, all_metrics, compare_features
from tincture.evaluation.features import BACKGROUND, EXTRACTORS, FeatureExtractor, load_extractor
from tincture.evaluation.report import rgba_of
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette
from tincture.quantization.pictures.indexed_image import IndexedImage

SIZES = (50, 100, 200, 400, 800, 1600, 2052)
REPETITION_IMAGES = 250
SHARES = (0.5, 0.8, 0.9)
HIDDEN_LEVELS = 8
"""Differences from the background that can hardly be seen, in each channel."""


@dataclass(frozen=True)
class Given:
    """What the tables are made from."""

    training: IndexMaps
    heldout: IndexMaps
    generator: torch.Generator
    options: Namespace

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """The network that was asked for."""
        return load_extractor(self.options.extractor)


def background_table(given: Given) -> None:
    """How many opaque pixels a background would hide: all channels within `HIDDEN_LEVELS` of it."""
    pixels = torch.cat([rgba(given.training).flatten(0, 2), rgba(given.heldout).flatten(0, 2)]).int()
    opaque = pixels[pixels[:, 3] > 0, :3]
    print(heading("background", f"within {HIDDEN_LEVELS} levels of it", "opaque pixels"))
    for name, level in (("white", 255), (f"gray {BACKGROUND}", BACKGROUND)):
        hidden = ((opaque - level).abs() <= HIDDEN_LEVELS).all(dim=1).double().mean()
        print(row(name, f"{hidden:.1%}", f"{len(opaque):,}"))


def damage_table(given: Given) -> None:
    """Training icons against the held-out ones: as they are, and damaged in several ways."""
    training, generator = given.training, given.generator
    chosen = training.subset(torch.randperm(len(training), generator=generator)[: len(given.heldout)])
    reference = given.extractor(rgba(given.heldout))
    started = time.perf_counter()
    drawn = {name: given.extractor(damage(chosen, generator)) for name, damage in DAMAGES.items()}
    seconds = time.perf_counter() - started
    print(heading(f"{len(chosen)} training icons", *METRICS))
    for name, features in drawn.items():
        print_metrics(compare_features(features, reference), 3, name)
    print(f"({len(drawn) * len(chosen) / seconds:.0f} images a second)")


def colors_table(given: Given) -> None:
    """Damaged held-out icons against the held-out icons, which have the same palettes."""
    heldout = given.heldout
    reference = indexed(heldout, heldout.indices)
    print(heading("held-out icons", "entries used", "color distance"))
    for name, share in (("as they are", 0.0), ("10 % random entries", 0.1), ("30 % random", 0.3), ("all random", 1.0)):
        result = color_fidelity(indexed(heldout, random_entries(heldout, share, given.generator)), reference)
        print(row(name, with_error(*result.drawn_entries_used, 3), with_error(*result.color_distance, 4)))


def size_table(given: Given) -> None:
    """Two disjoint sets of training icons by their size: what metrics say without a difference."""
    training = given.training
    features = given.extractor(rgba(training))[torch.randperm(len(training), generator=given.generator)]
    print(heading("two sets of training icons", *METRICS))
    for size in SIZES:
        print_metrics(compare_features(features[:size], features[-size:], replicates=20), 3, str(size))


def stderr_table(given: Given) -> None:
    """The spread of a metric over many pairs of sets, and the error stated for a single pair."""
    training, generator = given.training, given.generator
    whole = given.extractor(rgba(training))
    damaged = given.extractor(recolor(training, random_entries(training, 0.1, generator)))
    for name, other in (("no difference", whole), ("10 % random entries", damaged)):
        values, stated = [], {share: [] for share in SHARES}
        for repetition in range(given.options.repetitions):
            rows = torch.randperm(len(whole), generator=generator)[: 2 * REPETITION_IMAGES]
            pair = other[rows[:REPETITION_IMAGES]], whole[rows[REPETITION_IMAGES:]]
            values.append(all_metrics(*pair))
            if repetition % 6 == 0:
                for share in SHARES:
                    estimate = subset_bootstrap(all_metrics, *pair, share=share, seed=repetition)
                    stated[share].append(estimate.stderr)
        spread = torch.stack(values).std(dim=0)
        print(heading(name, *METRICS))
        print(row("spread of the repetitions", *(f"{value:.3f}" for value in spread)))
        for share in SHARES:
            ratio = torch.stack(stated[share]).square().mean(dim=0).sqrt() / spread
            print(row(f"stated ÷ spread, subsets of {share}", *(f"{value:.2f}" for value in ratio)))


def floor_table(given: Given) -> None:
    """Real icons, and drawings in palettes of either side, against the held-out icons.

    evaluate.py draws in the reference images' palettes, since colors can be compared only so. The
    real images of its floor have palettes of their own. How much does that help drawings?
    """
    heldout, options = given.heldout, given.options
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    real = {
        name: side.pictures(side.random_rows(options.num_samples, options.seed))
        for name, side in (("held-out", heldout), ("training", given.training))
    }
    sets = {"real training images": real["training"]}
    for name, images in real.items():
        palettes = [image.palette for image in images]
        sampling = Sampling(options.steps, options.seed)
        sets[f"drawn in {name} palettes"] = pipeline(len(palettes), palettes, sampling).images
    reference = given.extractor(rgba_of(heldout.pictures(heldout.random_rows(len(heldout), options.seed))))
    print(heading("", "images", *METRICS))
    for name, images in sets.items():
        measured = compare_features(given.extractor(rgba_of(images)), reference, seed=options.seed)
        print_metrics(measured, 2, name, str(len(images)))


def print_metrics(metrics: FeatureMetrics, digits: int, *names: str) -> None:
    """Print a row of a table of metrics."""
    print(row(*names, *(with_error(*each, digits) for each in metrics)), flush=True)


def recolor(images: IndexMaps, indices: Tensor) -> Tensor:
    """What index maps ``[N, H, W]`` show in the images' palettes, uint8 ``[N, H, W, 4]``."""
    return torch.stack([colors[each.long()] for colors, each in zip(images.palettes.colors, indices, strict=True)])


def rgba(images: IndexMaps) -> Tensor:
    """The images' pixels, uint8 ``[N, H, W, 4]``."""
    return recolor(images, images.indices)


def indexed(images: IndexMaps, indices: Tensor) -> list[IndexedImage]:
    """Index maps ``[N, H, W]`` with the images' palettes."""
    return [IndexedImage(each.numpy(), images.palette(row)) for row, each in enumerate(indices)]


def random_entries(images: IndexMaps, share: float, generator: torch.Generator) -> Tensor:
    """Index maps with a share of the pixels replaced by any entry of their palette."""
    shape = images.indices.shape
    entries = (torch.rand(shape, generator=generator) * images.palettes.sizes[:, None, None]).to(torch.uint8)
    return torch.where(torch.rand(shape, generator=generator) < share, entries, images.indices)


def shuffled_pixels(images: IndexMaps, generator: torch.Generator) -> Tensor:
    """The index maps with their pixels in random places, ``[N, H, W]``."""
    places = torch.rand(images.indices.flatten(1).shape, generator=generator).argsort(dim=1)
    return images.indices.flatten(1).gather(1, places).view_as(images.indices)


def fewer_colors(images: IndexMaps, number: int) -> Tensor:
    """Each image in the best ``number`` colors of its own, by k-means, uint8 ``[N, H, W, 4]``."""
    pictures = [each.numpy() for each in rgba(images)]
    palettes = [fit_palette([each], number) for each in pictures]
    return torch.stack([torch.tensor(p.colors[encode(each, p)]) for each, p in zip(pictures, palettes, strict=True)])


DAMAGES: dict[str, Callable[[IndexMaps, torch.Generator], Tensor]] = {
    "as they are": lambda images, _: rgba(images),
    "moved by a pixel": lambda images, _: rgba(images).roll((1, 1), (1, 2)),
    "in 8 colors of their own": lambda images, _: fewer_colors(images, 8),
    "in 4 colors of their own": lambda images, _: fewer_colors(images, 4),
    "3 % random entries": lambda images, generator: recolor(images, random_entries(images, 0.03, generator)),
    "10 % random entries": lambda images, generator: recolor(images, random_entries(images, 0.1, generator)),
    "30 % random entries": lambda images, generator: recolor(images, random_entries(images, 0.3, generator)),
    "shuffled pixels": lambda images, generator: recolor(images, shuffled_pixels(images, generator)),
    "100 % random entries": lambda images, generator: recolor(images, random_entries(images, 1.0, generator)),
}

TABLES: dict[str, Callable[[Given], None]] = {
    "background": background_table,
    "damage": damage_table,
    "colors": colors_table,
    "size": size_table,
    "stderr": stderr_table,
    "floor": floor_table,
}


def main(arguments: list[str]) -> None:
    """Print the tables that are asked for."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--tables", nargs="+", default=list(TABLES), choices=list(TABLES), help="what to print")
    add("--extractor", default="efficientnet-lite0", choices=list(EXTRACTORS), help="the network of the features")
    add("--repetitions", type=int, default=60, help="pairs of sets for the table stderr")
    add("--checkpoint", type=Path, default=Path("checkpoints/icons16"), help="the model of the table floor")
    add("--num-samples", type=int, default=467, help="images of each kind in the table floor")
    add("--steps", type=int, default=64, help="calls of the network for each image that is drawn")
    add("--seed", type=int, default=0, help="of damage, of drawings and of every choice of icons")
    parser.add_class_arguments(DataConfig, "data")
    options = parser.parse_args(arguments)
    training, heldout = load_index_maps(parser.instantiate(options).data)
    given = Given(training, heldout, torch.Generator().manual_seed(options.seed), options)
    for table in options.tables:
        print(f"\n{table}\n")
        TABLES[table](given)


if __name__ == "__main__":
    cli.run(main)
