"""How likely a model finds pictures: `python -m benchmarks.judge PART --help`.

The judge is a trained model. What it says of an image is the bound on its bits per pixel in its
palette: fewer bits are likelier. It should be another model than the one that draws.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.common import cli
from tincture.common.errors import InputError
from tincture.controls.joint import JointPalettes
from tincture.controls.options import Controls, Sampling
from tincture.controls.proportions import Proportions
from tincture.data.icons import icons
from tincture.data.index_maps import IndexMaps, load_index_maps
from tincture.data.sources import DataConfig, LabelledImage, is_heldout
from tincture.diffusion.likelihood import bits_per_pixel
from tincture.diffusion.schedules import low_discrepancy_times
from tincture.evaluation.colors import color_distance
from tincture.evaluation.heldout import heldout_estimates
from tincture.models.denoiser import NO_CONDITIONS, bind
from tincture.pipelines.model_recoloring import load_ways
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor
from tincture.quantization.spaces import SPACES

TURNED = 0.25
"""The share of held-out icons that the second line of `handedness` mirrors for comparison."""
FOREIGN = ("own", "pico-8", "sweetie-16", "endesga-32", "nintendo-gameboy-bgb")
"""Palettes of `foreign`, as in `DataConfig.palette`."""
JOINT = ("endesga-32", "sweetie-16", "pico-8", "nintendo-gameboy-bgb")
WAYS: dict[str, Callable[[IndexedImage, Palette], IndexedImage]] = {
    "nearest": partial(recolor, reversible=False, distinct=0, stretch=0),
    "gentle": partial(recolor, reversible=False),
    "one-to-one by area": partial(recolor, reversible=False, distinct=np.inf),
    "reversible": recolor,
}
"""How `recoloring` recolors without a model."""
TELLING = 0.02
"""Smaller differences of OKLab lightness don't count as an order."""


@torch.inference_mode()
def judged_bits(
    judge: PaletteDiffusionPipeline, images: list[IndexedImage], times: int = 8, batch_size: int = 64
) -> np.ndarray:
    """The bound of each image, bits per pixel, float64 ``[N]``.

    Args:
        judge: the model.
        images: of one size.
        times: corruptions of each image, at times spread evenly. They are the same in every call
            with as many images.
        batch_size: images at once.
    """
    generator = torch.Generator().manual_seed(0)
    device = judge.denoiser.device
    spread = torch.stack([low_discrepancy_times(times, generator) for _ in images])  # [N, times]
    found = []
    for first in range(0, len(images), batch_size):
        some = images[first : first + batch_size]
        x_0 = torch.from_numpy(np.stack([image.indices for image in some])).long().to(device)
        palette = PaletteBatch.from_palettes([image.palette for image in some]).to(device)
        denoise = bind(judge.denoiser, palette, NO_CONDITIONS)
        each = [
            bits_per_pixel(denoise, judge.scheduler.process, x_0, t.to(device), palette, generator)
            for t in spread[first : first + batch_size].unbind(1)
        ]
        found.append(torch.stack(each).double().mean(dim=0).cpu())
    return torch.cat(found).numpy()


def heldout_icons(number: int, colors: int = 16) -> list[IndexedImage]:
    """So many of the held-out icons, spread evenly, in so many colors of their own."""
    pictures = heldout_pictures()
    chosen = np.unique(np.linspace(0, len(pictures) - 1, number).astype(int))
    return [quantize(pictures[place], colors) for place in chosen]


def both_sides(data: Path | None) -> tuple[IndexMaps, IndexMaps]:
    """What is learned and what is held out: of the icons, or of what encode_dataset.py wrote."""
    if data is None:
        return load_index_maps(DataConfig(palette="own", min_colors=16, max_colors=16))
    own = {"palette": "own", "min_colors": 4, "max_colors": 32}
    return load_index_maps(DataConfig(source="datasets", path=str(data), size=[16, 32], resize="pad", **own))


def heldout_pictures() -> list[np.ndarray]:
    """The held-out icons in all their colors, uint8 ``[16, 16, 4]`` each."""
    images = (image for image in icons().images if isinstance(image, LabelledImage))
    return [image.pixels for image in images if is_heldout(image.side, 0.1)]


# Handedness: do drawings come out mirrored? Icons have a right and a left. Light falls from one
# side, and arrows point to another. So mirroring an icon costs bits, to a judge that has never seen
# one mirrored. Drawings that are all the right way round cost as much as real icons. If half of
# them are turned, mirroring costs nothing on average.


