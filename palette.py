"""Draw palettes with a trained model: `python palette.py "autumn forest" --output runs/palettes`.

The model's prior over palettes draws them, in no relation to any picture. `sample.py --palette
drawn` draws pictures in such palettes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from jsonargparse import ArgumentParser

from tincture.common import cli
from tincture.common.errors import SEED
from tincture.common.files import files_in, write_json
from tincture.common.options import OneOf, add_options, read_options
from tincture.common.output_folder import claimed, recorded_in
from tincture.controls.options import COUNT, DrawnPalette, Guidance
from tincture.pipelines.folders import model_in
from tincture.quantization.palettes.files import WRITERS, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage

PALETTES_FILE = "palettes.json"
COLUMNS, SQUARE, ROW = 2, 16, 32
"""Of the sheet: palettes side by side, screen pixels of a square, and squares in a row."""


@dataclass(frozen=True)
class Options:
    """Every option of the command but the words.

    Args:
        checkpoint: folder of a model with a prior over palettes.
        output: folder for 0000.hex …, sheet.png and palettes.json.
        num_palettes: how many palettes to draw.
        class_label: of pictures of this class.
        colors: entries, the transparent one too; as many as in training if left out.
        transparent: one entry is transparent; as in training if left out.
        keep_colors: colors that each palette must hold.
        temperature: below 1, likely colors are favored; 0 takes the likeliest.
        seed: palette i depends on this and i alone.
        suffix: of the files.
        overwrite: replace earlier palettes in the output folder.
    """

    checkpoint: Path
    output: Path
    num_palettes: Annotated[int, COUNT] = 8
    class_label: str | None = None
    colors: int | None = None
    transparent: bool = False
    keep_colors: Sequence[str] = field(default=(), metadata={"metavar": "ff0000,00ff00,…"})
    temperature: float = 1.0
    seed: Annotated[int, SEED] = 0
    suffix: Annotated[str, OneOf([suffix.removeprefix(".") for suffix in WRITERS])] = "hex"
    overwrite: bool = False

    @property
    def asked(self) -> DrawnPalette:
        """What palettes shall be like."""
        kept = Palette.from_hex(self.keep_colors) if self.keep_colors else None
        return DrawnPalette(self.colors, self.transparent or None, kept, self.temperature)


def main(arguments: list[str]) -> None:
    """Parse, draw, write, report."""
    parsed = make_parser().parse_args(arguments)
    options = read_options(Options, parsed)
    asked = options.asked
    model_in(options.checkpoint)
    with claimed(options.output, options.overwrite, recorded_in(PALETTES_FILE), [options.checkpoint]) as output:
        palettes = draw(options, asked, parsed.prompt)
        with output.written_whole() as folder:
            named = {f"{number:04d}.{options.suffix}": palette for number, palette in enumerate(palettes)}
            for name, palette in named.items():
                write_palette(palette, folder / name)
            contact_sheet([squares(palette) for palette in palettes], COLUMNS, SQUARE, gap=8).save(folder / "sheet.png")
            listed = [{"file": name, "palette": palette.to_hex()} for name, palette in named.items()]
            record = cli.describe_run(parsed) | {"palettes": listed}
            write_json(folder / PALETTES_FILE, record | {"files": files_in(folder)})
    print(f"drew {len(palettes)} palettes: see {options.output / 'sheet.png'}")


def make_parser() -> ArgumentParser:
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Draw palettes with a trained model, of a class or of what words say.")
    parser.add_argument("prompt", nargs="?", type=str | None, default=None, help="what they are for, in words")
    add_options(parser, Options)
    return parser


def draw(options: Options, asked: DrawnPalette, prompt: str | None) -> list[Palette]:
    """Draw what the options ask for."""
    from tincture.diffusion.draws import Streams  # torch and diffusers take seconds
    from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    told = Guidance(class_label=options.class_label, prompt=None if prompt is None else [prompt])
    return pipeline.draw_palettes(asked, Streams.of(options.seed, range(options.num_palettes)), told)


def squares(palette: Palette) -> IndexedImage:
    """A picture of one pixel for each entry, in rows of `ROW`; the last one is said again."""
    rows = -(-len(palette) // ROW)
    columns = -(-len(palette) // rows)
    places = np.arange(rows * columns).clip(max=len(palette) - 1).astype(np.uint8)
    return IndexedImage(places.reshape(rows, columns), palette)


if __name__ == "__main__":
    cli.run(main)
