"""Reduce pictures to a palette, fitted or given: `python quantize.py photo.jpg --colors 16 --output runs/photo`."""

import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jsonargparse import ArgumentParser
from tqdm import tqdm

from tincture.common import cli
from tincture.common.errors import SEED, SHARE, InputError
from tincture.common.files import files_in, write_json
from tincture.common.output_folder import claimed, recorded_in
from tincture.common.plotting import require_matplotlib
from tincture.quantization.conversion import (
    SMOOTHERS,
    Conversion,
    convert,
    has_place_for_transparency,
    with_place_for_transparency,
)
from tincture.quantization.dither import DITHER_SPACES, DITHERERS
from tincture.quantization.fit import FEW_COLORS, QUANTIZERS, choose_colors, error_curve, fit_palette
from tincture.quantization.palettes.choice import rank_palettes
from tincture.quantization.palettes.files import named_palettes, read_palette, read_palette_folder, write_palette
from tincture.quantization.palettes.order import ORDERS
from tincture.quantization.palettes.palette import MAX_ENTRIES, Palette
from tincture.quantization.pictures.animation import Animation, check_gif_palette, read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.plots import plot_quantization
from tincture.quantization.spaces import SPACES

REPORT_FILE = "report.json"
PALETTE_FILE = "palette.hex"
PLOTS_FOLDER = "plots"
DEFAULT_COLORS = 256
DEFAULT_METHOD = "kmeans"
DEFAULT_DITHERED_METHOD = "mixtures"
PLOTTED_COUNTS = (2, 4, 8, 16, 32, 64, 128, 256)
FITTING_OPTIONS = ("colors", "max_error", "method", "keep_colors", "channel_bits")
"""What says how to fit a palette, and so contradicts a palette that is given."""

Chooser = Callable[[list[np.ndarray]], tuple[Palette, str]]
"""Frames, uint8 [H, W, 4] each → the one palette for all of them, and where it comes from."""


class Result(NamedTuple):
    """One input and what became of it."""

    source: Path
    original: Animation
    converted: Conversion
    palette_source: str
    seconds: float


def make_parser() -> ArgumentParser:
    """Every option of the command, with its unit and default."""
    parser = cli.make_parser("Reduce pictures to a palette of at most 256 colors, fitted to them or given.")
    add = parser.add_argument
    add("images", nargs="+", type=Path, help="PNG, JPEG, WebP, GIF, TIFF or BMP; an animation becomes an animated GIF")
    add("--output", type=Path, required=True, help=f"folder for the pictures, {PALETTE_FILE} and {REPORT_FILE}")
    add("--overwrite", action="store_true", help="replace what this command wrote into the output folder before")
    add(
        "--colors",
        type=str | None,
        default=None,
        help="entries to fit, 2 to 256, transparency included; auto: as many as the pictures need, which is all if they "
        f"have at most {FEW_COLORS}; {DEFAULT_COLORS} if left out",
    )
    add(
        "--max-error",
        type=float | None,
        default=None,
        help="for --colors auto: the mean ΔE in OKLab to stay below (black to white is 1); "
        f"if left out, the elbow of the error over the number of colors decides on pictures of more than {FEW_COLORS}",
    )
    add(
        "--method",
        choices=list(QUANTIZERS),
        help=f"how a palette is fitted; if left out, {DEFAULT_METHOD}, or {DEFAULT_DITHERED_METHOD} to be dithered",
    )
    add(
        "--palette",
        type=str | None,
        default=None,
        help="a palette to use as it is: a file, a picture or a name (" + ", ".join(named_palettes()) + ")",
    )
    add("--best-of", type=Path | None, default=None, help="folder of palettes, of which the best fitting one is used")
    add("--keep-colors", type=str | None, default=None, help="colors that a fitted palette must hold: ff0000,00ff00,…")
    add("--channel-bits", type=str | None, default=None, help="only colors of such hardware: 3,3,3 or 5,5,5 bits")
    add("--shared", action="store_true", help="one palette for all pictures")
    add("--dither", default="none", choices=list(DITHERERS), help="how entries mix to look like colors between them")
    add("--strength", type=float, default=1.0, help="of dithering, 0 to 1")
    add("--dither-space", default=DITHER_SPACES[0], choices=list(DITHER_SPACES), help="where dithered entries mix")
    add("--space", default="oklab", choices=list(SPACES), help="where distances between colors are measured")
    add("--smooth", choices=list(SMOOTHERS), help="afterwards: remove lone pixels, or take each neighborhood's mode")
    add("--sort", choices=list(ORDERS), help="reorder the palette in the end; the picture stays the same")
    add("--plot", action="store_true", help=f"also draw {PLOTS_FOLDER}/….png: before, after, OKLab in 3D, error over K")
    add("--seed", type=int, default=0, help="of the method's random start")
    return parser


