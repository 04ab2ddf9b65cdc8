"""Draw images with a trained model in any palette: `python sample.py --checkpoint runs/demo/model --palette pico-8 …`."""

import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from jsonargparse import ArgumentParser
from PIL import Image
from torch import Tensor

from tincture.common import cli
from tincture.common.errors import InputError, Range
from tincture.common.files import files_in, write_json
from tincture.common.output_folder import claimed, recorded_in
from tincture.common.processes import leave_group, processes
from tincture.controls.color_options import (
    add_color_options,
    add_palette_options,
    check_color_options,
    read_joint,
    read_negative_classes,
    read_proportions,
    read_single_palette,
)
from tincture.controls.command import add_control_options, check_controls, read_controls
from tincture.controls.idle_options import check_idle_options
from tincture.controls.joint import JointPalettes
from tincture.controls.options import Guidance, Sampling
from tincture.controls.views import AXES
from tincture.diffusion.samplers import SAMPLERS
from tincture.diffusion.schedules import SCHEDULES
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.pipelines.posterior_mean import dithered_means
from tincture.pipelines.sheet import contact_sheet, repeated
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import GIF_MILLISECONDS, check_gif_palette, write_animation
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.pictures.sprite_sheet import make_sprite_sheet

SAMPLES_FILE = "samples.json"
MAX_TRAJECTORY_IMAGES = 16
COLUMNS = 8
TRAJECTORY_MILLISECONDS = 80
SHEET_SCALE = 3
MAX_EXPORT = 10_000
"""Of columns, and of screen pixels for a pixel or between pictures."""
SPRITES_FILE, VARIANTS_FILE, SCALED_FOLDER = "sprites.png", "variants.gif", "scaled"


def make_parser() -> ArgumentParser:
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Draw images with a trained model, every pixel an entry of the palette you give.")
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, help="folder that train.py wrote")
    add("--output", type=Path, required=True, help="folder for 0000.png …, sheet.png and samples.json")
    add("--overwrite", action="store_true", help="replace earlier samples in the output folder")
    add("--num-images", type=int, default=16, help="how many images to draw")
    add_palette_options(parser)
    add("--class-label", type=str | None, default=None, help="draw images of this class only")
    add(
        "--guidance-scale",
        type=float,
        default=1.0,
        help="how strongly to follow class and luminance: 1 as learned, 0 not at all",
    )
    add("--negative-class", type=str | None, default=None, metavar="NAME[,NAME]", help="classes to keep away from")
    add(
        "--negative-scale",
        type=float,
        default=1.0,
        help="how strongly, for each of them: 0 not at all; above 1, drawings may look like nothing at all",
    )
    add(
        "--sampler",
        type=str | None,
        default=None,
        help="how the process is reversed: " + ", ".join(SAMPLERS) + "; the model's own way if left out",
    )
    add(
        "--sampler-options",
        nargs="+",
        default=[],
        metavar="NAME=NUMBER",
        help="options of the sampler: " + "; ".join(_describe_options()),
    )
    add(
        "--grid",
        type=str | None,
        default=None,
        help="the schedule whose even steps are taken: "
        + ", ".join(SCHEDULES)
        + ", or fitted (each step carries as many bits); the model's own if left out",
    )
    add(
        "--steps",
        type=int,
        default=64,
        help="calls of the network for each image, at most; each of ancestral's corrector_steps is one more, every time",
    )
    add("--temperature", type=float, default=1.0, help="below 1: likely entries are favored; 0: only the likeliest")
    add("--top-p", type=float, default=1.0, help="draw among the fewest entries that have this probability together")
    add("--seed", type=int, default=0, help="image i depends on this and i alone")
    add("--batch-size", type=int, default=64, help="images drawn at once; changes speed and memory only")
    add("--device", default="auto", choices=["auto", "cpu"], help="where to draw; auto takes a GPU if there is one")
    add("--width", type=int | None, default=None, help="pixels; the model's own size if left out")
    add("--height", type=int | None, default=None, help="pixels; the model's own size if left out")
    add_control_options(parser)
    add_color_options(parser)
    add(
        "--columns",
        type=int | None,
        default=None,
        help=f"images in a row of the sheet and of the sprite sheet; if left out, {COLUMNS}, or one for each palette of a "
        "drawing that has several",
    )
    add(
        "--scale",
        type=int | None,
        default=None,
        help=f"screen pixels for one pixel in the sheet and the trajectory, {SHEET_SCALE} if left out; if given, "
        f"enlarged images are also written, as {SCALED_FOLDER}/0000.png …",
    )
    add("--gif", action="store_true", help="also write trajectory.gif: the first images as they appear")
    add_export_options(parser)
    return parser


