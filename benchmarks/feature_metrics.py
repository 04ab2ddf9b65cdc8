"""Do the metrics on features tell damage from chance? `python benchmarks/feature_metrics.py`.

Prints the figures of docs/evaluation.md: how much of the icons a background of one color would hide; training icons, whole and
damaged, against held-out ones; two disjoint sets of training icons by their size; and the standard errors that are stated beside
the spread of many repetitions.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from tincture.common import cli
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig
from tincture.evaluation.bootstrap import Measured, subset_bootstrap
from tincture.evaluation.colors import color_fidelity
from tincture.evaluation.feature_metrics import METRICS, all_metrics, compare_features
from tincture.evaluation.features import BACKGROUND, EXTRACTORS, FeatureExtractor, load_extractor
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette
from tincture.quantization.pictures.indexed_image import IndexedImage

SIZES = (50, 100, 200, 400, 800, 1600, 2052)
REPETITION_IMAGES = 250
SHARES = (0.5, 0.8, 0.9)
HIDDEN_LEVELS = 8
"""Differences from the background that can hardly be seen, in each channel."""


def main(arguments: list[str]) -> None:
    """Print the tables that are asked for."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    parser.add_argument("--extractor", default="efficientnet-lite0", choices=list(EXTRACTORS))
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--repetitions", type=int, default=60, help="pairs of sets for the stderr table")
    parser.add_argument("--seed", type=int, default=0, help="of the damage and of every choice of icons")
    options = parser.parse_args(arguments)
    training, heldout = load_index_maps(DataConfig())
    generator = torch.Generator().manual_seed(options.seed)
    for table in options.tables:
        print(f"\n{table}")
        TABLES[table](load_extractor(options.extractor), training, heldout, generator, options.repetitions)


def background_table(
    _: FeatureExtractor, training: IndexMaps, heldout: IndexMaps, __: torch.Generator, ___: int
) -> None:
    """The icons' opaque pixels that a background would hide: all channels within `HIDDEN_LEVELS` of it."""
    pixels = torch.cat([rgba(training).flatten(0, 2), rgba(heldout).flatten(0, 2)]).int()
    opaque = pixels[pixels[:, 3] > 0, :3]
    for name, level in (("white", 255), (f"gray {BACKGROUND}", BACKGROUND)):
        hidden = ((opaque - level).abs() <= HIDDEN_LEVELS).all(dim=1).double().mean()
        print(f"within {HIDDEN_LEVELS} levels of {name:10} {hidden:.1%} of {len(opaque):,} opaque pixels")


def damage_table(
    extractor: FeatureExtractor, training: IndexMaps, heldout: IndexMaps, generator: torch.Generator, _: int
) -> None:
    """Training icons against the held-out ones: as they are, and damaged in several ways."""
    chosen = training.subset(torch.randperm(len(training), generator=generator)[: len(heldout)])
    reference = extractor(rgba(heldout))
    print_heading(f"{len(chosen)} training icons")
    started = time.perf_counter()
    drawn = {name: extractor(damage(chosen, generator)) for name, damage in DAMAGES.items()}
    seconds = time.perf_counter() - started
    for name, features in drawn.items():
        print_row(name, compare_features(features, reference))
    print(f"({len(drawn) * len(chosen) / seconds:.0f} images a second)")


def colors_table(_: FeatureExtractor, __: IndexMaps, heldout: IndexMaps, generator: torch.Generator, ___: int) -> None:
    """Damaged held-out icons against the held-out icons themselves, which have the same palettes."""
    reference = indexed(heldout, heldout.indices)
    print(f"{'held-out icons':28}  entries used        color distance")
    for name, share in (("as they are", 0.0), ("10 % random entries", 0.1), ("30 % random", 0.3), ("all random", 1.0)):
        result = color_fidelity(indexed(heldout, random_entries(heldout, share, generator)), reference)
        used, distance = result.drawn_entries_used, result.color_distance
        print(f"{name:28}  {used.value:.3f} ± {used.stderr:.3f}     {distance.value:.4f} ± {distance.stderr:.4f}")


def size_table(
    extractor: FeatureExtractor, training: IndexMaps, _: IndexMaps, generator: torch.Generator, __: int
) -> None:
    """Two disjoint sets of training icons, by their size: what a metric says where there is no difference."""
    features = extractor(rgba(training))[torch.randperm(len(training), generator=generator)]
    print_heading("two sets of training icons")
    for size in SIZES:
        measured = compare_features(features[:size], features[-size:], replicates=20)
        print_row(str(size), measured)


def stderr_table(
    extractor: FeatureExtractor, training: IndexMaps, _: IndexMaps, generator: torch.Generator, repetitions: int
) -> None:
    """The spread of a metric over many pairs of sets, and the standard error stated for a single one of them."""
    whole = extractor(rgba(training))
    damaged = extractor(recolor(training, random_entries(training, 0.1, generator)))
    for name, other in (("no difference", whole), ("10 % random entries", damaged)):
        values, stated = [], {share: [] for share in SHARES}
        for repetition in range(repetitions):
            rows = torch.randperm(len(whole), generator=generator)[: 2 * REPETITION_IMAGES]
            pair = whole[rows[:REPETITION_IMAGES]], other[rows[REPETITION_IMAGES:]]
            values.append(all_metrics(*pair))
            if repetition % 6 == 0:
                for share in SHARES:
                    estimate = subset_bootstrap(all_metrics, *pair, share=share, seed=repetition)
                    stated[share].append(estimate.stderr)
        spread = torch.stack(values).std(dim=0)
        print(f"{name:28}" + "".join(f"{metric:>12}" for metric in METRICS))
        print(f"{'spread of the repetitions':28}" + "".join(f"{value:12.3f}" for value in spread))
        for share in SHARES:
            ratio = torch.stack(stated[share]).square().mean(dim=0).sqrt() / spread
            print(f"{f'stated / spread, share {share}':28}" + "".join(f"{value:12.2f}" for value in ratio))


def print_heading(what: str) -> None:
    """The first line of a table of metrics."""
    print(f"{what:28}" + "".join(f"{name:>18}" for name in METRICS))


def print_row(name: str, metrics: tuple[Measured, ...]) -> None:
    """One line of a table of metrics."""
    print(f"{name:28}" + "".join(f"{each.value:>10.3f} ± {each.stderr:.3f}" for each in metrics))


def recolor(images: IndexMaps, indices: Tensor) -> Tensor:
    """Index maps ``[N, H, W]`` in the images' palettes, uint8 ``[N, H, W, 4]``."""
    return torch.stack([colors[each.long()] for colors, each in zip(images.palettes.colors, indices, strict=True)])


def rgba(images: IndexMaps) -> Tensor:
    """The images' pixels, uint8 ``[N, H, W, 4]``."""
    return recolor(images, images.indices)


def indexed(images: IndexMaps, indices: Tensor) -> list[IndexedImage]:
    """Index maps ``[N, H, W]`` with the images' palettes."""
    return [IndexedImage(each.numpy(), images.palette(row)) for row, each in enumerate(indices)]


def random_entries(images: IndexMaps, share: float, generator: torch.Generator) -> Tensor:
    """The index maps with a share of the pixels replaced by any entry of their palette, ``[N, H, W]``."""
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

TABLES = {
    "background": background_table,
    "damage": damage_table,
    "colors": colors_table,
    "size": size_table,
    "stderr": stderr_table,
}


if __name__ == "__main__":
    cli.run(main)
