"""Draw the pictures of the docs: `python -m tools.make_pictures NAME…`, in docs/pictures.

Some are made from a folder, which --source names: `samplers` and `peers-drawn` from trained models,
`curve` from a run. `python -m tools.make_recipes` draws docs/pictures/recipes.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import load_file

from tincture import recolor
from tincture.benchmarks import peers
from tincture.benchmarks.peer_models.report import plot
from tincture.benchmarks.photographs import gradient, photographs, with_alpha
from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.plotting import make_figure, save_figure
from tincture.controls.options import Sampling
from tincture.data.icons import icons
from tincture.data.index_maps import load_index_maps
from tincture.data.sources import DataConfig
from tincture.data.versions import DEFAULT_COLORS
from tincture.diffusion.scheduler import PaletteScheduler
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.dither import dither
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette, quantize
from tincture.quantization.palettes.batch import PaletteBatch
from tincture.quantization.palettes.files import named_palettes, read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.palettes.swatch import swatch
from tincture.quantization.palettes.tree import color_tree
from tincture.quantization.pictures.contact_sheet import contact_sheet
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.reading import read_image
from tincture.quantization.recolor import recolor as recolor_image
from tincture.training.run_config import METRICS_FILE

ROOT = Path(__file__).parents[1]
PICTURES_FOLDER = ROOT / "docs" / "pictures"
RESULTS_FOLDER = ROOT / "docs" / "results"


def dusk(output: Path, _: Path | None) -> None:
    """dusk.png: the landscape from which `make demo` takes a palette."""
    height, width = 120, 180
    sky = np.array([(24, 20, 60), (76, 40, 110), (180, 62, 110), (244, 132, 84), (255, 214, 130)], float)
    sun, hills, water = (255, 244, 200), ((40, 52, 74), (22, 34, 52), (12, 20, 34)), (52, 116, 132)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    # The sky blends from night at the top to sunset.
    place = np.clip(y / 0.7, 0, 1) * (len(sky) - 1)
    below = np.minimum(place.astype(int), len(sky) - 2)
    picture = sky[below] + (sky[below + 1] - sky[below]) * (place - below)[..., None]
    picture[(x - 0.62) ** 2 * 2.25 + (y - 0.52) ** 2 < 0.006] = sun
    for number, color in enumerate(hills):
        ridge = 0.6 + 0.1 * number - 0.06 * np.sin(x * (5 + 3 * number) + number) - 0.02 * np.sin(31 * x + 2 * number)
        picture[y > ridge] = color
    # The lake has bright waves.
    lake = y > 0.9 + 0.02 * np.sin(7 * x)
    picture[lake] = np.array(water) + 60 * (np.sin(90 * y + 4 * np.sin(9 * x)) > 0.7)[lake][:, None]
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(output / "dusk.png", optimize=True)


def named_palettes_sheet(output: Path, _: Path | None) -> None:
    """named-palettes.png: the colors of every named palette beside its name."""
    square, columns, gap, names = 20, 32, 6, 230
    palettes = {name: read_palette(name) for name in named_palettes()}
    rows = {name: -(-len(palette) // columns) for name, palette in palettes.items()}
    height = sum(square * count + gap for count in rows.values()) + gap
    sheet = Image.new("RGB", (names + square * columns + gap, height), "silver")  # on which white entries show
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=15), gap
    for name, palette in palettes.items():
        pen.text((gap, top), name, "black", font)
        for first in range(0, len(palette), columns):
            row = Palette(palette.colors[first : first + columns])
            sheet.paste(swatch(row, square, columns), (names, top))
            top += square
        top += gap
    sheet.save(output / "named-palettes.png", optimize=True)


def forward_processes(output: Path, _: Path | None) -> None:
    """forward-processes.png: one icon as each process corrupts it, at t = 0, 0.1 … 1.

    Rows: absorbing (masked pixels are gray), uniform, color-heat, color-tree (a pixel at a node has
    the mean color of what is under it).
    """
    times, mask_color = torch.linspace(0, 1, 11), np.array([[128, 128, 128, 255]], np.uint8)
    _, heldout = load_index_maps(DataConfig(palette="own", min_colors=16, max_colors=16))
    palette = heldout.palette(0)
    batch = PaletteBatch.from_palettes([palette] * len(times))
    under = color_tree(batch).members[0, len(palette) + 1 :].double().numpy()
    nodes = (under @ palette.colors / under.sum(axis=1, keepdims=True).clip(1)).astype(np.uint8)
    nodes[:, 3] = 255
    shown = Palette(np.concatenate([palette.colors, mask_color, nodes]))
    x_0 = heldout.indices[0].long().expand(len(times), -1, -1)
    images = []
    for name in ("absorbing", "uniform", "color-heat", "color-tree"):
        process = PaletteScheduler(name).process
        x_t = process.q_sample(x_0, times, batch, torch.Generator().manual_seed(0))
        images += [IndexedImage(x.numpy().astype(np.uint8), shown) for x in x_t]
    contact_sheet(images, columns=len(times), scale=5).save(output / "forward-processes.png")


def dithers(output: Path, _: Path | None) -> None:
    """dither-*.png: a gradient and a photograph in eight colors, and the photograph in e-paper's.

    In eight colors: without dithering, Floyd-Steinberg, Atkinson; below, Sierra, Bayer, blue noise.
    In e-paper's: Floyd-Steinberg, the same exactly, blue noise. Each pixel is doubled.
    """
    methods = ("none", "floyd-steinberg", "atkinson", "sierra", "bayer8", "blue-noise")

    def save(rows: list[list[np.ndarray]], palette: Palette, name: str) -> None:
        sheet = np.vstack([np.hstack(row) for row in rows]).repeat(2, axis=0).repeat(2, axis=1)
        IndexedImage(sheet, palette).save(output / f"dither-{name}.png")

    for name, source in (("gradient", gradient()), ("photograph", photographs()["coffee"])):
        image = with_alpha(np.array(Image.fromarray(source).resize((300, 200), Image.Resampling.LANCZOS)))
        palette = fit_palette([image], 8, "mixtures")
        tiles = [dither(image, palette, method) for method in methods]
        save([tiles[:3], tiles[3:]], palette, name)
    palette = read_palette("e-paper-7")
    calm, exact = (dither(image, palette, "floyd-steinberg", exact=exact) for exact in (False, True))
    save([[calm, exact, dither(image, palette, "blue-noise")]], palette, "given")


def gray_on_panels(output: Path, _: Path | None) -> None:
    """gray-on-panels.png: a gray photograph and its colors on three e-paper panels.

    Columns: black, white and red; the seven colors of e-paper-7; six as measured on a panel. Rows:
    no dithering, Floyd-Steinberg, blue noise; below, the colors by Floyd-Steinberg. Each pixel is
    doubled.
    """
    colors = Image.fromarray(photographs()["chelsea"]).resize((180, 120), Image.Resampling.LANCZOS)
    gray = np.array(colors.convert("L").convert("RGB"))
    panels = [
        Palette.from_hex(["000000", "ffffff", "ff0000"]),
        read_palette("e-paper-7"),
        Palette.from_hex(["191e21", "e8e8e8", "2157ba", "125f20", "b21318", "efde44"]),
    ]
    rows = [(gray, "none"), (gray, "floyd-steinberg"), (gray, "blue-noise"), (np.array(colors), "floyd-steinberg")]
    shown = [
        np.hstack([panel.colors[dither(image, panel, method, exact=True), :3] for panel in panels])
        for image, method in rows
    ]
    sheet = Image.fromarray(np.vstack(shown).repeat(2, axis=0).repeat(2, axis=1))
    sheet.quantize(dither=Image.Dither.NONE).save(output / "gray-on-panels.png", optimize=True)


def augmentation(output: Path, _: Path | None) -> None:
    """augmentation.png: icons and a picture as recolor.py recolors them."""
    count, scale, names, gap = 14, 3, 190, 4
    palettes = ("pico-8", "nintendo-gameboy-bgb")
    labels = {"jitter": "jitter", "others": "others: another's palette"} | dict(zip(palettes, palettes, strict=True))
    found = list(icons().images)
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]
    dusk_picture = Image.open(PICTURES_FOLDER / "dusk.png")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("icons", "dusk"):
            (folder / name).mkdir()
        for number, icon in enumerate(chosen):
            Image.fromarray(icon.pixels).save(folder / "icons" / f"{number:02}.png")
        dusk_picture.save(folder / "dusk" / "dusk.png")
        options = ("--by", "jitter", "others", "areas", "--palette", *palettes)
        files = _recolored(folder / "icons", folder / "more", *options)
        rows = {"as it is": [quantize(icon.pixels, DEFAULT_COLORS) for icon in chosen]}
        rows |= {label: [IndexedImage.load(file) for file in files[way]] for way, label in labels.items()}
        options = ("--colors", "all", "--hue", "180", "--versions", "4")
        jittered = _recolored(folder / "dusk", folder / "dusks", *options)["jitter"]
        pictures = [dusk_picture, *(Image.open(file).copy() for file in jittered)]
    palette = read_palette("pico-8").with_transparency()
    rows["pico-8, reversible"] = [recolor_image(quantize(icon.pixels, 16), palette) for icon in chosen]

    strips = [contact_sheet(images, count, scale, gap) for images in rows.values()]
    width = names + max(strips[0].width, len(pictures) * (dusk_picture.width + gap) - names)
    sheet = Image.new("RGB", (width, len(strips) * strips[0].height + 24 + dusk_picture.height), "white")
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(size=14), 0
    for label, strip in zip(rows, strips, strict=True):
        pen.text((gap, top + strip.height // 3), label, "black", font)
        sheet.paste(strip, (names, top))
        top += strip.height
    pen.text((gap, top + 2), "as it is, and --colors all --hue 180:", "black", font)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number * (dusk_picture.width + gap), top + 24))
    sheet.save(output / "augmentation.png", optimize=True)


def _recolored(folder: Path, output: Path, *options: str) -> dict[str, list[Path]]:
    """The files that recolor.py writes, by palette or way, in the order of their sources."""
    recolor.main([str(folder), "--output", str(output), *options])
    files: dict[str, list[Path]] = {}
    for record in json.loads((output / recolor.REPORT_FILE).read_text())["files"]:
        name = record["palette_of"] if record["by"] == "areas" else record["by"]
        files.setdefault(name, []).append(output / record["file"])
    return files


def sprites(output: Path, source: Path | None) -> None:
    """sprites.png, the README's picture: the sheets of `make sample` below each other."""
    _below_each_other(source or ROOT / "runs" / "sample", ("32", "16")).save(output / "sprites.png", optimize=True)


