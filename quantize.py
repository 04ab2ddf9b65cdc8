"""Reduce pictures to a palette: `python quantize.py photo.jpg --colors 16 --output runs/photo`."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tincture.common import cli
from tincture.common.errors import InputError
from tincture.common.files import files_in
from tincture.common.kernels import MANY_PICTURES, load_kernels
from tincture.common.once import remembered
from tincture.common.options import add_options, read_options
from tincture.common.output_folder import Save, check_apart, claimed, progress, recorded_in
from tincture.common.plotting import require_matplotlib
from tincture.data.annotated_pictures import AnnotatedPicture, find_pictures
from tincture.quantization.conversion import Conversion
from tincture.quantization.fit import choose_colors, error_curve
from tincture.quantization.options import (
    DEFAULT_METHOD,
    Chooser,
    DrawingOptions,
    PaletteOptions,
    convert_chosen,
    make_chooser,
)
from tincture.quantization.palettes.files import paths_of, write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import Animation, read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage, PngOptions
from tincture.quantization.pictures.resizing import Resizing

REPORT_FILE = "report.json"
PALETTE_FILE = "palette.hex"
PLOTS_FOLDER = "plots"
PLOTTED_COUNTS = (2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Options:
    """What quantize.py is asked, besides its files.

    Args:
        plot: also draw plots/….png: before, after, OKLab in 3D, error over K.
    """

    plot: bool = False
    resizing: Resizing | None = None
    palette: PaletteOptions = field(default_factory=PaletteOptions)
    drawing: DrawingOptions = field(default_factory=DrawingOptions)
    png: PngOptions = field(default_factory=PngOptions)


class Result(NamedTuple):
    """One input and what became of it."""

    source: Path
    original: Animation
    converted: Conversion
    palette_source: str
    seconds: float


def make_parser() -> cli.FlagParser:
    """Every option of the command, with its unit and default."""
    parser = cli.FlagParser("Reduce pictures to a palette of at most 256 colors, fitted to them or given.")
    add = parser.add_argument
    add(
        "images",
        nargs="+",
        type=Path,
        help="PNG, JPEG, WebP, GIF, TIFF or BMP, and folders of them; an animation becomes an animated GIF",
    )
    add("--output", type=Path, required=True, help=f"folder for the pictures, {PALETTE_FILE} and {REPORT_FILE}")
    add("--overwrite", action="store_true", help="replace what this command wrote into the output folder before")
    add_options(parser, Options)
    return parser


def main(arguments: list[str]) -> None:
    """Parse, quantize, write, report."""
    parsed = make_parser().parse_args(arguments)
    options = read_options(Options, parsed)
    if options.plot:
        require_matplotlib()
    pictures = find_pictures(parsed.images)
    check_apart(parsed.output, [path for path in parsed.images if path.is_dir()])
    inputs = [*parsed.images, *paths_of([options.palette.palette, options.palette.best_of])]
    with claimed(parsed.output, parsed.overwrite, recorded_in(REPORT_FILE), inputs) as output:
        run, choose = cli.describe_run(parsed), make_chooser(options.palette, options.drawing.dither != "none")
        if options.palette.shared:
            choose = chosen_once(choose, pictures, options)
        is_common = len(pictures) == 1 or options.palette.shared or options.palette.palette is not None
        palettes: dict[Palette, str] = {}
        if len(pictures) >= MANY_PICTURES:
            load_kernels()

        def work(path: Path, name: str) -> Save:
            with remembered():
                result, palette_file = quantized(path, options, choose), f"{name}.hex"
            if is_common:  # a given palette may get a transparent entry
                next_file = f"palette-{len(palettes) + 1}.hex" if palettes else PALETTE_FILE
                palette_file = palettes.setdefault(result.converted.palette, next_file)
            return partial(save, result, options, name, palette_file)

        records = output.filled(
            list(zip([picture.path for picture in pictures], output_names(pictures), strict=True)),
            work,
            REPORT_FILE,
            lambda done: {
                **run,
                "images": done.records,
                "errors": done.errors,
                "files": [*sorted(done.files), REPORT_FILE],
            },
        )
    skipped = sum(len(files_in(path)) for path in parsed.images if path.is_dir())
    skipped -= sum(picture.folder != "" for picture in pictures)
    print(summary(records, skipped, parsed.output / REPORT_FILE))


def output_names(pictures: Sequence[AnnotatedPicture]) -> list[str]:
    """A name without suffix for each, with a number if an earlier one or its plot has the same."""
    names: list[str] = []
    taken: set[str] = set()
    for picture in pictures:
        first = name = picture.new_name(picture.folder, None, "")
        number = 1
        while taken & (own := {f"{place}{name}".casefold() for place in ("", f"{PLOTS_FOLDER}/")}):
            number += 1  # some file systems don't tell x.png from X.png
            name = f"{first}-{number}"
        taken |= own
        names.append(name)
    return names


def chosen_once(choose: Chooser, pictures: Sequence[AnnotatedPicture], options: Options) -> Chooser:
    """Choose one palette for all pictures that can be read, and give that to each."""
    readable: list[Animation] = []
    for picture in progress(pictures, "image"):
        with suppress(InputError):  # it is told in the picture's own turn
            readable.append(read(picture.path, options))
    shared = choose([frame for each in readable for frame in each.frames], readable[0].indexed) if readable else None
    return lambda *_: shared


def read(path: Path, options: Options) -> Animation:
    """A picture in the size that is asked for."""
    animation = read_animation(path)
    return animation if options.resizing is None else options.resizing(animation)


def quantized(path: Path, options: Options, choose: Chooser) -> Result:
    """Read a picture, choose its palette, draw it."""
    started, drawing = time.perf_counter(), options.drawing
    original = read(path, options)
    converted, source = convert_chosen(original, choose, options.palette, drawing)
    return Result(path, original, converted, source, time.perf_counter() - started)


def save(result: Result, options: Options, name: str, palette_file: str, folder: Path) -> list[dict]:
    """Write an indexed PNG, or a GIF of several frames, its palette and plot."""
    indices, palettes, _ = result.converted
    if len(indices) == 1:
        file = f"{name}.png"  # a name may be a dot, so it is no path before it has its suffix
        IndexedImage(indices[0], palettes[0]).save(folder / file, options.png.png8)
    else:
        file = f"{name}.gif"
        write_gif(folder / file, indices, palettes, result.original.durations, result.original.loops)
    record = describe(result, file, (folder / file).stat().st_size)
    if options.plot:
        plot(result, folder / PLOTS_FOLDER / f"{name}.png", options.palette)
    if len(set(palettes)) > 1:
        return [{**record, "palettes": [palette.to_hex() for palette in palettes]}]
    write_palette(palettes[0], folder / palette_file)
    return [{**record, "palette": palettes[0].to_hex(), "palette_file": palette_file}]


def plot(result: Result, path: Path, wanted: PaletteOptions) -> None:
    """Draw the first frame's figure, with the error curve of the method, or of the default one."""
    from tincture.quantization.plots import plot_quantization

    frame, (indices, palettes, _) = result.original.frames[0], result.converted
    method = DEFAULT_METHOD if wanted.method in (None, "fixed") else wanted.method
    errors = error_curve([frame], PLOTTED_COUNTS, method, wanted.space, wanted.seed, alpha=wanted.alpha)
    needed = choose_colors([frame], method, wanted.space, wanted.seed, alpha=wanted.alpha)
    plot_quantization(path, frame, indices[0], palettes[0], PLOTTED_COUNTS, errors, needed)


