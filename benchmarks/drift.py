"""Print how far the mean color drifts when photographs are dithered with palettes that weren't made for them.

Pictures are compared after a Gaussian blur of 6 pixels in linear light; distances are 100 ΔE in OKLab, means over pixels
and three photographs. From the project's root: ``python -m benchmarks.drift``; needs requirements-benchmarks.txt.
"""

from statistics import mean

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from tincture.quantization.color import linear_to_oklab
from tincture.quantization.dither import dither
from tincture.quantization.dither.hull import mixable
from tincture.quantization.palettes.files import read_palette
from tincture.quantization.spaces import LINEAR_OF_BYTE

from .photographs import photographs, with_alpha

PALETTES = ("e-paper-7", "nintendo-gameboy-bgb", "pico-8", "color-graphics-adapter", "zx-spectrum")
PHOTOS = ("china", "coffee", "chelsea")
METHODS = {
    "floyd-steinberg, exact": ("floyd-steinberg", True),
    "floyd-steinberg, calm": ("floyd-steinberg", False),
    "blue-noise": ("blue-noise", False),
}


def from_afar(linear: np.ndarray) -> np.ndarray:
    """Linear light, blurred, in OKLab; float32 ``[H, W, 3]``."""
    return linear_to_oklab(torch.from_numpy(gaussian_filter(linear, (6, 6, 0)))).numpy()


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """The mean distance of two pictures in OKLab, times 100."""
    return 100 * float(np.linalg.norm(a - b, axis=-1).mean())


def main() -> None:
    """Print one table: for each palette, the distance to what it can mix, and to the original."""
    photos = [photographs()[name] for name in PHOTOS]
    print("| palette |", " | ".join(f"{name}: to the goal, to the picture" for name in METHODS), "| goal to picture |")
    print("|", " | ".join(["---"] * (len(METHODS) + 2)), "|")
    for name in PALETTES:
        palette = read_palette(name)
        found = {method: [] for method in METHODS}
        apart = []
        for rgb in photos:
            opaque = np.ones(rgb.shape[:2], bool)
            picture = from_afar(LINEAR_OF_BYTE[rgb])
            goal = from_afar(mixable(rgb, opaque, palette.colors[:, :3], "linear"))
            apart.append(distance(goal, picture))
            for method, (ditherer, exact) in METHODS.items():
                indices = dither(with_alpha(rgb), palette, ditherer, exact=exact)
                shown = from_afar(LINEAR_OF_BYTE[palette.colors[indices, :3]])
                found[method].append((distance(shown, goal), distance(shown, picture)))
        cells = [", ".join(f"{mean(column):.2f}" for column in zip(*pairs, strict=True)) for pairs in found.values()]
        print(f"| {name} |", " | ".join(cells), f"| {mean(apart):.2f} |", flush=True)


if __name__ == "__main__":
    main()
