"""Draw docs/pictures/recipes/: what the commands of docs/drawing.md draw.

`python -m tools.make_recipes` draws all of them, --only NAME… some. Each picture shows what the
command was given beside what it drew.
"""

import contextlib
import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from tincture import recolor, sample
from tincture.common import cli
from tincture.data.icons import icons
from tincture.data.sources import LabelledImage, is_heldout
from tincture.quantization.encoding import encode
from tincture.quantization.fit import quantize
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image

ROOT = Path(__file__).parents[1]
PICTURES_FOLDER = ROOT / "docs" / "pictures"
FOLDER = PICTURES_FOLDER / "recipes"
COMMON = "--steps 32 --overwrite --output runs/drawn"
SHORT = {
    "DRAW": f"python sample.py --checkpoint checkpoints/sprites {COMMON}",
    "ICON": f"python sample.py --checkpoint checkpoints/icons16 {COMMON}",
    "THINGS": "--prompt robe sword potion wall demon dragon helmet person",
}
"""What variables stand for in docs/drawing.md."""
MODEL = "--checkpoint checkpoints/icons16"
PHOTO = "$ICON --target my/photo.png --width 48 --palette pico-8 --sampler confidence --grid cosine --steps 16"
ICONS = ("television", "palette", "store", "magnet-blue", "umbrella", "cake-plain", "bug", "trophy-bronze")
NAMES = {"icon": "television", "style": "store", "folder": "folder-medium"}
GAP = 2


@dataclass(frozen=True)
class Recipe:
    """Commands, a row of the picture for each: what they were given, and what they drew.

    Args:
        commands: as in docs/drawing.md and docs/recoloring.md.
        given: files shown before the drawings of each row.
        shown: what of the command's output is shown: 0000.png … or one file.
        columns: drawings in a row, if not all of them.
        scale: screen pixels for one pixel.
    """

    commands: tuple[str, ...]
    given: tuple[str, ...] = ()
    shown: str = "*.png"
    columns: int | None = None
    scale: int = 4


RECIPES = {
    "palette-of-a-picture": Recipe(
        ("$DRAW $THINGS --palette my/photo.png --colors auto --transparent --num-images 8",), ("my/photo-tiny.png",), scale=3
    ),
    "inpaint": Recipe(("$ICON --init-image my/icon.png --mask my/mask.png --num-images 8",), ("my/icon.png", "my/hidden.png")),
    "outpaint": Recipe(("$ICON --init-image my/icon.png --outpaint 8,8,8,8 --steps 24 --num-images 4",), ("my/icon.png",)),
    "variations": Recipe(
        tuple(f"$ICON --init-image my/icon.png --strength {s} --sampler ancestral --num-images 8" for s in (0.3, 0.6)), ("my/icon.png",)
    ),
    "palettize": Recipe(
        tuple(f"{PHOTO} --fidelity {f} --num-images 2" for f in (100, 1000)), ("my/photo-small.png", "my/photo-nearest.png")
    ),
    "dither-of-the-mean": Recipe(
        (f"{PHOTO} --fidelity 100 --dither blue-noise --dither-draws 8 --num-images 1",), ("my/photo-small.png", "my/photo-nearest.png")
    ),
    "colorize": Recipe(
        tuple(f"$ICON --luminance my/grey.png --palette {p} --transparent --num-images 8" for p in ("sweetie-16", "my/icon.png")),
        ("my/grey.png",),
    ),
    "tile": Recipe(('$DRAW --tile both --palette train --prompt "brick wall" "stone floor" grass water --num-images 4',), shown="tiled.png"),
    "mirror": Recipe(("$DRAW $THINGS --mirror x --palette sweetie-16 --transparent --num-images 8",), scale=3),
    "recolor": Recipe(
        tuple(
            f"python recolor.py my/icons --palette sweetie-16 --by {way} --overwrite --output runs/recolored"
            for way in ("areas", "reversible", f"role {MODEL}", f"model {MODEL}")
        )
    ),
    "style": Recipe(
        tuple(f"$ICON --{way} my/style.png --num-images 8" for way in ("palette", "style")), ("my/style.png",)
    ),
    "words": Recipe(
        (
            '$DRAW --palette train --prompt "red robe" "green robe" "blue robe" "yellow robe" --num-images 8',
            "$DRAW $THINGS --palette train --num-images 8",
        ),
        scale=3,
    ),
    "class": Recipe(
        tuple(f"$ICON --palette my/folder.png --class-label folder --guidance-scale {s} --num-images 10" for s in (1, 3)),
    ),
    "negative-class": Recipe(
        ("$ICON --palette my/folder.png --num-images 10", "$ICON --palette my/folder.png --negative-class folder --num-images 10")
    ),
    "strip": Recipe(
        ('$DRAW --palette sweetie-16 --palette-to pico-8 --strip 8 --transparent --prompt robe "brick wall" person --num-images 3',),
        columns=8,
        scale=3,
    ),
    "palettes": Recipe(
        ("$DRAW $THINGS --palettes endesga-32 sweetie-16 pico-8 commodore64 nintendo-gameboy-bgb --transparent --num-images 8",),
        columns=10,
        scale=3,
    ),
    "augment": Recipe(("python recolor.py my/icons --by jitter others areas --palette pico-8 --versions 3 --output runs/recolored",), columns=8),
    "sprite-sheet": Recipe(
        ("$DRAW $THINGS --palette endesga-32 --transparent --num-images 16 --sprite-sheet --columns 8 --shape-padding 1",),
        shown="sprites.png",
    ),
    "trajectory": Recipe(
        ("$DRAW $THINGS --palette endesga-32 --transparent --num-images 8 --gif --scale 2",), shown="trajectory.gif"
    ),
    "variants": Recipe(
        ("$ICON --init-image my/icon.png --strength 0.6 --sampler ancestral --num-images 8 --variants-gif --scale 8",), shown="scaled/variants.gif"
    ),
}  # fmt: skip


