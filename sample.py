"""Draw images with a trained model, in any palette.

`python sample.py --checkpoint runs/demo/model --palette pico-8 --output runs/drawn`
"""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from jsonargparse import ArgumentParser, Namespace
from PIL import Image

from tincture.common import cli
from tincture.common.errors import Range
from tincture.common.files import files_in, write_json
from tincture.common.options import With, add_options, read_options
from tincture.common.output_folder import claimed, recorded_in
from tincture.common.processes import is_first_process, leave_group, processes
from tincture.controls.command import Drawing
from tincture.controls.joint import JointPalettes
from tincture.controls.options import AXES, COUNT
from tincture.pipelines.folders import model_in
from tincture.quantization.palettes.files import paths_of
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import GIF_MILLISECONDS, write_animation
from tincture.quantization.pictures.contact_sheet import contact_sheet, repeated
from tincture.quantization.pictures.gif import check_gif_palette
from tincture.quantization.pictures.indexed_image import IndexedImage, PngOptions
from tincture.quantization.pictures.sprite_sheet import make_sprite_sheet

if TYPE_CHECKING:
    from torch import Tensor

SAMPLES_FILE = "samples.json"
SPRITES_FILE, VARIANTS_FILE, SCALED_FOLDER = "sprites.png", "variants.gif", "scaled"
COLUMNS, SHEET_SCALE = 8, 3
MAX_TRAJECTORY_IMAGES = 16
TRAJECTORY_MILLISECONDS = 80
UP_TO = 10_000
"""Columns, and screen pixels for a pixel or between pictures."""

FIRST = (
    *("checkpoint", "output", "num_images", "palette", "transparent"),
    *("prompt", "negative_prompts", "class_label", "guidance_scale", "steps", "seed", "sampler"),
)
"""What people use first stands first in ``--help``."""


@dataclass(frozen=True)
class Run:
    """Files and machine.

    Args:
        checkpoint: folder that train.py wrote.
        output: folder for 0000.png …, sheet.png and samples.json.
        num_images: how many images to draw.
        overwrite: replace earlier samples in the output folder.
        device: where to draw; auto takes a GPU if there is one.
    """

    checkpoint: Path
    output: Path
    num_images: Annotated[int, COUNT] = 16
    overwrite: bool = False
    device: Literal["auto", "cpu"] = "auto"


@dataclass(frozen=True)
class SpriteSheet:
    """All images on one picture.

    Args:
        sprite_sheet: also write sprites.png, all images on one picture, and sprites.json, where
            each stands, as Aseprite and TexturePacker do (hash form).
        shape_padding: pixels between the images of the sprite sheet.
        border_padding: pixels along the edges of the sprite sheet.
    """

    sprite_sheet: bool
    shape_padding: Annotated[int, Range(0, UP_TO)] = 0
    border_padding: Annotated[int, Range(0, UP_TO)] = 0


@dataclass(frozen=True)
class Exports:
    """What is written besides, for people and other programs (docs/studio.md).

    Args:
        columns: images in a row of the sheet and of the sprite sheet; if left out, 8, or one for
            each palette of a drawing that has several.
        scale: screen pixels for one pixel in the sheet and the trajectory, 3 if left out; if given,
            enlarged images are also written, as scaled/0000.png ….
        gif: also write trajectory.gif: the first images as they appear.
        variants_gif: also write variants.gif: all images in turn, in exact colors.
        duration: milliseconds for each image in sprites.json and in variants.gif.
    """

    columns: Annotated[int | None, Range(1, UP_TO)] = None
    scale: Annotated[int | None, Range(1, UP_TO)] = None
    gif: bool = False
    sheet: SpriteSheet | None = None
    variants_gif: bool = False
    duration: Annotated[int, Range(GIF_MILLISECONDS[0], GIF_MILLISECONDS[-1]), With("sprite_sheet", "variants_gif")] = (
        100
    )


@dataclass(frozen=True)
class Options:
    """Every option of the command."""

    run: Run
    drawing: Drawing
    exports: Exports
    png: PngOptions


class Drawn(NamedTuple):
    """What came of the command."""

    images: list[IndexedImage]
    columns: int
    """In which they are best shown."""
    steps: list[list[IndexedImage]]
    """The first images after each step, for ``--gif``."""


def main(arguments: list[str]) -> None:
    """Parse, draw, write, report."""
    parsed = make_parser().parse_args(arguments)
    options = read_options(Options, parsed)
    run, exports = options.run, options.exports
    # What is missing is said before torch is loaded.
    model_in(run.checkpoint)
    palettes = options.drawing.read_palettes()
    if exports.variants_gif:
        for palette in palettes.palettes if isinstance(palettes, JointPalettes) else palettes:
            if isinstance(palette, Palette):
                check_gif_palette(palette)
    inputs = inputs_of(options, parsed)
    with (
        claimed(run.output, run.overwrite, recorded_in(SAMPLES_FILE), inputs) if is_first_process() else nullcontext()
    ) as output:
        processes(run.device == "cpu")
        started = time.perf_counter()
        drawn = draw(options, palettes)
        seconds = time.perf_counter() - started
        leave_group()
        if not is_first_process():
            return
        parsed.columns = exports.columns or drawn.columns
        with output.written_whole() as folder:
            write(folder, drawn, parsed.columns, options)
            write_json(folder / SAMPLES_FILE, describe(parsed, drawn.images, seconds) | {"files": files_in(folder)})
    print(f"drew {len(drawn.images)} images in {seconds:.1f} s: see {run.output / 'sheet.png'}")


