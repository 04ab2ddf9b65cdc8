"""What recoloring keeps of held-out icons: `python -m benchmarks.recoloring` prints a table.

With --checkpoint, the ways that use a model too; with --judge, how likely another model finds what came of it.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tincture.data.icons import icons
from tincture.data.sources import LabelledImage
from tincture.pipelines.model_recoloring import load_ways
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor
from tincture.quantization.spaces import SPACES

from .judge import judged_bits

WAYS: dict[str, Callable[[IndexedImage, Palette], IndexedImage]] = {
    "nearest": partial(recolor, reversible=False, distinct=0, stretch=0),
    "gentle": partial(recolor, reversible=False),
    "one-to-one by area": partial(recolor, reversible=False, distinct=np.inf),
    "reversible": recolor,
}
TELLING = 0.02
"""Differences of OKLab lightness below this are too small for an order."""


def kept(before: IndexedImage, after: IndexedImage) -> tuple[float, float, float]:
    """The share of neighboring pixels whose lightness order stays, of those whose difference stays, and the mean ΔE.

    Only opaque pixels count; the first share is among neighbors that differ in lightness, the second among those
    that differ at all.
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


def main() -> None:
    """Recolor icons to each palette in each way and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--palettes", nargs="+", default=["pico-8", "sweetie-16", "endesga-32", "nintendo-gameboy-bgb"])
    parser.add_argument("--colors", type=int, default=16, help="entries of an icon, transparency included")
    parser.add_argument("--limit", type=int, default=400, help="icons, spread evenly over all held-out ones")
    parser.add_argument("--checkpoint", type=Path, help="model of the ways role and model")
    parser.add_argument("--judge", type=Path, help="model that says how likely the results are")
    options = parser.parse_args()
    pictures = [image for image in icons(0.1).images if isinstance(image, LabelledImage) and image.heldout]
    chosen = np.unique(np.linspace(0, len(pictures) - 1, options.limit).astype(int))
    images = [quantize(pictures[i].pixels, options.colors) for i in chosen]
    images = [image for image in images if len(np.unique(image.indices)) > 4]
    ways = dict(WAYS)
    if options.checkpoint is not None:
        ways |= load_ways(options.checkpoint)
    judge = None if options.judge is None else PaletteDiffusionPipeline.from_pretrained(options.judge)
    bits = (" bits per pixel |", " ---: |") if judge is not None else ("", "")
    print(
        f"{len(images)} held-out icons\n\n| palette | way | lightness order kept | edges kept | ΔE | colors |{bits[0]}"
    )
    print(f"| --- | --- | ---: | ---: | ---: | ---: |{bits[1]}")
    if judge is not None:
        print(
            f"| their own | | 100 % | 100 % | 0 | {np.mean([len(np.unique(i.indices)) for i in images]):.1f} | "
            f"{judged_bits(judge, images).mean():.2f} |"
        )
    for name in options.palettes:
        palette = read_palette(name).with_transparency()
        for way, move in ways.items():
            moved = [move(image, palette) for image in tqdm(images, leave=False, disable=None)]
            results = [kept(*pair) for pair in zip(images, moved, strict=True)]
            order, edges, distance = np.nanmean(results, axis=0)
            used = np.mean([len(np.unique(image.indices)) for image in moved])
            bits = "" if judge is None else f" {judged_bits(judge, moved).mean():.2f} |"
            print(f"| {name} | {way} | {100 * order:.1f} % | {100 * edges:.1f} % | {distance:.3f} | {used:.1f} |{bits}")


if __name__ == "__main__":
    main()