def reference(output: Path, source: Path | None) -> None:
    """icons16-reference.png: the two sheets, in SOURCE, of the commands in that model's card."""
    sheet = _below_each_other(_given(source), ("heldout", "pico-8"))
    sheet.save(output / "icons16-reference.png", optimize=True)


def _below_each_other(folder: Path, names: tuple[str, ...], gap: int = 12) -> Image.Image:
    sheets = [Image.open(folder / name / "sheet.png").convert("RGB") for name in names]
    height = sum(sheet.height for sheet in sheets) + gap * (len(sheets) - 1)
    joined = Image.new("RGB", (max(sheet.width for sheet in sheets), height), "white")
    top = 0
    for sheet in sheets:
        joined.paste(sheet, (0, top))
        top += sheet.height + gap
    return joined


def samplers(output: Path, source: Path | None) -> None:
    """samplers.png: the same palettes and seeds by several samplers of an absorbing model, SOURCE.

    Rows: ancestral with 256 calls; then with 16 calls ancestral, confidence, remasking.
    """
    columns, seed = 16, 2
    rows = (
        Sampling(256, seed, "ancestral"),
        Sampling(16, seed, "ancestral"),
        Sampling(16, seed, "confidence", grid="cosine"),
        Sampling(16, seed, "remasking", {"remasking_rate": 16.0}),
    )
    pipeline = PaletteDiffusionPipeline.from_pretrained(_given(source))
    pipeline.set_progress_bar_config(disable=True)
    images = [image for row in rows for image in pipeline(columns, "heldout", row).images]
    contact_sheet(images, columns, scale=3).save(output / "samplers.png")


