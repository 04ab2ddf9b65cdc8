"""This project's quantizers and ditherers against others: `python -m benchmarks.quantizers PART…`.

Prints the tables of docs/results/quantizers.md, on photographs. Needs requirements-benchmarks.txt.
"""

import functools
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import islice
from statistics import mean, median
from typing import Any

import imagequant
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import structural_similarity
from sklearn.cluster import KMeans, MiniBatchKMeans

from tincture.benchmarks.meters import process_memory
from tincture.benchmarks.photographs import SIZE, gradient, photographs, with_alpha
from tincture.benchmarks.tables import heading, row
from tincture.common import cli
from tincture.common.errors import choose
from tincture.data.icons import icons
from tincture.quantization.color import linear_to_oklab
from tincture.quantization.dither import dither
from tincture.quantization.dither.hull import mixable
from tincture.quantization.encoding import encode
from tincture.quantization.fidelity import fidelity
from tincture.quantization.fit import fit_palette, fit_palettes, quantize
from tincture.quantization.histogram import rgba_histogram
from tincture.quantization.metric import nearest_entries, stretch_hue
from tincture.quantization.nearest import nearest
from tincture.quantization.palettes.files import named_palettes, read_palette
from tincture.quantization.palettes.palette import Palette
from tincture.quantization.pictures.indexed_image import IndexedImage
from tincture.quantization.spaces import LINEAR_OF_BYTE, SPACES

COLORS = (8, 16, 64, 256)
DRIFT_PALETTES = ("e-paper-7", "nintendo-gameboy-bgb", "pico-8", "color-graphics-adapter", "zx-spectrum")
DRIFT_PHOTOS = ("china", "coffee", "chelsea")
DRIFT_METHODS = {
    "floyd-steinberg, exact": ("floyd-steinberg", True),
    "floyd-steinberg, calm": ("floyd-steinberg", False),
    "blue-noise": ("blue-noise", False),
}

Method = Callable[[np.ndarray, int], np.ndarray]
"""(RGB, number of colors) → the picture in that many colors; RGB is uint8 ``[H, W, 3]``."""


def ours(rgb: np.ndarray, k: int, space: str, dither_method: str | None = None, method: str = "kmeans") -> np.ndarray:
    """A palette of this project fitted in ``space``, then the nearest entry or a dither."""
    rgba = with_alpha(rgb)
    palette = fit_palette([rgba], k, method, space)
    indices = dither(rgba, palette, dither_method) if dither_method else encode(rgba, palette, space)
    return palette.colors[indices, :3]


def pillow(rgb: np.ndarray, k: int, method: Image.Quantize, dithered: bool = False) -> np.ndarray:
    """Pillow's quantizer. To dither, it takes a second pass with its own palette."""
    image = Image.fromarray(rgb)
    indexed = image.quantize(k, method=method, dither=Image.Dither.NONE)
    if dithered:
        indexed = image.quantize(palette=indexed, dither=Image.Dither.FLOYDSTEINBERG)
    return np.array(indexed.convert("RGB"))


def libimagequant(rgb: np.ndarray, k: int, level: float) -> np.ndarray:
    """Libimagequant at its default speed."""
    rgba = with_alpha(rgb)
    indices, palette = imagequant.quantize_raw_rgba_bytes(rgba.tobytes(), *rgb.shape[1::-1], level, k)
    colors = np.array(palette, np.uint8).reshape(-1, 4)
    return colors[np.frombuffer(indices, np.uint8).reshape(rgb.shape[:2]), :3]


def scikit_learn(rgb: np.ndarray, k: int, model: type) -> np.ndarray:
    """A model of scikit-learn fitted to all pixels."""
    fitted = model(k, random_state=0).fit(rgb.reshape(-1, 3).astype(np.float32))
    return fitted.cluster_centers_.round().clip(0, 255).astype(np.uint8)[fitted.labels_].reshape(rgb.shape)