def make_parser() -> ArgumentParser:
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Draw images with a trained model, every pixel an entry of the palette you give.")
    add_options(parser, Options, first=FIRST)
    return parser


def inputs_of(options: Options, parsed: Namespace) -> list[Path]:
    """All files and folders that are read, and what is named as a palette, a file or not."""
    files = [value for name, value in vars(parsed).items() if isinstance(value, Path) and name != "output"]
    return [*files, *paths_of(options.drawing.colors.names())]


def draw(options: Options, palettes: list[Palette | str] | JointPalettes) -> Drawn:
    """Draw with everything that the options ask for."""
    from tincture.pipelines.drawing import draw_asked  # torch and diffusers take seconds
    from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline

    pipeline = PaletteDiffusionPipeline.from_pretrained(options.run.checkpoint)
    pipeline.denoiser.to(processes().device)
    batches: list[list[list[IndexedImage]]] = []

    def keep_step(_: Any, step: int, __: "Tensor", state: dict[str, Any]) -> dict[str, Any]:
        if step == 0:
            batches.append([])
        if sum(len(batch[0]) for batch in batches[:-1] if batch) < MAX_TRAJECTORY_IMAGES:
            batches[-1].append(state["images"])
        return {}

    watcher = keep_step if options.exports.gif else None
    images = draw_asked(pipeline, options.drawing, palettes, options.run.num_images, watcher, distributed=True)
    columns = len(palettes.palettes) if isinstance(palettes, JointPalettes) else COLUMNS
    return Drawn(images, columns, first_images(batches))


def first_images(batches: list[list[list[IndexedImage]]]) -> list[list[IndexedImage]]:
    """The first images of all after each step, from those of each batch after each of its steps.

    A batch that has ended stays as it is.
    """
    batches = [batch for batch in batches if batch]
    steps = range(max(map(len, batches), default=0))
    return [
        [image for batch in batches for image in batch[min(step, len(batch) - 1)]][:MAX_TRAJECTORY_IMAGES]
        for step in steps
    ]


def write(folder: Path, drawn: Drawn, columns: int, options: Options) -> None:
    """Write the images, their sheet, and what `Exports` asks for besides."""
    images, exports, tile = drawn.images, options.exports, options.drawing.canvas.tile
    scale, png8 = exports.scale or SHEET_SCALE, options.png.png8
    named = {f"{number:04d}.png": image for number, image in enumerate(images)}
    for name, image in named.items():
        image.save(folder / name, png8)
    contact_sheet(images, columns, scale).save(folder / "sheet.png")
    if tile is not None:
        times = [3 if tiled else 1 for tiled in AXES[tile]]
        contact_sheet([repeated(image, *times) for image in images], columns, scale).save(folder / "tiled.png")
    if drawn.steps:
        save_gif(folder / "trajectory.gif", [contact_sheet(step, columns, scale) for step in drawn.steps])
    if exports.sheet is not None:
        paddings = exports.sheet.shape_padding, exports.sheet.border_padding
        make_sprite_sheet(named, columns, *paddings, exports.duration).save(folder / SPRITES_FILE, png8)
    if exports.variants_gif:
        write_animation(folder / VARIANTS_FILE, images, exports.duration)
    if exports.scale is not None:
        enlarged = {name: image.enlarged(exports.scale) for name, image in named.items()}
        for name, image in enlarged.items():
            image.save(folder / SCALED_FOLDER / name, png8)
        if exports.variants_gif:
            write_animation(folder / SCALED_FOLDER / VARIANTS_FILE, list(enlarged.values()), exports.duration)


def save_gif(path: Path, frames: list[Image.Image]) -> None:
    """Write an endless animation that rests a second on its last frame."""
    durations = [TRAJECTORY_MILLISECONDS] * (len(frames) - 1) + [1000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def describe(parsed: Namespace, images: list[IndexedImage], seconds: float) -> dict:
    """What `samples.json` holds: the options, and each image's file, palette and prompt."""
    samples = [{"file": f"{number:04d}.png", "palette": image.palette.to_hex()} for number, image in enumerate(images)]
    versions = len(images) // parsed.num_images  # of a drawing, in several palettes
    for number, sample in enumerate(samples if parsed.prompt else []):
        sample["prompt"] = parsed.prompt[number // versions % len(parsed.prompt)]
    return {**cli.describe_run(parsed), "seconds": round(seconds, 2), "samples": samples}


if __name__ == "__main__":
    cli.run(main)