def calls(output: Path, source: Path | None) -> None:
    """calls.png: the same palettes and seeds at 4, 8, 16 and 64 calls of a model, SOURCE.

    Of each number of calls, the first row is remasking, the second replanning.
    """
    columns, seed = 16, 2
    ways = (("remasking", {}, None), ("confidence", {"choice_temperature": 9.0, "replanning": 2.0}, "fitted"))
    pipeline = PaletteDiffusionPipeline.from_pretrained(_given(source))
    pipeline.set_progress_bar_config(disable=True)
    rows = [Sampling(steps, seed, *way) for steps in (4, 8, 16, 64) for way in ways]
    images = [image for row in rows for image in pipeline(columns, "heldout", row).images]
    contact_sheet(images, columns, scale=3).save(output / "calls.png")


def curve(output: Path, source: Path | None) -> None:
    """curve.png: the bits per pixel of a training run, SOURCE, over its steps."""
    lines = {
        "heldout/bits_per_pixel": "held out",
        "heldout/bits_per_pixel_given_class": "held out, told the class",
        "heldout/bits_per_pixel_given_caption": "held out, told the caption",
        "train/bits_per_pixel": "training",
    }
    records = [json.loads(line) for line in (_given(source) / METRICS_FILE).read_text().splitlines()]
    figure = make_figure(7, 3.5)
    axes = figure.subplots()
    for name, label in lines.items():
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="o" if len(points) < 50 else None)
    axes.set(xlabel="step", ylabel="bits per pixel", ylim=(0.4, 1.8))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    save_figure(figure, output / "curve.png")


