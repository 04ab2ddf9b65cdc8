"""Palettes against JPEG, WebP, AVIF, JPEG XL: `python -m benchmarks.claims.compression --help`.

Prints the table of docs/claims.md. A lossy format's quality at a palette's bytes is read off its
curve. Where it can't be as small, its smallest file stands for it, which has more bytes.
"""

from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tincture.benchmarks.compression import smallest_png
from tincture.benchmarks.photographs import with_alpha
from tincture.benchmarks.tables import heading, mean_of, row, with_error
from tincture.codec.format import encode_pictures
from tincture.codec.network import CodecNetwork
from tincture.codec.pictures import Picture
from tincture.common import cli
from tincture.pipelines.palette_diffusion import PaletteDiffusionPipeline
from tincture.quantization.color import linear_to_oklab
from tincture.quantization.dither import dither
from tincture.quantization.fidelity import EYE_BLUR
from tincture.quantization.fit import fit_palette
from tincture.quantization.spaces import LINEAR_OF_BYTE

from .trials import SPRITES, Claim, Records, crawl_sheets, examine, icon_sheets, small_photographs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = (2, 4, 16, 64, 256)
DITHERS = {"plain": ("kmeans", "none"), "dithered": ("mixtures", "floyd-steinberg")}
"""Name → the fit and the dither, as quantize.py chooses them."""
LEVELS = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 88, 94, 98, 100)
"""Of quality, each format's own."""
LOSSY: dict[str, list[Callable[..., bytes]]] = {
    "JPEG": [partial(imagecodecs.jpeg8_encode, optimize=True, subsampling=each) for each in ("420", "444")],
    "WebP": [partial(imagecodecs.webp_encode, lossless=False, method=6)],
    "AVIF": [partial(imagecodecs.avif_encode, speed=4)],
    "JPEG XL": [partial(imagecodecs.jpegxl_encode, effort=7)],
}
MEASURES = ("PSNR, dB", "SSIM", "100 ΔE as seen")
BEST_PSNR = 60.0
"""Equal pictures count as this."""
KINDS = {"photographs": "photographs", "icons": "sheets of icons", "tiles": "sheets of tiles"}


def trials(options: Namespace) -> Mapping[str, Callable[[], Any]]:
    """One for each picture."""
    pictures = icon_sheets(2 if options.quick else 5)
    if not options.quick:
        photos = list(small_photographs(144, 96).items())[:5]
        pictures |= {f"photographs {name}": rgb for name, rgb in photos}
        pictures |= {} if options.data is None else crawl_sheets(options.data, 4)
    height = 16 if options.quick else None
    return {name: partial(curves, rgb[:height]) for name, rgb in pictures.items()}


def curves(rgb: np.ndarray) -> dict[str, list[list[float]]]:
    """Bytes and `MEASURES` of each file of a picture, by what wrote it."""
    found = {
        name: [point(rgb, imagecodecs.imread(file), len(file)) for file in files_of(encoders, rgb)]
        for name, encoders in LOSSY.items()
    }
    for name, (method, ditherer) in DITHERS.items():
        pictures, shown = [], []
        for number in COLORS:
            palette = fit_palette([rgb], number, method)
            indices = dither(with_alpha(rgb), palette, ditherer)
            used, indices = np.unique(indices, return_inverse=True)
            pictures.append(Picture([indices.reshape(rgb.shape[:2]).astype(np.uint8)], palette.colors[used]))
            shown.append(pictures[-1].colors[pictures[-1].frames[0], :3])
        files = {"PNG": list(map(smallest_png, pictures))}
        files |= {"codec": encode_pictures(network(), pictures, 0)} if name == "plain" else {}
        for writer, each in files.items():
            found[f"{writer}, {name}"] = [point(rgb, *pair) for pair in zip(shown, map(len, each), strict=True)]
    return found


def files_of(encoders: list[Callable[..., bytes]], rgb: np.ndarray) -> list[bytes]:
    """What a lossy format writes at each quality."""
    return [encode(rgb, level=level) for encode in encoders for level in LEVELS]


@cache
def network() -> CodecNetwork:
    """The codec's, of the model that knows icons and tiles."""
    return CodecNetwork(PaletteDiffusionPipeline.from_pretrained(SPRITES))


