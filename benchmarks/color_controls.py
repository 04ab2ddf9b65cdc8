"""Measure styles and joint palettes: `python -m benchmarks.color_controls --checkpoint MODEL --judge ANOTHER` prints two tables.

Styles: held-out icons give palette and proportions. Joint palettes: one drawing in several named palettes, against a drawing
in the first of them that is recolored. The judge says how likely the results are, in bits per pixel: lower is likelier.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tincture.controls.joint import JointPalettes
from tincture.controls.options import Controls, Sampling
from tincture.controls.proportions import Proportions
from tincture.data.icons import icons
from tincture.data.sources import LabelledImage
from tincture.evaluation.colors import color_distance
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor

from .judge import judged_bits

COLORS = 16
NAMES = ("endesga-32", "sweetie-16", "pico-8", "nintendo-gameboy-bgb")


def pixels_of_entries(image: IndexedImage) -> np.ndarray:
    """How many pixels each entry has, int64 ``[K]``."""
    return np.bincount(image.indices.ravel(), minlength=len(image.palette))


def styles(pipeline: PaletteDiffusionPipeline, judge: PaletteDiffusionPipeline, number: int, steps: int) -> None:
    """Print the first table."""
    pictures = [image for image in icons(0.1).images if isinstance(image, LabelledImage) and image.heldout]
    chosen = [pictures[i] for i in np.linspace(0, len(pictures) - 1, number).astype(int)]
    references = [quantize(picture.pixels, COLORS) for picture in chosen]
    references = [image for image in references if len(image.palette) > 1]
    print("| strength | color distance | bits per pixel |\n| --- | ---: | ---: |")
    print(f"| the references | 0 | {judged_bits(judge, references).mean():.2f} |")
    for strength in (0.0, 0.5, 1.0):
        drawn = [
            pipeline(1, reference.palette, Sampling(steps, seed), controls=controls_of(reference, strength)).images[0]
            for seed, reference in enumerate(references)
        ]
        pairs = zip(drawn, references, strict=True)
        distances = [color_distance(a.palette, pixels_of_entries(a), pixels_of_entries(b)) for a, b in pairs]
        print(f"| {strength:g} | {np.mean(distances):.4f} | {judged_bits(judge, drawn).mean():.2f} |", flush=True)


def controls_of(reference: IndexedImage, strength: float) -> Controls:
    """What is asked of a drawing in the style of ``reference``."""
    return Controls(proportions=Proportions.of(reference, strength))


def joint_palettes(
    pipeline: PaletteDiffusionPipeline, judge: PaletteDiffusionPipeline, number: int, steps: int
) -> None:
    """Print the second table."""
    palettes = [read_palette(name).with_transparency() for name in NAMES]
    joint = JointPalettes.matched(palettes)
    together = pipeline(number, joint, Sampling(steps)).images
    alone = pipeline(number, joint.base, Sampling(steps)).images
    matched = [version for image in alone for version in joint.show(image)]
    by_areas = [recolor(image, palette, reversible=False) for image in alone for palette in palettes]
    own = [pipeline(number, palette, Sampling(steps)).images for palette in palettes]
    of: dict[str, Callable[[int], list[IndexedImage]]] = {
        "drawn in all at once": lambda n: together[n :: len(NAMES)],
        f"drawn in {NAMES[joint.first]}, entries matched": lambda n: matched[n :: len(NAMES)],
        f"drawn in {NAMES[joint.first]}, recolored by areas": lambda n: by_areas[n :: len(NAMES)],
        "other drawings in each": lambda n: own[n],
    }
    print("\n| way | " + " | ".join(NAMES) + " |\n| --- |" + " ---: |" * len(NAMES))
    for way, images in of.items():
        bits = [judged_bits(judge, images(n)).mean() for n in range(len(NAMES))]
        print(f"| {way} | " + " | ".join(f"{value:.2f}" for value in bits) + " |", flush=True)


def main() -> None:
    """Draw, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="model that draws")
    parser.add_argument("--judge", type=Path, required=True, help="model that says how likely the drawings are")
    parser.add_argument("--number", type=int, default=64, help="icons, and drawings in each palette")
    parser.add_argument("--steps", type=int, default=32, help="calls of the network for each image")
    options = parser.parse_args()
    pipeline, judge = (
        PaletteDiffusionPipeline.from_pretrained(options.checkpoint),
        PaletteDiffusionPipeline.from_pretrained(options.judge),
    )
    pipeline.set_progress_bar_config(disable=True)
    styles(pipeline, judge, options.number, options.steps)
    joint_palettes(pipeline, judge, options.number, options.steps)


if __name__ == "__main__":
    main()
