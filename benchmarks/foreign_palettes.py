"""How well do models know palettes that weren't made for the picture? `python benchmarks/foreign_palettes.py runs/a runs/b`.

Prints held-out bits per pixel of the icons in palettes of their own, and of the same icons moved to named palettes.
"""

from pathlib import Path

from tincture.common import cli
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.evaluation.heldout import heldout_estimates
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

PALETTES = ("own", "pico-8", "sweetie-16", "endesga-32", "nintendo-gameboy-bgb")


def main(arguments: list[str]) -> None:
    """Measure each model on each palette and print a table."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders that train.py wrote")
    parser.add_argument("--times", type=int, default=8, help="corruptions of each held-out icon")
    options = parser.parse_args(arguments)
    sets = {palette: load_index_maps(DataConfig(palette=palette))[1] for palette in PALETTES}
    print(f"{'':24}" + "".join(f"{palette:>22}" for palette in PALETTES))
    for checkpoint in options.checkpoints:
        pipeline = PaletteDiffusionPipeline.from_pretrained(checkpoint)
        row = f"{checkpoint.name:24}"
        for images in sets.values():
            result = heldout_estimates(pipeline.denoiser, pipeline.scheduler.process, images, options.times).result()
            row += f"{result.mean:>14.3f} ± {result.stderr:.3f}"
        print(row)


if __name__ == "__main__":
    cli.run(main)