def handedness(options: Namespace, data: DataConfig) -> None:
    """Print what mirroring costs real icons, the same with some turned, and drawings."""
    if options.num_images < 2:
        raise InputError(f"--num-images is {options.num_images}; a standard error needs at least 2")
    judge = PaletteDiffusionPipeline.from_pretrained(options.judge)
    _, heldout = load_index_maps(data)
    rows = heldout.random_rows(options.num_images, seed=0).tolist()
    real = [IndexedImage(heldout.indices[place].numpy(), heldout.palette(place)) for place in rows]
    turned = [mirrored(image) if i < TURNED * len(real) else image for i, image in enumerate(real)]
    print(heading("images", "mirroring costs, bits per pixel", "likelier mirrored"))
    print(line("held-out icons", cost_of_mirroring(judge, real)))
    print(line(f"a share of {TURNED:g} of them mirrored", cost_of_mirroring(judge, turned)))
    for checkpoint in options.checkpoints:
        pipeline = PaletteDiffusionPipeline.from_pretrained(checkpoint)
        drawn = pipeline(len(real), [image.palette for image in real], Sampling(sampler=options.sampler)).images
        print(line(f"drawn by {checkpoint}", cost_of_mirroring(judge, drawn)), flush=True)


def mirrored(image: IndexedImage) -> IndexedImage:
    """The picture with left and right exchanged."""
    return IndexedImage(np.ascontiguousarray(image.indices[:, ::-1]), image.palette)


def cost_of_mirroring(judge: PaletteDiffusionPipeline, images: list[IndexedImage], times: int = 16) -> np.ndarray:
    """By how many bits per pixel each image is likelier than its mirror image, ``[N]``."""
    return judged_bits(judge, [mirrored(image) for image in images], times) - judged_bits(judge, images, times)


def line(name: str, costs: np.ndarray) -> str:
    """A row: the mean with its standard error, and the share that is likelier mirrored."""
    return row(name, with_error(*mean_of(costs), 3), f"{(costs < 0).mean():.0%}")


# Colors: what styles and joint palettes do to drawings.


def colors(options: Namespace, _: None) -> None:
    """Print two tables, of styles and of joint palettes."""
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    judge = PaletteDiffusionPipeline.from_pretrained(options.judge)
    pipeline.set_progress_bar_config(disable=True)
    styles(pipeline, judge, options.number, options.steps)
    joint_palettes(pipeline, judge, options.number, options.steps)


def styles(pipeline: PaletteDiffusionPipeline, judge: PaletteDiffusionPipeline, number: int, steps: int) -> None:
    """Print how near drawings in held-out icons' palettes come to these icons' proportions."""
    references = [image for image in heldout_icons(number) if len(image.palette) > 1]
    print(heading("strength", "color distance", "bits per pixel"))
    print(row("the references", 0, f"{judged_bits(judge, references).mean():.2f}"))
    for strength in (0.0, 0.5, 1.0):
        drawn = []
        for seed, reference in enumerate(references):
            controls = Controls(proportions=Proportions.of(reference, strength))
            drawn += pipeline(1, reference.palette, Sampling(steps, seed), controls=controls).images
        pairs = zip(drawn, references, strict=True)
        distances = [color_distance(a.palette, pixels_of_entries(a), pixels_of_entries(b)) for a, b in pairs]
        bits = judged_bits(judge, drawn).mean()
        print(row(f"{strength:g}", f"{np.mean(distances):.4f}", f"{bits:.2f}"), flush=True)


def pixels_of_entries(image: IndexedImage) -> np.ndarray:
    """How many pixels each entry has, int64 ``[K]``."""
    return np.bincount(image.indices.ravel(), minlength=len(image.palette))


def joint_palettes(
    pipeline: PaletteDiffusionPipeline, judge: PaletteDiffusionPipeline, number: int, steps: int
) -> None:
    """Print how likely drawings in several palettes at once are, and recolored drawings in one."""
    palettes = [read_palette(name).with_transparency() for name in JOINT]
    joint = JointPalettes.matched(palettes)
    together = pipeline(number, joint, Sampling(steps)).images
    alone = pipeline(number, joint.base, Sampling(steps)).images
    matched = [version for image in alone for version in joint.show(image)]
    by_areas = [recolor(image, palette, reversible=False) for image in alone for palette in palettes]
    own = [pipeline(number, palette, Sampling(steps)).images for palette in palettes]
    of: dict[str, Callable[[int], list[IndexedImage]]] = {
        "drawn in all at once": lambda n: together[n :: len(JOINT)],
        f"drawn in {JOINT[joint.first]}, entries matched": lambda n: matched[n :: len(JOINT)],
        f"drawn in {JOINT[joint.first]}, recolored by areas": lambda n: by_areas[n :: len(JOINT)],
        "other drawings in each": lambda n: own[n],
    }
    print("\n" + heading("way", *JOINT))
    for way, images in of.items():
        print(row(way, *(f"{judged_bits(judge, images(n)).mean():.2f}" for n in range(len(JOINT)))), flush=True)


# Recoloring: what it keeps of an icon.


