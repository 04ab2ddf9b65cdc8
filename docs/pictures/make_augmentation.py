"""Draw augmentation.png: icons and a picture as recolor.py recolors them; `python -m docs.pictures.make_augmentation`."""

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tincture import recolor
from tincture.data.icons import icons
from tincture.data.versions import DEFAULT_COLORS
from tincture.pipelines.sheet import contact_sheet
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.recolor import recolor as recolor_image

ICONS, SCALE, NAMES, GAP = 14, 3, 190, 4
WAYS = {
    "jitter": "jitter",
    "others": "others: another's palette",
    "pico-8": "pico-8",
    "nintendo-gameboy-bgb": "nintendo-gameboy-bgb",
}
PALETTES = list(WAYS)[2:]
VERSIONS = 4


def versions_of(folder: Path, output: Path, *options: str) -> dict[str, list[Path]]:
    """Call the command; returns the files of each palette or way, in the order of their sources."""
    recolor.main([str(folder), "--output", str(output), *options])
    files: dict[str, list[Path]] = {}
    for record in json.loads((output / recolor.REPORT_FILE).read_text())["files"]:
        files.setdefault(record["palette_of"] if record["by"] == "areas" else record["by"], []).append(
            output / record["file"]
        )
    return files


def draw(folder: Path) -> Image.Image:
    """The sheet, made of files below ``folder``."""
    found = list(icons(0.1).images)
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, ICONS).astype(int)]
    (folder / "icons").mkdir()
    for number, icon in enumerate(chosen):
        Image.fromarray(icon.pixels).save(folder / "icons" / f"{number:02}.png")
    files = versions_of(folder / "icons", folder / "more", "--by", "jitter", "others", "areas", "--palette", *PALETTES)
    sources = [quantize(icon.pixels, DEFAULT_COLORS) for icon in chosen]
    few = [quantize(icon.pixels, 16) for icon in chosen]
    palette = read_palette("pico-8").with_transparency()
    rows = {"as it is": sources}
    rows |= {label: [IndexedImage.load(file) for file in files[way]] for way, label in WAYS.items()}
    rows["pico-8, reversible"] = [recolor_image(image, palette) for image in few]

    (folder / "dusk").mkdir()
    dusk = Image.open(Path(__file__).with_name("dusk.png"))
    dusk.save(folder / "dusk" / "dusk.png")
    options = ("--colors", "all", "--hue", "180", "--versions", str(VERSIONS))
    pictures = [dusk, *map(Image.open, versions_of(folder / "dusk", folder / "dusks", *options)["jitter"])]

    strips = [contact_sheet(images, ICONS, SCALE, GAP) for images in rows.values()]
    width = NAMES + max(strips[0].width, len(pictures) * (dusk.width + GAP) - NAMES)
    sheet = Image.new("RGB", (width, len(strips) * strips[0].height + 24 + dusk.height), "white")
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=14), 0
    for label, strip in zip(rows, strips, strict=True):
        pen.text((GAP, top + strip.height // 3), label, "black", font)
        sheet.paste(strip, (NAMES, top))
        top += strip.height
    pen.text((GAP, top + 2), "as it is, and --colors all --hue 180:", "black", font)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number * (dusk.width + GAP), top + 24))
    return sheet


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        draw(Path(temporary)).save(Path(__file__).with_name("augmentation.png"), optimize=True)