def point(rgb: np.ndarray, shown: np.ndarray, size: int) -> list[float]:
    """The bytes of a file, and how near it is to the picture by each of `MEASURES`."""
    with np.errstate(divide="ignore"):
        psnr = min(peak_signal_noise_ratio(rgb, shown), BEST_PSNR)
    ssim = structural_similarity(rgb, shown, channel_axis=2)
    seen = 100 * np.linalg.norm(seen_colors(rgb) - seen_colors(shown), axis=-1).mean()
    return [size, *(round(float(value), 4) for value in (psnr, ssim, seen))]


def seen_colors(rgb: np.ndarray) -> np.ndarray:
    """OKLab of a picture as the eye blurs it, in linear light, float ``[H, W, 3]``."""
    blurred = gaussian_filter(LINEAR_OF_BYTE[rgb], (EYE_BLUR, EYE_BLUR, 0))
    return linear_to_oklab(torch.from_numpy(blurred)).numpy()


def at_bytes(points: list[list[float]], size: float) -> np.ndarray:
    """The best that a format does by each of `MEASURES` with so many bytes, float64 ``[3]``."""
    sizes, *columns = np.array(sorted(points)).T
    best = [np.maximum.accumulate(values * sign) * sign for values, sign in zip(columns, (1, 1, -1), strict=True)]
    return np.array([np.interp(np.log(size), np.log(sizes), values) for values in best])


def gains(record: dict[str, list[list[float]]], writer: str, place: int) -> dict[str, np.ndarray]:
    """How much better a palette is than each format at its bytes, by each of `MEASURES`."""
    size, *values = record[writer][place]
    return {name: (np.array(values) - at_bytes(record[name], size)) * (1, 1, -1) for name in LOSSY}


def table(records: Records) -> str:
    """Gains of palettes at equal bytes, over the best of the formats at each measure and JPEG."""
    lines = []
    for rivals in (LOSSY, ("JPEG",)):
        writers = list(next(iter(records.values())))[len(LOSSY) :]
        lines += ["", f"better than {' and '.join(rivals)} by {', '.join(MEASURES)}", ""]
        lines.append(heading("pictures", "K", *(each for writer in writers for each in (writer, "at bytes"))))
        for kind, words in KINDS.items():
            here = [record for name, record in records.items() if name.startswith(kind)]
            for place, number in enumerate(COLORS if here else ()):
                cells = []
                for writer in writers:
                    each = [gains(record, writer, place) for record in here]
                    least = np.array([np.min([gain[rival] for rival in rivals], axis=0) for gain in each])
                    pairs = zip(least.T, (1, 3, 2), strict=True)
                    cells.append(", ".join(with_error(*mean_of(column), digits) for column, digits in pairs))
                    cells.append(f"{np.mean([record[writer][place][0] for record in here]):,.0f}")
                lines.append(row(f"{len(here)} {words}", number, *cells))
    return "\n".join(lines)


def draw(figure: "Figure", records: Records) -> None:
    """Quality over bytes: a column for each kind of picture, a row for each measure."""
    kinds = [kind for kind in KINDS if any(name.startswith(kind) for name in records)]
    for column, kind in enumerate(kinds):
        here = [record for name, record in records.items() if name.startswith(kind)]
        for place, measure in enumerate(MEASURES):
            axes = figure.add_subplot(len(MEASURES), len(kinds), place * len(kinds) + column + 1)
            for number, writer in enumerate(here[0]):
                points = np.array([record[writer] for record in here])  # [pictures, points, 4]
                sizes, values = np.exp(np.log(points[..., 0]).mean(axis=0)), points[..., place + 1].mean(axis=0)
                if writer in LOSSY:
                    sizes = np.geomspace(sizes.min(), 15_000, 40)
                    curves = [[at_bytes(each, size)[place] for size in sizes] for each in points.tolist()]
                    values = np.mean(curves, axis=0)
                style = {"linestyle": "--"} if writer in LOSSY else {"marker": "o", "linewidth": 2}
                axes.plot(sizes, values, label=writer, color=f"C{number}", **style)
            axes.set_xscale("log")
            axes.set_ylim(*((10, 45), (0.4, 1), (0, 5))[place])
            axes.set(title="" if place else f"{len(here)} {KINDS[kind]}", xlabel="bytes" if place == 2 else "")
            axes.set_ylabel("" if column else measure)
    axes.legend(fontsize="x-small")


CLAIM = Claim("compression", trials, table, draw, (11, 9))


def main(arguments: list[str]) -> None:
    """Encode, compare, print."""
    examine(CLAIM, __doc__, arguments)


if __name__ == "__main__":
    cli.run(main)