def add_export_options(parser: ArgumentParser) -> None:
    """The options of what is written for other programs (docs/exports.md)."""
    add = parser.add_argument
    add(
        "--sprite-sheet",
        action="store_true",
        help=f"also write {SPRITES_FILE}, all images on one picture, and sprites.json, where each stands, "
        "as Aseprite and TexturePacker do (hash form)",
    )
    add("--shape-padding", type=int, default=0, help="pixels between the images of the sprite sheet")
    add("--border-padding", type=int, default=0, help="pixels along the edges of the sprite sheet")
    add("--variants-gif", action="store_true", help=f"also write {VARIANTS_FILE}: all images in turn, in exact colors")
    add("--duration", type=int, default=100, help="milliseconds for each image in sprites.json and in variants.gif")


def _describe_options() -> list[str]:
    return [
        f"{name}: " + ", ".join(f"{option} (default {value:g})" for option, value in sampler.options.items())
        for name, sampler in SAMPLERS.items()
        if sampler.options
    ]


def main(arguments: list[str]) -> None:
    """Parse, draw, write, report."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    check_export_options(options)
    check_idle_options(options, parser.get_defaults())
    check_color_options(options)
    check_controls(options)
    state = processes(options.device == "cpu")
    with (
        claimed(options.output, options.overwrite, recorded_in(SAMPLES_FILE), inputs_of(options))
        if state.is_main_process
        else nullcontext()
    ) as output:
        palette = read_single_palette(options)
        joint = read_joint(options, palette)
        for each in ([palette] if joint is None else joint.palettes) if options.variants_gif else []:
            if each is not None:
                check_gif_palette(each)
        started = time.perf_counter()
        drawn = draw(options, palette, joint)
        seconds = time.perf_counter() - started
        leave_group()
        if not state.is_main_process:
            return
        options.columns = options.columns or drawn.columns
        scale = SHEET_SCALE if options.scale is None else options.scale
        images = drawn.images
        with output.written_whole() as folder:
            for number, image in enumerate(images):
                image.save(folder / f"{number:04d}.png")
            contact_sheet(images, options.columns, scale).save(folder / "sheet.png")
            if options.tile is not None:
                times = [3 if tiled else 1 for tiled in AXES[options.tile]]
                tiles = [repeated(image, *times) for image in images]
                contact_sheet(tiles, options.columns, scale).save(folder / "tiled.png")
            if drawn.steps:
                frames = [contact_sheet(step, options.columns, scale) for step in drawn.steps]
                save_gif(folder / "trajectory.gif", frames)
            write_exports(folder, images, options)
            write_json(folder / SAMPLES_FILE, {**describe(options, images, seconds), "files": files_in(folder)})
    print(f"drew {len(images)} images in {seconds:.1f} s: see {options.output / 'sheet.png'}")


def inputs_of(options: Namespace) -> list[Path]:
    """All files and folders that the options name to be read, and names of palettes, which are none."""
    names = [options.palette, options.palette_to, *(options.palettes or [])]
    pictures = [options.init_image, options.mask, options.target, options.luminance, options.style]
    return [options.checkpoint, *(Path(name) for name in (*names, *pictures) if name)]


class Drawn(NamedTuple):
    """What came of the command."""

    images: list[IndexedImage]
    columns: int
    """In which they are best shown."""
    steps: list[list[IndexedImage]]
    """The first images after each step, for ``--gif``."""


def draw(options: Namespace, palette: Palette | None, joint: JointPalettes | None) -> Drawn:
    """Draw with everything that the options ask for."""
    sampler_options = read_sampler_options(options.sampler_options)
    palette = palette if joint is None else joint.base
    pipeline = PaletteDiffusionPipeline.from_pretrained(options.checkpoint)
    pipeline.denoiser.to(processes().device)
    is_told = pipeline.denoiser.luminance is not None
    controls, height, width = read_controls(options, palette, pipeline.config.size, is_told)
    batches: list[list[list[IndexedImage]]] = []

    def keep_step(_: PaletteDiffusionPipeline, step: int, __: Tensor, state: dict[str, Any]) -> dict[str, Any]:
        if step == 0:
            batches.append([])
        if sum(len(batch[0]) for batch in batches[:-1] if batch) < MAX_TRAJECTORY_IMAGES:
            batches[-1].append(state["images"])
        return {}

    draws = 1 if options.dither is None else options.dither_draws
    images = pipeline(
        num_images=options.num_images * draws,
        palette=joint or palette or ("heldout" if options.palette == "heldout" else "train"),
        sampling=Sampling(
            steps=options.steps,
            seed=options.seed,
            sampler=options.sampler,
            sampler_options=sampler_options,
            grid=options.grid,
            temperature=options.temperature,
            top_p=options.top_p,
            batch_size=options.batch_size,
        ),
        guidance=Guidance(
            options.class_label, options.guidance_scale, read_negative_classes(options), options.negative_scale
        ),
        controls=replace(controls, proportions=read_proportions(options, palette)),
        height=height,
        width=width,
        callback_on_step_end=keep_step if options.gif else None,
        distributed=True,
    ).images
    if options.dither is not None:
        keep = None if controls.init is None else controls.init.keep[0].numpy()
        images = dithered_means(images, draws, options.dither, keep)
    return Drawn(images, COLUMNS if joint is None else len(joint.palettes), first_images(batches))


def first_images(batches: list[list[list[IndexedImage]]]) -> list[list[IndexedImage]]:
    """From the images of each batch after each of its steps to the first images of all; who has ended stays as it is."""
    batches = [batch for batch in batches if batch]
    steps = range(max(map(len, batches), default=0))
    return [
        [image for batch in batches for image in batch[min(step, len(batch) - 1)]][:MAX_TRAJECTORY_IMAGES]
        for step in steps
    ]


def read_sampler_options(words: list[str]) -> dict[str, float]:
    """``NAME=NUMBER`` words as a dictionary; none for none.

    Raises:
        InputError: a word is something else.
    """
    options = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            options[name] = float(value)
        except ValueError:
            raise InputError(f"--sampler-options takes NAME=NUMBER, not {word!r}") from None
    return options


def save_gif(path: Path, frames: list[Image.Image]) -> None:
    """Write an endless animation that rests a second on its last frame."""
    durations = [TRAJECTORY_MILLISECONDS] * (len(frames) - 1) + [1000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def check_export_options(options: Namespace) -> None:
    """Raise InputError for export options that are out of range."""
    for name, least in {"columns": 1, "scale": 1, "shape_padding": 0, "border_padding": 0}.items():
        given = getattr(options, name)
        if given is not None:
            Range(least, MAX_EXPORT).check(f"--{name.replace('_', '-')}", given)
    if options.duration not in GIF_MILLISECONDS:
        first, last = GIF_MILLISECONDS[0], GIF_MILLISECONDS[-1]
        raise InputError(f"--duration is {options.duration}; it must be {first} to {last:,} milliseconds")


def write_exports(folder: Path, images: list[IndexedImage], options: Namespace) -> None:
    """What ``--sprite-sheet``, ``--variants-gif`` and ``--scale`` ask for besides the images."""
    if options.sprite_sheet:
        named = {f"{number:04d}.png": image for number, image in enumerate(images)}
        paddings = options.shape_padding, options.border_padding
        make_sprite_sheet(named, options.columns, *paddings, options.duration).save(folder / SPRITES_FILE)
    if options.variants_gif:
        write_animation(folder / VARIANTS_FILE, images, options.duration)
    if options.scale is not None:
        enlarged = [image.enlarged(options.scale) for image in images]
        for number, image in enumerate(enlarged):
            image.save(folder / SCALED_FOLDER / f"{number:04d}.png")
        if options.variants_gif:
            write_animation(folder / SCALED_FOLDER / VARIANTS_FILE, enlarged, options.duration)


def describe(options: Namespace, images: list[IndexedImage], seconds: float) -> dict:
    """What `samples.json` holds: the options, and each image's file and palette."""
    samples = [{"file": f"{number:04d}.png", "palette": image.palette.to_hex()} for number, image in enumerate(images)]
    return {**cli.describe_run(options), "seconds": round(seconds, 2), "samples": samples}


if __name__ == "__main__":
    cli.run(main)
