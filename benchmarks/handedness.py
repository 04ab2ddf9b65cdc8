"""Do drawings come out mirrored? `python -m benchmarks.handedness --judge MODEL --checkpoints A B` prints a table.

Icons have a right and a left: light falls from one side, arrows and pencils point to another. To a judge that has never seen one mirrored,
mirroring an icon costs bits. It costs drawings as much as real icons if they are all the right way round, and nothing on average if half of
them are turned. The last column is the share that the judge finds likelier mirrored, by chance corruptions too.
"""

from pathlib import Path

import numpy as np

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.controls.options import Sampling
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.pictures.indexed_image import IndexedImage

from .judge import judged_bits

TURNED = 0.25
"""The share of the held-out icons that is mirrored for the table's second line, to show what that does to the figure."""


def mirrored(image: IndexedImage) -> IndexedImage:
    """The picture, left and right exchanged."""
    return IndexedImage(np.ascontiguousarray(image.indices[:, ::-1]), image.palette)


def cost_of_mirroring(judge: PaletteDiffusionPipeline, images: list[IndexedImage], times: int = 16) -> np.ndarray:
    """By how many bits per pixel ``judge`` finds each image likelier than its mirror image, float64 ``[N]``."""
    return judged_bits(judge, [mirrored(image) for image in images], times) - judged_bits(judge, images, times)


def line(name: str, costs: np.ndarray) -> str:
    """A line of the table: the mean ± its standard error, and the share of those that are likelier mirrored."""
    stderr = costs.std(ddof=1) / len(costs) ** 0.5
    return f"| {name} | {costs.mean():.3f} ± {stderr:.3f} | {(costs < 0).mean():.0%} |"


def main(arguments: list[str]) -> None:
    """Measure held-out icons, the same with some turned, and drawings in held-out palettes."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    add = parser.add_argument
    add("--judge", type=Path, required=True, help="pipeline folder that was trained without train.mirror")
    add("--checkpoints", type=Path, nargs="*", default=[], help="pipeline folders to draw with")
    add("--num-images", type=int, default=256, help="of each, at most one for each held-out icon")
    add("--sampler", type=str | None, default=None, help="how to draw; each checkpoint's own way if left out")
    parser.add_class_arguments(DataConfig, "data")
    options = parser.parse_args(arguments)
    if options.num_images < 2:
        raise InputError(f"--num-images is {options.num_images}; a standard error needs at least 2")
    judge = PaletteDiffusionPipeline.from_pretrained(options.judge)
    _, heldout = load_index_maps(parser.instantiate(options).data)
    rows = heldout.random_rows(options.num_images, seed=0).tolist()
    real = [IndexedImage(heldout.indices[row].numpy(), heldout.palette(row)) for row in rows]
    turned = [mirrored(image) if i < TURNED * len(real) else image for i, image in enumerate(real)]
    print("| images | mirroring costs, bits per pixel | likelier mirrored |\n| --- | --- | --- |")
    print(line("held-out icons", cost_of_mirroring(judge, real)))
    print(line(f"a share of {TURNED:g} of them mirrored", cost_of_mirroring(judge, turned)))
    for checkpoint in options.checkpoints:
        pipeline = PaletteDiffusionPipeline.from_pretrained(checkpoint)
        drawn = pipeline(len(real), [image.palette for image in real], Sampling(sampler=options.sampler)).images
        print(line(f"drawn by {checkpoint}", cost_of_mirroring(judge, drawn)), flush=True)


if __name__ == "__main__":
    cli.run(main)