def peers_plot(output: Path, _: Path | None) -> None:
    """peers.png: the records in docs/results: bits over minutes, Fréchet distances over calls."""
    adamw = _records_of("adamw", "adamw-decay-0.01")
    records = _records_of("muon", "muon-decay-0.01")
    records += [{**each, "peer": f"{each['peer']}, AdamW"} for each in adamw if each["peer"] != "real"]
    records += [{**each, "palettes": "shared, on a quiet machine"} for each in _records_of("muon-quiet")]
    path = output / "peers.png"
    plot(path, records)
    # A palette of its own makes the file small.
    pixels = read_image(path)
    palette = fit_palette([pixels], 48)
    IndexedImage(encode(pixels, palette), palette).save(path)


def _records_of(*folders: str) -> list[dict[str, Any]]:
    """The records of the first folder, and from each other one what those before it lack."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        known = {(each["palettes"], each["peer"]) for each in found}
        more = json.loads((RESULTS_FOLDER / folder / "peers.json").read_text())["records"]
        found += [each for each in more if (each["palettes"], each["peer"]) not in known]
    return found


def peers_drawn(output: Path, source: Path | None) -> None:
    """peers-drawn.png: held-out icons, then drawings by our model and by the per-index model.

    SOURCE is a folder where benchmarks.peers left weights for icons in palettes of their own. Both
    draw in the icons' palettes, by remasking with 64 calls and seed 0.
    """
    columns, calls = 16, 64
    folder, parser = _given(source), peers.make_parser()
    words = ["--config", str(ROOT / "configs" / "icons16.yaml"), "--output", str(folder)]
    config = parser.instantiate(parser.parse_args(words))
    training, heldout = load_index_maps(peers.icons_in("own", config.data))
    rows = heldout.random_rows(columns, seed=0)
    images = peers.images_of(heldout.indices[rows], heldout, rows)
    for name in ("ours", "per-index"):
        peer = peers.start(name, config.model, config.train, training, 0, torch.device("cpu")).peer
        peer.network.load_state_dict(load_file(folder / "weights" / f"own-{name}-0.safetensors"))
        size = heldout.indices.shape[-1]
        drawing = peer.draw(peer.network, heldout.palettes[rows], size, calls, "remasking", seed=0)
        images += peers.images_of(drawing.indices, heldout, rows)
    contact_sheet(images, columns).save(output / "peers-drawn.png")


def _given(source: Path | None) -> Path:
    if source is None:
        raise InputError("this picture is made from a folder: name it by --source")
    return source


PICTURES: dict[str, Callable[[Path, Path | None], None]] = {
    "dusk": dusk,
    "named-palettes": named_palettes_sheet,
    "forward-processes": forward_processes,
    "dither": dithers,
    "gray-on-panels": gray_on_panels,
    "augmentation": augmentation,
    "sprites": sprites,
    "icons16-reference": reference,
    "samplers": samplers,
    "calls": calls,
    "curve": curve,
    "peers": peers_plot,
    "peers-drawn": peers_drawn,
}


def main(arguments: list[str]) -> None:
    """Draw what is asked for."""
    parser = cli.make_parser(__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", metavar="NAME", choices=list(PICTURES), help=", ".join(PICTURES))
    parser.add_argument("--source", type=Path | None, default=None, help="folder that the picture is made from")
    parser.add_argument("--output", type=Path, default=PICTURES_FOLDER, help="folder for the pictures")
    options = parser.parse_args(arguments)
    for name in options.names:
        PICTURES[name](options.output, options.source)


if __name__ == "__main__":
    cli.run(main)