def main(arguments: list[str]) -> None:
    """Parse, quantize, write, report."""
    options = make_parser().parse_args(arguments)
    check_options(options)
    inputs = [*options.images, *(Path(path) for path in (options.palette, options.best_of) if path is not None)]
    with claimed(options.output, options.overwrite, recorded_in(REPORT_FILE), inputs) as output:
        chooser = make_chooser(options)
        names = output_names(options.images)
        records: list[dict] = []
        palettes: list[Palette] = []
        bar = tqdm(results(options, chooser), total=len(names), unit="image", disable=None, leave=False)
        with output.written_whole() as folder, bar:
            for name, result in zip(names, bar, strict=True):
                records.append(describe(result, save(result, folder, name)))
                palettes.append(result.converted.palette)
                if options.plot:
                    plot(result, folder / PLOTS_FOLDER / f"{name}.png", options)
            is_one = len(set(palettes)) == 1
            for name, record, palette in zip(names, records, palettes, strict=True):
                record["palette_file"] = PALETTE_FILE if is_one else f"{name}.hex"
                write_palette(palette, folder / record["palette_file"])
            write_json(folder / REPORT_FILE, describe_run(options, records, files_in(folder)))
    print(summary(records, options.output / REPORT_FILE))


def check_options(options: Namespace) -> None:
    """Raise InputError for options that are out of range or contradict each other."""
    if options.palette is not None and options.best_of is not None:
        raise InputError("--palette names one palette and --best-of a folder of them: give one of the two")
    given = "--palette" if options.palette is not None else "--best-of" if options.best_of is not None else None
    for name in FITTING_OPTIONS if given else ():
        if getattr(options, name) is not None:
            raise InputError(f"--{name.replace('_', '-')} says how to fit a palette, but {given} gives one")
    colors, max_error = options.colors, options.max_error
    if colors not in (None, "auto") and not (colors.isdecimal() and 2 <= int(colors) <= MAX_ENTRIES):
        raise InputError(f"--colors is {colors!r}; it must be a number from 2 to {MAX_ENTRIES}, or auto")
    if max_error is not None and colors != "auto":
        raise InputError("--max-error chooses the number of colors: add --colors auto")
    if max_error is not None and not max_error >= 0:
        raise InputError(f"--max-error is {max_error}; it must be at least 0")
    SHARE.check("--strength", options.strength)
    SEED.check("--seed", options.seed)
    if options.plot:
        require_matplotlib()


def output_names(sources: Sequence[Path]) -> list[str]:
    """A name without suffix for each input: its own, with a number where an earlier input has the same."""
    names: list[str] = []
    taken: set[str] = set()
    for source in sources:
        name, number = source.stem, 1
        while name.casefold() in taken:  # some file systems don't tell x.png from X.png
            number += 1
            name = f"{source.stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def make_chooser(options: Namespace) -> Chooser:
    """How the options choose a palette for frames; palette files are read here.

    Raises:
        InputError: a palette or a color can't be read.
    """
    if options.palette is not None:
        palette = read_palette(options.palette)
        return lambda frames: (with_place_for_transparency(palette, frames), options.palette)
    if options.best_of is not None:
        palettes = read_palette_folder(options.best_of)

        def pick(frames: list[np.ndarray]) -> tuple[Palette, str]:
            fitting = {
                name: palette for name, palette in palettes.items() if has_place_for_transparency(palette, frames)
            }
            best, _ = rank_palettes(frames, fitting or palettes, options.space)[0]
            return with_place_for_transparency(palettes[best], frames), best

        return pick
    counting = options.method or DEFAULT_METHOD
    method = options.method or (DEFAULT_METHOD if options.dither == "none" else DEFAULT_DITHERED_METHOD)
    keep = Palette.from_hex(options.keep_colors.split(",")) if options.keep_colors is not None else None
    bits = parse_bits(options.channel_bits) if options.channel_bits is not None else None

    def fit(frames: list[np.ndarray]) -> tuple[Palette, str]:
        colors = options.colors or DEFAULT_COLORS
        if colors == "auto":
            colors = choose_colors(
                frames, counting, options.space, options.seed, options.max_error, keep=keep, channel_bits=bits
            )
        palette = fit_palette(frames, int(colors), method, options.space, options.seed, keep=keep, channel_bits=bits)
        return palette, method

    return fit


