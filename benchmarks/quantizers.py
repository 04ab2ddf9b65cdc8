"""Print the tables of docs/results/quantizers.md: this project's quantizers and ditherers against others, on photographs.

Needs requirements-benchmarks.txt. From the project's root: ``python -m benchmarks.quantizers --help``.
"""

import argparse
import functools
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import mean, median

import imagequant
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity
from sklearn.cluster import KMeans, MiniBatchKMeans

from tincture.quantization.dither import dither
from tincture.quantization.encoding import encode
from tincture.quantization.fit import fit_palette, fit_palettes
from tincture.quantization.spaces import LINEAR_OF_BYTE, SPACES

from .photographs import SIZE, gradient, photographs, with_alpha
from .process_memory import peak_mib, reset_peak, resident_mib

COLORS = (8, 16, 64, 256)

Method = Callable[[np.ndarray, int], np.ndarray]
"""(RGB uint8 [H, W, 3], number of colors) → the picture in that many colors, RGB uint8 [H, W, 3]."""


def ours(rgb: np.ndarray, k: int, space: str, dither_method: str | None = None, method: str = "kmeans") -> np.ndarray:
    """A palette of this project fitted in ``space``, then the nearest entry or a dither."""
    rgba = with_alpha(rgb)
    palette = fit_palette([rgba], k, method, space)
    indices = dither(rgba, palette, dither_method) if dither_method else encode(rgba, palette, space)
    return palette.colors[indices, :3]


def pillow(rgb: np.ndarray, k: int, method: Image.Quantize, dithered: bool = False) -> np.ndarray:
    """Pillow's quantizer; dithered by a second pass with its own palette, since the first one can't."""
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
    """The mean distance in OKLab, times 100."""
    a, b = (SPACES["oklab"].from_bytes(pixels.reshape(-1, 3)) for pixels in (rgb, decoded))
    return 100 * float(np.linalg.norm(a - b, axis=1).mean())


def blurred_ssim(rgb: np.ndarray, decoded: np.ndarray) -> float:
    """SSIM after a Gaussian blur of 1.5 pixels, mixed in linear light as the eye does from afar, judged in sRGB."""
    blurred = []
    for pixels in (rgb, decoded):
        linear = gaussian_filter(LINEAR_OF_BYTE[pixels], (1.5, 1.5, 0))
        blurred.append(
            np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0.0031308) ** (1 / 2.4) - 0.055)
        )
    return structural_similarity(*blurred, channel_axis=2, data_range=1.0)


MEASURES = {"PSNR, dB": (psnr, "{:.2f}"), "100 ΔE": (delta_e, "{:.2f}"), "blurred SSIM": (blurred_ssim, "{:.4f}")}


def table(title: str, methods: dict[str, Method], images: list[np.ndarray], measures: list[str]) -> None:
    """Print the means over the images, and the median time, of every method; the methods take turns on each image."""
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
    heads = [f"{measure}, K = {k}" for k in COLORS for measure in (*measures, "ms")]
    print("| method |", " | ".join(heads), "|")
    print("|", " | ".join(["---"] * (len(heads) + 1)), "|")
    for name, cells in rows.items():
        print("|", name, "|", " | ".join(cells), "|", flush=True)


def race(image: np.ndarray, repeats: int) -> None:
    """Print the times of k-means and libimagequant, run in turns on one picture, and the medians of their ratios.

    The time of all cores together says what other jobs on the machine can't change much.
    """
    print("\n| K | kmeans srgb, ms | libimagequant, ms | ratio | all cores, ms | libimagequant | ratio |")
    print("|", " | ".join(["---"] * 7), "|")
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
        print("|", " | ".join(cells), "|", flush=True)


def memory(name: str) -> None:
    """Print by how much one quantization at K = 256 raises this process's memory at most, in MiB, after a small warm-up."""
    image = photographs()["coffee"]
    PLAIN[name](image[::8, ::8], 64)
    before = resident_mib()
    reset_peak()
    PLAIN[name](image, 256)
    print(f"{peak_mib() - before:.0f}")


def tiles(photos: list[np.ndarray], count: int) -> list[np.ndarray]:
    """Pieces of 32 × 32 from random places of the photographs in turn, RGBA."""
    rng, found = np.random.default_rng(0), []
    for number in range(count):
        y, x = rng.integers(0, SIZE[1] - 32), rng.integers(0, SIZE[0] - 32)
        found.append(with_alpha(photos[number % len(photos)][y : y + 32, x : x + 32]))
    return found


def batched_against_kmeans(photos: list[np.ndarray]) -> None:
    """Print how far torch's batched k-means is from numba's on 90 tiles, in dB of the squared error in OKLab."""
    device, space = "cuda" if torch.cuda.is_available() else "cpu", SPACES["oklab"]
    print(f"\n| K, on {device} | mean difference, dB | worst |\n| --- | --- | --- |")
    for k in (4, 16, 64):
        errors = []
        for palettes in (fit_palettes(tiles(photos, 90), k, device=where) for where in (device, None)):
            errors.append([])
            for tile, palette in zip(tiles(photos, 90), palettes, strict=True):
                decoded = palette.colors[encode(tile, palette)]
                a, b = (space.from_bytes(pixels.reshape(-1, 4)) for pixels in (tile, decoded))
                errors[-1].append(((a - b) ** 2).sum())
        losses = [10 * np.log10(kmeans / batched) for batched, kmeans in zip(*errors, strict=True) if kmeans > 0]
        print(f"| {k} | {mean(losses):+.3f} | {min(losses):+.3f} |", flush=True)


def many_and_large(photos: list[np.ndarray]) -> None:
    """Print the time of 10,000 palettes of 32 × 32 pictures, and the time and memory of one picture of 24 megapixels."""
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
    """Print, for each K, how far `learned` is from `kmeans` in dB over the photographs, and its unused entries."""
    print("\n| K | mean difference, dB | worst | unused entries |\n| --- | --- | --- | --- |")
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
        print(f"| {k} | {mean(differences):+.3f} | {min(differences):+.3f} | {unused} |", flush=True)


def memories() -> None:
    """Print what `memory` does for every method, each in a process of its own (Linux only)."""
    print("\n| method | MiB |\n| --- | --- |", flush=True)
    for name in PLAIN:
        text = subprocess.check_output([sys.executable, "-m", "benchmarks.quantizers", "--memory-of", name], text=True)
        print(f"| {name} | {text.strip()} |", flush=True)


PARTS: dict[str, Callable[[list[np.ndarray]], None]] = {
    "plain": lambda photos: table("Photographs, no dithering", PLAIN, photos, ["PSNR, dB", "100 ΔE"]),
    "dithered": lambda photos: table("Photographs, dithered", DITHERED, photos, ["blurred SSIM"]),
    "gradient": lambda _: table("Gradient, dithered", DITHERED, [gradient()], ["blurred SSIM"]),
    "race": lambda photos: race(photos[0], 15),
    "learned": learned_against_kmeans,
    "batched": batched_against_kmeans,
    "limits": many_and_large,
    "memory": lambda _: memories(),
}


def main() -> None:
    """Run the parts named on the command line, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}; default: all")
    parser.add_argument("--photos", type=int, default=9, help="how many of the nine photographs (default: all)")
    parser.add_argument("--memory-of", choices=PLAIN, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if wrong := set(arguments.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}; choose from {', '.join(PARTS)}")
    if arguments.memory_of:
        memory(arguments.memory_of)
        return
    photos = list(photographs().values())[: arguments.photos]
    for part in arguments.parts or PARTS:
        PARTS[part](photos)


if __name__ == "__main__":
    main()