def prepare(folder: Path) -> None:
    """Write what commands are given below ``folder``: held-out icons, a mask, a photograph."""
    (folder / "icons").mkdir(parents=True)
    found: dict[str, LabelledImage] = {}
    for picture in icons().images:
        if isinstance(picture, LabelledImage) and is_heldout(picture.side, 0.1):
            found.setdefault(picture.name, picture)
    for name in ICONS:
        quantize(found[name].pixels, 16).save(folder / "icons" / f"{name}.png")
    for name, icon in NAMES.items():
        quantize(found[icon].pixels, 16).save(folder / f"{name}.png")
    pixels = read_image(folder / "icon.png").copy()
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[4:12, 4:12] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    grey = np.array(Image.fromarray(pixels).convert("LA").convert("RGBA"))
    Image.fromarray(grey).save(folder / "grey.png")
    pixels[mask > 0] = (255, 0, 255, 255)
    Image.fromarray(pixels).save(folder / "hidden.png")
    photo = Image.open(PICTURES_FOLDER / "dusk.png").convert("RGBA")
    photo.save(folder / "photo.png")
    quantize(np.array(photo.resize((24, 16), Image.Resampling.BOX)), 256).save(folder / "photo-tiny.png")
    small = np.array(photo.resize((48, 32), Image.Resampling.BOX))
    quantize(small, 256).save(folder / "photo-small.png")
    pico = read_palette("pico-8")
    IndexedImage(encode(small, pico), pico).save(folder / "photo-nearest.png")


def indexed(path: Path) -> IndexedImage:
    """A picture to be shown; one that isn't indexed gets 256 colors."""
    image = Image.open(path)
    return IndexedImage.from_pil(image) if image.mode == "P" else quantize(read_image(path), 256)


def results(command: str, shown: str) -> list[Path]:
    """Run a command; returns the files to be shown."""
    for output in ("runs/drawn", "runs/recolored"):
        shutil.rmtree(output, ignore_errors=True)
    _, program, *options = shlex.split(Template(command).substitute(SHORT))
    if program == "recolor.py":
        recolor.main(options)
        return sorted(Path("runs/recolored/icons").glob("*.png"), key=lambda path: path.stem.rsplit("-v", 1)[::-1])
    sample.main(options)
    return sorted(path for path in Path("runs/drawn").glob(shown) if shown != "*.png" or path.stem.isdecimal())


def draw(name: str, recipe: Recipe, folder: Path) -> None:
    """Run a recipe's commands in the working directory and lay out what came of them."""
    rows = [results(recipe.commands[0], recipe.shown)]
    if recipe.shown.endswith((".gif", "sprites.png")):
        shutil.copy(rows[0][0], folder / f"{name}{rows[0][0].suffix}")
        return
    if recipe.shown == "tiled.png":
        shutil.copy(rows[0][0], folder / f"{name}.png")
        return
    rows = [[indexed(path) for path in rows[0]]]
    for command in recipe.commands[1:]:
        rows.append([indexed(path) for path in results(command, recipe.shown)])
    before = [indexed(Path(path)) for path in recipe.given]
    if name == "recolor":
        rows.insert(0, [indexed(path) for path in sorted(Path("my/icons").glob("*.png"))])
    columns = recipe.columns or len(before) + len(rows[0])
    images = [image for row in rows for image in [*before, *row]]
    contact_sheet(images, columns, recipe.scale, GAP).save(folder / f"{name}.png", optimize=True)


def main(arguments: list[str]) -> None:
    """Draw all of them, or those named."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the pictures")
    options = parser.parse_args(arguments)
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, contextlib.chdir(temporary):
        Path("checkpoints").symlink_to(ROOT / "checkpoints")
        prepare(Path("my"))
        for name in options.only:
            draw(name, RECIPES[name], folder)


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    cli.run(main)