def is_fitted(options: Namespace) -> bool:
    """Whether a palette is fitted to the picture as a whole."""
    given = (options.palette, options.best_of, options.keep_colors)
    return all(value is None for value in given) and options.method not in ("fixed", "uniform")


def parse_bits(text: str) -> tuple[int, int, int]:
    """Bits of red, green and blue from ``r,g,b``; raises InputError for anything else."""
    words = [word.strip() for word in text.split(",")]
    if len(words) != 3 or not all(word in set("12345678") for word in words):
        raise InputError(f"--channel-bits is {text!r}; write three numbers from 1 to 8, like 5,5,5")
    return int(words[0]), int(words[1]), int(words[2])


def results(options: Namespace, chooser: Chooser) -> Iterator[Result]:
    """Read and convert one input after the other; with ``--shared``, all are read before the first is converted."""
    group = [read_animation(path) for path in options.images] if options.shared else []
    shared = chooser([frame for animation in group for frame in animation.frames]) if group else None
    for number, source in enumerate(options.images):
        started = time.perf_counter()
        original = group[number] if group else read_animation(source)
        palette, palette_source = chooser(original.frames) if shared is None else shared
        converted = convert(
            original.frames,
            palette,
            space=options.space,
            method=options.dither,
            strength=options.strength,
            dither_space=options.dither_space,
            exact=not is_fitted(options),
            smoother=options.smooth,
            order=options.sort,
        )
        yield Result(source, original, converted, palette_source, time.perf_counter() - started)


def save(result: Result, folder: Path, name: str) -> Path:
    """Write an indexed PNG, or a GIF of several frames, into ``folder``; returns its path."""
    indices, palette, _ = result.converted
    if len(indices) == 1:
        path = folder / f"{name}.png"  # a name may be a dot, so it is no path before it has its suffix
        IndexedImage(indices[0], palette).save(path)
    else:
        check_gif_palette(palette)
        path = folder / f"{name}.gif"
        write_gif(path, indices, palette, result.original.durations, result.original.loops)
    return path


def plot(result: Result, path: Path, options: Namespace) -> None:
    """Draw the first frame's figure, with the error curve of the method that fitted, or else of the default one."""
    frame, (indices, palette, _) = result.original.frames[0], result.converted
    method = DEFAULT_METHOD if options.method in (None, "fixed") else options.method
    errors = error_curve([frame], PLOTTED_COUNTS, method, options.space, options.seed)
    needed = choose_colors([frame], method, options.space, options.seed)
    plot_quantization(path, frame, indices[0], palette, PLOTTED_COUNTS, errors, needed)


def describe(result: Result, file: Path) -> dict:
    """What `report.json` says of one input: PSNR in decibels (none for an exact copy), ΔE in OKLab, bytes."""
    height, width = result.converted.indices[0].shape
    psnr, delta_e, colors_used = result.converted.fidelity
    return {
        "source": str(result.source),
        "file": file.name,
        "width": width,
        "height": height,
        "frames": len(result.original.frames),
        "milliseconds": sum(result.original.durations),
        "palette_source": result.palette_source,
        "palette": result.converted.palette.to_hex(),
        "colors_used": colors_used,
        "psnr": round(psnr, 3) if psnr is not None and math.isfinite(psnr) else None,
        "mean_delta_e": round(delta_e, 6) if delta_e is not None else None,
        "bytes_before": result.source.stat().st_size,
        "bytes_after": file.stat().st_size,
        "seconds": round(result.seconds, 3),
    }


def describe_run(options: Namespace, records: list[dict], files: list[str]) -> dict:
    """What `report.json` holds: the options and the environment, one record for each input, and every file that was written."""
    return {**cli.describe_run(options), "images": records, "files": [*files, REPORT_FILE]}


def summary(records: list[dict], report: Path) -> str:
    """One line for the terminal."""
    before, after = (sum(record[key] for record in records) for key in ("bytes_before", "bytes_after"))
    errors = [record["mean_delta_e"] for record in records if record["mean_delta_e"] is not None]
    mean = f", mean ΔE {np.mean(errors):.4f}" if errors else ""
    sources = " and ".join(sorted({record["palette_source"] for record in records}))
    count = "1 image" if len(records) == 1 else f"{len(records)} images"
    return f"quantized {count} by {sources}, {before:,} to {after:,} bytes{mean}: see {report}"


if __name__ == "__main__":
    cli.run(main)