_PILLOW = {
    "Pillow median cut": Image.Quantize.MEDIANCUT,
    "Pillow max coverage": Image.Quantize.MAXCOVERAGE,
    "Pillow fast octree": Image.Quantize.FASTOCTREE,
}
PLAIN: dict[str, Method] = {
    "kmeans, srgb": functools.partial(ours, space="srgb"),
    "kmeans, oklab": functools.partial(ours, space="oklab"),
    "libimagequant": functools.partial(libimagequant, level=0.0),
    **{name: functools.partial(pillow, method=method) for name, method in _PILLOW.items()},
    "MiniBatchKMeans": functools.partial(scikit_learn, model=MiniBatchKMeans),
    "KMeans": functools.partial(scikit_learn, model=KMeans),
}
DITHERED: dict[str, Method] = {
    **{
        f"{method} {space}, {name}": functools.partial(ours, space=space, dither_method=name, method=method)
        for method, space, name in (
            ("mixtures", "oklab", "floyd-steinberg"),  # what quantize.py does if one asks for this dither alone
            ("mixtures", "srgb", "floyd-steinberg"),
            ("kmeans", "oklab", "floyd-steinberg"),
            ("kmeans", "srgb", "floyd-steinberg"),
            ("mixtures", "oklab", "atkinson"),
            ("mixtures", "oklab", "bayer8"),
            ("mixtures", "oklab", "blue-noise"),
        )
    },
    "libimagequant": functools.partial(libimagequant, level=1.0),
    **{name: functools.partial(pillow, method=method, dithered=True) for name, method in _PILLOW.items()},
}