def describe(result: Result, file: str, size: int) -> dict:
    """What `report.json` says of one input: PSNR in dB, none for an exact copy; ΔE in OKLab.

    Black and white are 1 apart. ``delta_e_blur`` is what both pictures were blurred by before, in
    pixels.
    """
    height, width = result.converted.indices[0].shape
    psnr, delta_e, colors_used, blur = result.converted.fidelity
    return {
        "source": str(result.source),
        "file": file,
        "width": width,
        "height": height,
        "frames": len(result.original.frames),
        "milliseconds": sum(result.original.durations),
        "palette_source": result.palette_source,
        "colors_used": colors_used,
        "psnr": round(psnr, 3) if psnr is not None and math.isfinite(psnr) else None,
        "mean_delta_e": round(delta_e, 6) if delta_e is not None else None,
        "delta_e_blur": blur,
        "bytes_before": result.source.stat().st_size,
        "bytes_after": size,
        "seconds": round(result.seconds, 3),
    }


def summary(records: list[dict], skipped: int, report: Path) -> str:
    """One line for the terminal."""
    before, after = (sum(record[key] for record in records) for key in ("bytes_before", "bytes_after"))
    errors = [record["mean_delta_e"] for record in records if record["mean_delta_e"] is not None]
    blurred = f" after a blur of {blur:g} pixels" if (blur := records[0]["delta_e_blur"]) else ""
    mean = f", mean ΔE {sum(errors) / len(errors):.4f} in OKLab (black to white is 1){blurred}" if errors else ""
    sources = " and ".join(sorted({record["palette_source"] for record in records}))
    others = f"; {skipped} other files were left out" if skipped else ""
    count = "1 image" if len(records) == 1 else f"{len(records)} images"
    return f"quantized {count} by {sources}, {before:,} to {after:,} bytes{mean}{others}: see {report}"


if __name__ == "__main__":
    cli.run(main)
