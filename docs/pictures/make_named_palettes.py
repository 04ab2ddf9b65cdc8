"""Draw every named palette as a row of squares: `python -m docs.pictures.make_named_palettes` makes named-palettes.png."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tincture.quantization.palettes.files import named_palettes, read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.swatch import swatch

SQUARE, COLUMNS, GAP, NAMES = 20, 32, 6, 230


def draw(palettes: dict[str, Palette]) -> Image.Image:
    """The swatches below each other on gray, which shows white entries too, each with its name on the left."""
    rows = {name: -(-len(palette) // COLUMNS) for name, palette in palettes.items()}
    height = sum(SQUARE * count + GAP for count in rows.values()) + GAP
    sheet = Image.new("RGB", (NAMES + SQUARE * COLUMNS + GAP, height), "silver")
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=15), GAP
    for name, palette in palettes.items():
        pen.text((GAP, top), name, "black", font)
        for first in range(0, len(palette), COLUMNS):
            row = Palette(palette.colors[first : first + COLUMNS])
            sheet.paste(swatch(row, SQUARE, COLUMNS), (NAMES, top))
            top += SQUARE
        top += GAP
    return sheet


if __name__ == "__main__":
    found = {name: read_palette(name) for name in named_palettes()}
    draw(found).save(Path(__file__).with_name("named-palettes.png"), optimize=True)