def psnr(rgb: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio over the sRGB bytes, in dB."""
    return 10 * np.log10(255**2 / np.mean((rgb.astype(np.float64) - decoded) ** 2))


def delta_e(rgb: np.ndarray, decoded: np.ndarray) -> float:
    """The mean distance in OKLab, where black and white are 1 apart."""
    a, b = (SPACES["oklab"].from_bytes(pixels.reshape(-1, 3)) for pixels in (rgb, decoded))
    return float(np.linalg.norm(a - b, axis=1).mean())


def blurred_ssim(rgb: np.ndarray, decoded: np.ndarray) -> float:
    """SSIM after a Gaussian blur of 1.5 pixels in linear light, as the eye mixes from afar."""
    blurred = []
    for pixels in (rgb, decoded):
        linear = gaussian_filter(LINEAR_OF_BYTE[pixels], (1.5, 1.5, 0))
        blurred.append(
            np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055)
        )
    return structural_similarity(*blurred, channel_axis=2, data_range=1.0)


MEASURES = {"PSNR, dB": (psnr, "{:.2f}"), "ΔE in OKLab": (delta_e, "{:.4f}"), "blurred SSIM": (blurred_ssim, "{:.4f}")}


def table(title: str, methods: dict[str, Method], images: list[np.ndarray], measures: list[str]) -> None:
    """Print the means over the images, and the median time, of methods that take turns."""
    rows = {name: [] for name in methods}
    for k in COLORS:
        values = {name: {measure: [] for measure in (*measures, "ms")} for name in methods}
        for number, image in enumerate(images):
            for name, method in methods.items():
                if number == 0 and name not in ("KMeans", "MiniBatchKMeans"):
                    method(image, k)  # warm-up
                start = time.perf_counter()
                decoded = method(image, k)
                values[name]["ms"].append(1000 * (time.perf_counter() - start))
                for measure in measures:
                    values[name][measure].append(MEASURES[measure][0](image, decoded))
        for name, found in values.items():
            rows[name] += [MEASURES[measure][1].format(mean(found[measure])) for measure in measures]
            rows[name].append(f"{median(found['ms']):,.0f}")
    print(f"\n{title}\n")
    print(heading("method", *(f"{measure}, K = {k}" for k in COLORS for measure in (*measures, "ms"))))
    for name, cells in rows.items():
        print(row(name, *cells), flush=True)


def race(image: np.ndarray, repeats: int) -> None:
    """Print the times of k-means and libimagequant, in turns on one picture, and their ratios.

    The time of all cores together says what other jobs on the machine can't change much.
    """
    print(
        "\n" + heading("K", "kmeans srgb, ms", "libimagequant, ms", "ratio", "all cores, ms", "libimagequant", "ratio")
    )
    rivals = PLAIN["kmeans, srgb"], PLAIN["libimagequant"]
    for k in (16, 256):
        times = []
        for _ in range(repeats + 1):
            times.append([])
            for method in rivals:
                start, start_cores = time.perf_counter(), time.process_time()
                method(image, k)
                times[-1] += [1000 * (time.perf_counter() - start), 1000 * (time.process_time() - start_cores)]
        columns = list(zip(*times[1:], strict=True))  # without the warm-up
        cells = [str(k)]
        for ours_ms, their_ms in ((columns[0], columns[2]), (columns[1], columns[3])):
            ratio = median(a / b for a, b in zip(ours_ms, their_ms, strict=True))
            cells += [f"{median(ours_ms):.0f}", f"{median(their_ms):.0f}", f"{ratio:.2f}"]
        print(row(*cells), flush=True)


def memory(name: str) -> None:
    """Print by how much a quantization at K = 256 raises this process's memory, in MiB."""
    image = photographs()["coffee"]
    PLAIN[name](image[::8, ::8], 64)
    print(f"{process_memory(lambda: PLAIN[name](image, 256))[0]:.0f}")


def tiles(photos: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Pieces of 32 × 32 from random places of the photographs in turn, RGBA."""
    rng, found = np.random.default_rng(0), []
    for number in range(count):
        y, x = rng.integers(0, SIZE[1] - 32), rng.integers(0, SIZE[0] - 32)
        found.append(with_alpha(photos[number % len(photos)][y : y + 32, x : x + 32]))
    return found


def batched_against_kmeans(photos: list[np.ndarray]) -> None:
    """Print how far torch's batched k-means is from numba's on 90 tiles, in dB of OKLab error."""
    device, space = "cuda" if torch.cuda.is_available() else "cpu", SPACES["oklab"]
    print("\n" + heading(f"K, on {device}", "mean difference, dB", "worst"))
    for k in (4, 16, 64):
        errors = []
        for palettes in (fit_palettes(tiles(photos, 90), k, device=where) for where in (device, None)):
            errors.append([])
            for tile, palette in zip(tiles(photos, 90), palettes, strict=True):
                decoded = palette.colors[encode(tile, palette)]
                a, b = (space.from_bytes(pixels.reshape(-1, 4)) for pixels in (tile, decoded))
                errors[-1].append(((a - b) ** 2).sum())
        losses = [10 * np.log10(kmeans / batched) for batched, kmeans in zip(*errors, strict=True) if kmeans > 0]
        print(row(k, f"{mean(losses):+.3f}", f"{min(losses):+.3f}"), flush=True)


def many_and_large(photos: list[np.ndarray]) -> None:
    """Print the time of 10,000 small palettes, and the cost of a picture of 24 megapixels."""
    small = tiles(photos, 10_000)
    for k in (16, 256):
        fit_palettes(small[:10], k)
        start, start_cores = time.perf_counter(), time.process_time()
        fit_palettes(small, k)
        seconds, cores = time.perf_counter() - start, time.process_time() - start_cores
        print(f"10,000 palettes of {k} colors, 32 × 32: {seconds:.1f} s ({cores:.1f} s of one core)", flush=True)
    large = np.array(Image.fromarray(photos[0]).resize((6000, 4000), Image.Resampling.BICUBIC))
    large = with_alpha(large)
    large[..., :3] ^= np.random.default_rng(0).integers(0, 4, (*large.shape[:2], 3), np.uint8)  # noise, as a camera's
    start = time.perf_counter()
    encode(large, fit_palette([large], 256))
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"24 megapixels, K = 256: {seconds:.1f} s, the process's peak memory {peak:,.0f} MB")


def learned_against_kmeans(photos: list[np.ndarray]) -> None:
    """Print how far `learned` is from `kmeans` in dB, and its unused entries."""
    print("\n" + heading("K", "mean difference, dB", "worst", "unused entries"))
    for k in (4, 16, 128):
        differences, unused = [], 0
        for image in photos:
            rgba, scores = with_alpha(image), []
            for method in ("learned", "kmeans"):
                palette = fit_palette([rgba], k, method, "srgb")
                indices = encode(rgba, palette, "srgb")
                scores.append(psnr(image, palette.colors[indices, :3]))
                unused += (k - len(np.unique(indices))) if method == "learned" else 0
            differences.append(scores[0] - scores[1])
        print(row(k, f"{mean(differences):+.3f}", f"{min(differences):+.3f}", unused), flush=True)


def memories() -> None:
    """Print what `memory` does for every method, each in a process of its own (Linux only)."""
    print("\n" + heading("method", "MiB"), flush=True)
    for name in PLAIN:
        text = subprocess.check_output([sys.executable, "-m", "benchmarks.quantizers", "--memory-of", name], text=True)
        print(row(name, text.strip()), flush=True)


def drift() -> None:
    """Print how far colors drift where photographs are dithered with palettes of other pictures.

    Pictures are compared after a Gaussian blur of 6 pixels in linear light. Distances are ΔE in
    OKLab, means over pixels and three photographs: to what the palette can mix, and to the picture.
    """

    def from_afar(linear: np.ndarray) -> np.ndarray:
        return linear_to_oklab(torch.from_numpy(gaussian_filter(linear, (6, 6, 0)))).numpy()

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(a - b, axis=-1).mean())

    photos = [photographs()[name] for name in DRIFT_PHOTOS]
    columns = [f"{name}: to the goal, to the picture" for name in DRIFT_METHODS]
    print("\n" + heading("palette", *columns, "goal to picture"))
    for name in DRIFT_PALETTES:
        palette = read_palette(name)
        found: dict[str, list[tuple[float, float]]] = {method: [] for method in DRIFT_METHODS}
        apart = []
        for rgb in photos:
            picture = from_afar(LINEAR_OF_BYTE[rgb])
            goal = from_afar(mixable(with_alpha(rgb), palette.colors[:, :3], "linear"))
            apart.append(distance(goal, picture))
            for method, (ditherer, exact) in DRIFT_METHODS.items():
                indices = dither(with_alpha(rgb), palette, ditherer, exact=exact)
                shown = from_afar(LINEAR_OF_BYTE[palette.colors[indices, :3]])
                found[method].append((distance(shown, goal), distance(shown, picture)))
        cells = [", ".join(f"{mean(column):.4f}" for column in zip(*pairs, strict=True)) for pairs in found.values()]
        print(row(name, *cells, f"{mean(apart):.4f}"), flush=True)


def soft() -> None:
    """Print the mean ΔE of icons with soft edges and shadows: alone, and 400 of them on a sheet."""
    pictures = [image.pixels for image in islice(icons().images, 400)]
    sheet = np.concatenate([np.concatenate(pictures[start : start + 20], axis=1) for start in range(0, 400, 20)])
    alone = [each for each in pictures if len(rgba_histogram([each])[0]) > 64][:100]
    print("\n" + heading("method", *(f"{name}, K = {k}" for name in ("icons", "sheet") for k in SOFT_COLORS)))
    for name, draw in SOFT.items():
        cells = [
            mean(visible_error(each, draw(each, k)) for each in images)
            for images in (alone, [sheet])
            for k in SOFT_COLORS
        ]
        print(row(name, *(f"{cell:.4f}" for cell in cells)), flush=True)


def visible_error(rgba: np.ndarray, drawn: IndexedImage) -> float:
    """ΔE over the pixels that can be seen in the original."""
    is_visible = rgba[..., 3] > 0
    return fidelity([rgba[is_visible][None]], [drawn.indices[is_visible][None]], drawn.palette).delta_e


def libimagequant_image(rgba: np.ndarray, k: int) -> IndexedImage:
    """A picture as libimagequant draws it with alpha."""
    indices, palette = imagequant.quantize_raw_rgba_bytes(rgba.tobytes(), *rgba.shape[1::-1], 0.0, k)
    colors = np.array(palette, np.uint8).reshape(-1, 4)
    return IndexedImage.merged(np.frombuffer(indices, np.uint8).reshape(rgba.shape[:2]), colors)


SOFT_COLORS = (8, 16, 32, 64)
SOFT = {
    "kmeans, soft": functools.partial(quantize, alpha="soft"),
    "kmeans, hard": quantize,
    "libimagequant": libimagequant_image,
}


def sparse() -> None:
    """Print what several metrics do in coarse palettes: panels, named ones, and 60 random ones.

    All have at most 16 entries, two of them neutral. Grays have casts of up to 4 in 255. Colors are
    those of chroma above 0.1 in a lattice of 16³; hue is right within 30° of a color, and wrong
    from 60° on.
    """
    rng, to_oklab = np.random.default_rng(0), SPACES["oklab"].from_bytes
    texts = ["ff0000", "ffff00", "ff0000 ffff00", "438a1c 6440ff bf0000 fff338 e87e00"]
    palettes = [Palette.from_hex(["000000", "ffffff", *text.split()]).colors for text in texts]
    palettes.append(Palette.from_hex(["191e21", "e8e8e8", "2157ba", "125f20", "b21318", "efde44"]).colors)
    palettes += [palette.colors for palette in map(read_palette, named_palettes()) if len(palette) <= 16]
    for size in np.tile(np.arange(1, 7), 10):
        palettes.append(np.concatenate([palettes[0][:2], rng.integers(0, 256, (size, 4), np.uint8)]))
    grays = (np.arange(256)[:, None] + rng.integers(-4, 5, (256, 3))).clip(0, 255).astype(np.uint8)
    lattice = 17 * np.stack(np.meshgrid(*[np.arange(16)] * 3), axis=-1).reshape(-1, 3).astype(np.uint8)
    colors = lattice[np.linalg.norm(to_oklab(lattice)[:, 1:], axis=1) > 0.1]

    def weighted(weight: float, colors: np.ndarray, entries: np.ndarray) -> np.ndarray:
        return nearest(stretch_hue(to_oklab(colors), weight), stretch_hue(to_oklab(entries), weight))[0]

    def by(distance: Callable[[np.ndarray, np.ndarray], np.ndarray], space: Callable[[np.ndarray], np.ndarray]) -> Any:
        return lambda colors, entries: distance(space(colors)[:, None], space(entries)[None]).argmin(axis=1)

    def hyab(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return abs(a - b)[..., 0] + np.linalg.norm((a - b)[..., 1:], axis=-1)

    metrics = {
        "OKLab": functools.partial(weighted, 1),
        "OKLab, hue twice": functools.partial(weighted, 2),
        "OKLab, hue three times": functools.partial(weighted, 3),
        "HyAB in OKLab": by(hyab, to_oklab),
        "CIEDE2000": by(deltaE_ciede2000, lambda rgb: rgb2lab(rgb[:, :3] / 255)),
        "ours": nearest_entries,
        "ours, --space srgb": functools.partial(nearest_entries, space="srgb"),
    }
    print("\n" + heading("metric", "grays that turn to color", "colors of a wrong hue", "of the right hue", "mean ΔE"))
    for name, metric in metrics.items():
        found = []
        for entries in palettes:
            points, gray_points, hued = to_oklab(entries), to_oklab(grays), to_oklab(colors)
            chroma = np.linalg.norm(points[:, 1:], axis=1)
            neutral = points[chroma <= 0.04, 0]
            if len(neutral) < 2:
                continue
            between = (gray_points[:, 0] >= neutral.min()) & (gray_points[:, 0] <= neutral.max())
            turned = np.angle(np.exp(1j * np.subtract.outer(*(np.arctan2(p[:, 2], p[:, 1]) for p in (hued, points)))))
            labels, is_color = metric(colors, entries), chroma > 0.1
            off, rows = np.abs(turned), np.arange(len(colors))
            can = ((off < np.pi / 6) & is_color).any(axis=1)
            found.append(
                (
                    (chroma[metric(grays, entries)] > 0.12)[between].mean(),
                    (is_color[labels] & (off[rows, labels] > np.pi / 3)).mean(),
                    (is_color[labels] & (off[rows, labels] < np.pi / 6))[can].mean() if can.any() else np.nan,
                    np.linalg.norm(hued - points[labels], axis=1).mean(),
                )
            )
        shares = [f"{100 * value:.1f} %" for value in np.nanmean(found, axis=0)[:3]]
        print(row(name, *shares, f"{np.mean(found, axis=0)[3]:.3f}"), flush=True)


PARTS: dict[str, Callable[[list[np.ndarray]], None]] = {
    "plain": lambda photos: table("Photographs, no dithering", PLAIN, photos, ["PSNR, dB", "ΔE in OKLab"]),
    "dithered": lambda photos: table("Photographs, dithered", DITHERED, photos, ["blurred SSIM"]),
    "gradient": lambda _: table("Gradient, dithered", DITHERED, [gradient()], ["blurred SSIM"]),
    "race": lambda photos: race(photos[0], 15),
    "learned": learned_against_kmeans,
    "batched": batched_against_kmeans,
    "limits": many_and_large,
    "memory": lambda _: memories(),
    "drift": lambda _: drift(),
    "sparse": lambda _: sparse(),
    "soft": lambda _: soft(),
}


def main(arguments: list[str]) -> None:
    """Run the parts named on the command line, all by default."""
    parser = cli.make_parser(__doc__.split(":")[0])
    add = parser.add_argument
    add("parts", nargs="*", default=[], metavar="PART", help=f"some of {', '.join(PARTS)}; all if left out")
    add("--photos", type=int, default=9, help="how many of the nine photographs")
    add("--memory-of", type=str | None, default=None, help="a method whose memory is printed: what `memory` calls")
    options = parser.parse_args(arguments)
    for part in options.parts:
        choose("part", part, PARTS)
    if options.memory_of:
        memory(options.memory_of)
        return
    photos = list(photographs().values())[: options.photos]
    for part in options.parts or PARTS:
        PARTS[part](photos)


if __name__ == "__main__":
    cli.run(main)
