"""Reduce pictures to a palette: `python quantize.py photo.jpg --colors 16 --output runs/photo`."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jsonargparse import ArgumentParser
from tqdm import tqdm

from tincture.common import cli
from tincture.common.files import files_in, write_json
from tincture.common.options import add_options, read_options
from tincture.common.output_folder import claimed, recorded_in
from tincture.common.plotting import require_matplotlib
from tincture.quantization.conversion import Conversion, convert
from tincture.quantization.fit import choose_colors, error_curve
from tincture.quantization.options import DEFAULT_METHOD, Chooser, DrawingOptions, PaletteOptions, make_chooser
from tincture.quantization.palettes.files import write_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.animation import Animation, read_animation
from tincture.quantization.pictures.gif import write_gif
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.plots import plot_quantization

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
    palette: PaletteOptions = field(default_factory=PaletteOptions)
    drawing: DrawingOptions = field(default_factory=DrawingOptions)


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
    add_options(parser, Options)
    return parser


def main(arguments: list[str]) -> None:
    """Parse, quantize, write, report."""
    parsed = make_parser().parse_args(arguments)
    options = read_options(Options, parsed)
    if options.plot:
        require_matplotlib()
    palette_files = [Path(path) for path in (options.palette.palette, options.palette.best_of) if path is not None]
    with claimed(parsed.output, parsed.overwrite, recorded_in(REPORT_FILE), [*parsed.images, *palette_files]) as output:
        choose = make_chooser(options.palette, options.drawing.dither != "none")
        names = output_names(parsed.images)
        records: list[dict] = []
        palettes: list[Palette] = []
        bar = tqdm(results(parsed.images, options, choose), total=len(names), unit="image", disable=None, leave=False)
        with output.written_whole() as folder, bar:
            for name, result in zip(names, bar, strict=True):
                records.append(describe(result, save(result, folder, name)))
                palettes.append(result.converted.palette)
                if options.plot:
                    plot(result, folder / PLOTS_FOLDER / f"{name}.png", options.palette)
            is_one = len(set(palettes)) == 1
            for name, record, palette in zip(names, records, palettes, strict=True):
                record["palette_file"] = PALETTE_FILE if is_one else f"{name}.hex"
                write_palette(palette, folder / record["palette_file"])
            report = {**cli.describe_run(parsed), "images": records, "files": [*files_in(folder), REPORT_FILE]}
            write_json(folder / REPORT_FILE, report)
    print(summary(records, parsed.output / REPORT_FILE))


def output_names(sources: Sequence[Path]) -> list[str]:
    """A name without suffix for each input, with a number if an earlier input has the same."""
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


def results(sources: Sequence[Path], options: Options, choose: Chooser) -> Iterator[Result]:
    """Read and convert the inputs in turn; ``--shared`` reads all before it converts the first."""
    drawing = options.drawing
    group = [read_animation(path) for path in sources] if options.palette.shared else []
    shared = choose([frame for each in group for frame in each.frames], group[0].indexed) if group else None
    for number, source in enumerate(sources):
        started = time.perf_counter()
        original = group[number] if group else read_animation(source)
        palette, palette_source = choose(original.frames, original.indexed) if shared is None else shared
        converted = convert(
            original.frames,
            palette,
            space=options.palette.space,
            method=drawing.dither,
            strength=drawing.strength,
            dither_space=drawing.dither_space,
            exact=not options.palette.is_made_for_pictures,
            smoother=drawing.smooth,
            order=drawing.sort,
            own=original.indexed,
        )
        yield Result(source, original, converted, palette_source, time.perf_counter() - started)


def save(result: Result, folder: Path, name: str) -> Path:
    """Write an indexed PNG, or a GIF of several frames, into ``folder``; returns its path."""
    indices, palette, _ = result.converted
    if len(indices) == 1:
        path = folder / f"{name}.png"  # a name may be a dot, so it is no path before it has its suffix
        IndexedImage(indices[0], palette).save(path)
    else:
        path = folder / f"{name}.gif"
        write_gif(path, indices, palette, result.original.durations, result.original.loops)
    return path


def plot(result: Result, path: Path, wanted: PaletteOptions) -> None:
    """Draw the first frame's figure, with the error curve of the method, or of the default one."""
    frame, (indices, palette, _) = result.original.frames[0], result.converted
    method = DEFAULT_METHOD if wanted.method in (None, "fixed") else wanted.method
    errors = error_curve([frame], PLOTTED_COUNTS, method, wanted.space, wanted.seed)
    needed = choose_colors([frame], method, wanted.space, wanted.seed)
    plot_quantization(path, frame, indices[0], palette, PLOTTED_COUNTS, errors, needed)


def describe(result: Result, file: Path) -> dict:
    """What `report.json` says of one input: PSNR in dB, none for an exact copy; ΔE in OKLab.

    Black and white are 1 apart. ``delta_e_blur`` is what both pictures were blurred by before, in
    pixels.
    """
    height, width = result.converted.indices[0].shape
    psnr, delta_e, colors_used, blur = result.converted.fidelity
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
        "delta_e_blur": blur,
        "bytes_before": result.source.stat().st_size,
        "bytes_after": file.stat().st_size,
        "seconds": round(result.seconds, 3),
    }


def summary(records: list[dict], report: Path) -> str:
    """One line for the terminal."""
    before, after = (sum(record[key] for record in records) for key in ("bytes_before", "bytes_after"))
    errors = [record["mean_delta_e"] for record in records if record["mean_delta_e"] is not None]
    blurred = f" after a blur of {blur:g} pixels" if (blur := records[0]["delta_e_blur"]) else ""
    mean = f", mean ΔE {np.mean(errors):.4f} in OKLab (black to white is 1){blurred}" if errors else ""
    sources = " and ".join(sorted({record["palette_source"] for record in records}))
    count = "1 image" if len(records) == 1 else f"{len(records)} images"
    return f"quantized {count} by {sources}, {before:,} to {after:,} bytes{mean}: see {report}"


if __name__ == "__main__":
    cli.run(main)