def recoloring(options: Namespace, _: None) -> None:
    """Print the means over icons that are recolored to each palette in each way."""
    images = heldout_icons(options.limit, options.colors)
    images = [image for image in images if len(np.unique(image.indices)) > 4]
    ways = WAYS | (load_ways(options.checkpoint) if options.checkpoint else {})
    judge = PaletteDiffusionPipeline.from_pretrained(options.judge) if options.judge else None

    def last(images: list[IndexedImage]) -> list[str]:
        used = np.mean([len(np.unique(image.indices)) for image in images])
        return [f"{used:.1f}", *([f"{judged_bits(judge, images).mean():.2f}"] if judge else [])]

    print(f"{len(images)} held-out icons\n")
    more = ["bits per pixel"] if judge else []
    print(heading("palette", "way", "lightness order kept", "edges kept", "ΔE", "colors", *more))
    print(row("their own", "", "100 %", "100 %", 0, *last(images)))
    for name in options.palettes:
        palette = read_palette(name).with_transparency()
        for way, move in ways.items():
            moved = [move(image, palette) for image in tqdm(images, leave=False, disable=None)]
            results = [kept(*pair) for pair in zip(images, moved, strict=True)]
            order, edges, distance = np.nanmean(results, axis=0)
            cells = [f"{100 * order:.1f} %", f"{100 * edges:.1f} %", f"{distance:.3f}", *last(moved)]
            print(row(name, way, *cells), flush=True)


def kept(before: IndexedImage, after: IndexedImage) -> tuple[float, float, float]:
    """The shares of neighbors whose lightness order and whose difference stay, and the mean ΔE.

    Only opaque pixels count. The first share is among neighbors that differ in lightness, the
    second among those that differ at all.
    """
    labs = [SPACES["oklab"].from_bytes(x.palette.colors)[x.indices] for x in (before, after)]
    opaque = before.to_rgba()[..., 3] > 0
    order, edges = [], []
    for axis in (0, 1):
        steps = [np.diff(lab[..., 0], axis=axis) for lab in labs]
        differ = [np.diff(x.indices.astype(int), axis=axis) != 0 for x in (before, after)]
        slices = [tuple(slice(a, b) if d == axis else slice(None) for d in (0, 1)) for a, b in ((0, -1), (1, None))]
        both = opaque[slices[0]] & opaque[slices[1]]
        order.append((steps[0] * steps[1] > 0)[both & (np.abs(steps[0]) > TELLING)])
        edges.append(differ[1][both & differ[0]])
    distance = np.linalg.norm(labs[0] - labs[1], axis=-1)[opaque]
    return tuple(float(np.mean(np.concatenate(values))) for values in (order, edges, [distance]))


# Foreign palettes: how well do models know palettes that weren't made for the picture?


def foreign(options: Namespace, _: None) -> None:
    """Print held-out bits per pixel of icons in palettes of their own and in named palettes."""
    sets = {palette: load_index_maps(DataConfig(palette=palette))[1] for palette in FOREIGN}
    print(heading("model", *sets))
    for checkpoint in options.checkpoints:
        pipeline = PaletteDiffusionPipeline.from_pretrained(checkpoint)
        denoiser, process = pipeline.denoiser, pipeline.scheduler.process
        found = [heldout_estimates(denoiser, process, images, options.times).result() for images in sets.values()]
        print(row(checkpoint.name, *(with_error(*each, 3) for each in found)), flush=True)


PARTS: dict[str, Callable[[Namespace, DataConfig | None], None]] = {
    "handedness": handedness,
    "colors": colors,
    "recoloring": recoloring,
    "foreign": foreign,
}


def make_parser() -> ArgumentParser:
    """Every option of every part."""
    parser = cli.make_parser(__doc__.split(":")[0])
    parts = parser.add_subcommands(required=True, dest="part")
    added = {name: cli.make_parser(function.__doc__) for name, function in PARTS.items()}

    add = added["handedness"].add_argument
    add("--judge", type=Path, required=True, help="pipeline folder that was trained without train.mirror")
    add("--checkpoints", type=Path, nargs="*", default=[], help="pipeline folders to draw with")
    add("--num-images", type=int, default=256, help="of each, at most one for each held-out icon")
    add("--sampler", type=str | None, default=None, help="how to draw; each checkpoint's own way if left out")
    added["handedness"].add_class_arguments(DataConfig, "data")

    add = added["colors"].add_argument
    add("--checkpoint", type=Path, required=True, help="model that draws")
    add("--judge", type=Path, required=True, help="model that says how likely the drawings are")
    add("--number", type=int, default=64, help="icons, and drawings in each palette")
    add("--steps", type=int, default=32, help="calls of the network for each image")

    add = added["recoloring"].add_argument
    add("--palettes", nargs="+", default=["pico-8", "sweetie-16", "endesga-32", "nintendo-gameboy-bgb"])
    add("--colors", type=int, default=16, help="entries of an icon, transparency included")
    add("--limit", type=int, default=400, help="icons, spread evenly over all held-out ones")
    add("--checkpoint", type=Path | None, default=None, help="model of the ways that need one")
    add("--judge", type=Path | None, default=None, help="model that says how likely the results are")

    add = added["foreign"].add_argument
    add("checkpoints", type=Path, nargs="+", help="folders that train.py wrote")
    add("--times", type=int, default=8, help="corruptions of each held-out icon")

    for name, each in added.items():
        parts.add_subcommand(name, each, help=PARTS[name].__doc__)
    return parser


def main(arguments: list[str]) -> None:
    """Do one part."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    chosen = parser.instantiate(options)[options.part]
    PARTS[options.part](chosen, chosen.get("data"))


if __name__ == "__main__":
    cli.run(main)
